"""Which primary of a Valkey Cluster has which slot, as its nodes say."""

import asyncio
import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Connection
from redis.exceptions import RedisError

from persistence.errors import StoreUnavailable
from persistence.valkey.addresses import NodeAddress, StoreAddress
from persistence.valkey.node import node_connections
from persistence.valkey.slots import slot_of

GRACE_S = 0.05
LONG_GRACE_S = 0.25
"""How long to wait for further views: once there is one, and it holds the Cluster for whole or not."""


@dataclass(frozen=True, slots=True)
class Topology:
    """``ranges`` are sorted: first slot, last slot, primary. ``nodes`` are all that are known, replicas too.

    ``epoch`` is the Cluster's current one as the node that said all this knows it: of two views that with the
    larger one is newer. A view is a hint: whether a node may decide, its incarnation says.
    """

    epoch: int
    is_whole: bool
    ranges: tuple[tuple[int, int, NodeAddress], ...]
    nodes: frozenset[NodeAddress]

    @property
    def primaries(self) -> list[NodeAddress]:
        return sorted({primary for _, _, primary in self.ranges})

    def primary_of(self, key: str) -> NodeAddress:
        """Raises StoreUnavailable where no primary has the key's slot."""
        slot = slot_of(key)
        index = bisect_right(self.ranges, slot, key=lambda entry: entry[0]) - 1
        if index < 0 or slot > self.ranges[index][1]:
            raise StoreUnavailable(f"no primary of the store has slot {slot}")
        return self.ranges[index][2]


async def read_topology(
    address: StoreAddress, known: Iterable[NodeAddress] = (), *, timeout_s: float
) -> Topology:
    """The newest view of all nodes that answer soon, the address's and the known ones.

    Asks all at once, so that a node that is frozen or cut off delays nothing. Raises StoreUnavailable where
    none of them answers.
    """
    nodes = {*address.seeds, *known}
    asking = {asyncio.create_task(_ask(address, node, timeout_s)) for node in nodes}
    pending, views, problems = asking, list[Topology](), list[str]()
    try:
        patience_s: float | None = None
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                said = task.result()
                if isinstance(said, Topology):
                    views.append(said)
                else:
                    problems.append(said)
            if views:
                patience_s = GRACE_S if any(view.is_whole for view in views) else LONG_GRACE_S
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    if not views:
        raise StoreUnavailable(f"no node of the store could be reached: {'; '.join(sorted(set(problems)))}")
    return max(views, key=lambda view: (view.is_whole, view.epoch))


async def _ask(address: StoreAddress, node: NodeAddress, timeout_s: float) -> Topology | str:
    """One node's view, or why there is none."""
    connection = node_connections(address.url_of(node), timeout_s)()
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()  # type: ignore[no-untyped-call]
            facts = str(cast("bytes", await _asked(connection, "INFO")).decode())
            return _read(facts, cast("list[list[object]]", await _asked(connection, "SLOTS")), node)
    except (TimeoutError, OSError, RedisError) as error:
        return f"{node}: {str(error) or type(error).__name__}"
    finally:
        await connection.disconnect(nowait=True)


async def _asked(connection: Connection, question: str) -> object:
    await connection.send_command("CLUSTER", question)
    return await connection.read_response(disable_decoding=True, timeout=math.inf)


def _read(facts: str, slots: list[list[object]], asked: NodeAddress) -> Topology:
    """CLUSTER INFO and CLUSTER SLOTS: for each range its ends, its primary and the primary's replicas."""
    told = dict(line.split(":", 1) for line in facts.split() if ":" in line)
    ranges = []
    nodes: set[NodeAddress] = set()
    for first, last, primary, *replicas in slots:
        ranges.append((int(str(first)), int(str(last)), _node(primary, asked)))
        nodes.update(_node(told_node, asked) for told_node in (primary, *replicas))
    return Topology(
        epoch=int(told.get("cluster_current_epoch", "0")),
        is_whole=told.get("cluster_state") == "ok",
        ranges=tuple(sorted(ranges)),
        nodes=frozenset(nodes),
    )


def _node(told: object, asked: NodeAddress) -> NodeAddress:
    """A node that does not know under which name it is reached is where it was asked."""
    host, port, *_ = cast("list[object]", told)
    name = host.decode() if isinstance(host, bytes) else ""
    return NodeAddress(asked.host if name in ("", "?") else name, int(str(port)))
