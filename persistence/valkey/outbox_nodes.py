"""Connections to the nodes that have the outboxes: to one, or to a Cluster's primaries as far as they can be
reached. One that failed is left out; a Cluster is then looked at again, beside what goes on.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

from persistence.errors import StoreUnavailable
from persistence.valkey.addresses import NodeAddress, StoreAddress
from persistence.valkey.keys import outbox_key
from persistence.valkey.node_outboxes import NodeOutboxes, node_outboxes
from persistence.valkey.topology import Topology, read_topology

LOOK_EVERY_S = 0.5
"""How much time lies between two looks at a Cluster of which a part cannot be reached."""
LOOK_PATIENCE_S = 0.25
"""For how long whoever found a part out of reach waits for the look; it goes on without them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Which node has which partitions, and why some are on none that can be reached."""

    by_node: dict[NodeOutboxes, list[int]] = field(default_factory=dict)
    unreached: dict[int, str] = field(default_factory=dict)


class OutboxNodes(Protocol):
    is_cluster: bool

    async def spread(self, partitions: Iterable[int]) -> Spread: ...

    async def drop(self, node: NodeOutboxes) -> None:
        """It failed: its connection is of no more use."""


class OnlyNode:
    """Of a store that is no Cluster."""

    is_cluster = False

    def __init__(self, node: NodeOutboxes) -> None:
        self._node = node

    async def spread(self, partitions: Iterable[int]) -> Spread:
        asked = list(partitions)
        return Spread({self._node: asked} if asked else {})

    async def drop(self, node: NodeOutboxes) -> None:
        pass


class ClusterNodes:
    """Use as an async context manager, by one caller at a time. Raises StoreUnavailable at the start where no
    primary at all can be reached.
    """

    is_cluster = True

    def __init__(self, address: StoreAddress, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._topology: Topology | None = None
        self._nodes: dict[NodeAddress, NodeOutboxes] = {}
        self._connections: dict[NodeOutboxes, AsyncExitStack] = {}
        self._problems: dict[NodeAddress, str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._look_time = 0.0

    async def __aenter__(self) -> "ClusterNodes":
        try:
            await self._look()
            if not self._nodes:
                raise StoreUnavailable("; ".join(sorted(set(self._problems.values()))))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for connection in self._connections.values():
            await connection.aclose()

    async def spread(self, partitions: Iterable[int]) -> Spread:
        asked = list(partitions)
        spread = self._spread(asked)
        if spread.unreached:
            await self._look_soon()
            spread = self._spread(asked)
        return spread

    async def drop(self, node: NodeOutboxes) -> None:
        self._nodes = {address: kept for address, kept in self._nodes.items() if kept is not node}
        if connection := self._connections.pop(node, None):
            await connection.aclose()

    def _spread(self, partitions: Iterable[int]) -> Spread:
        spread = Spread()
        for partition in partitions:
            try:
                assert self._topology is not None
                address = self._topology.primary_of(outbox_key(partition))
                node = self._nodes.get(address)
                if node is None:
                    raise StoreUnavailable(self._problems.get(address, f"{address} failed"))
                spread.by_node.setdefault(node, []).append(partition)
            except StoreUnavailable as error:
                spread.unreached[partition] = str(error)
        return spread

    async def _look_soon(self) -> None:
        """Starts a look unless one was made just now, and waits for it, but not for long."""
        loop = asyncio.get_running_loop()
        if self._looking is None:
            if loop.time() < self._look_time:
                return
            self._looking = asyncio.create_task(self._look_again(), name="outbox-nodes")
        await asyncio.wait({self._looking}, timeout=LOOK_PATIENCE_S)
        if self._looking.done():
            looked, self._looking = self._looking, None
            looked.result()

    async def _look_again(self) -> None:
        try:
            await self._look()
        except StoreUnavailable as error:
            self._problems = dict.fromkeys(self._problems, str(error))
        finally:
            self._look_time = asyncio.get_running_loop().time() + LOOK_EVERY_S

    async def _look(self) -> None:
        known = self._topology.nodes if self._topology else ()
        topology = await read_topology(self._address, known, timeout_s=self._timeout_s)
        missing = [address for address in topology.primaries if address not in self._nodes]
        problems = await asyncio.gather(*map(self._connect, missing))
        self._problems = {
            address: problem for address, problem in zip(missing, problems, strict=True) if problem
        }
        self._topology = topology

    async def _connect(self, address: NodeAddress) -> str:
        """Why it could not; empty if it could."""
        connection = AsyncExitStack()
        try:
            node = await connection.enter_async_context(
                node_outboxes(self._address.url_of(address), timeout_s=self._timeout_s)
            )
        except StoreUnavailable as error:
            return f"{address}: {error}"
        self._nodes[address] = node
        self._connections[node] = connection
        return ""
