"""Reads the partitions' outboxes, and cuts off what is in the ledger, on whichever nodes they lie."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from persistence.drain_batch import RawRecord
from persistence.transactions import OutboxPosition
from persistence.valkey.addresses import StoreAddress
from persistence.valkey.keys import outbox_key
from persistence.valkey.node_outboxes import NodeOutboxes, OutboxSurvey, node_outboxes
from persistence.valkey.topology import read_topology

__all__ = ["OutboxReader", "OutboxSurvey", "outbox_reader"]

_Held = TypeVar("_Held")
_Said = TypeVar("_Said")
_READ_AT_ONCE = 1000

FIRST_REST_S = 0.01
LAST_REST_S = 0.1
"""How long a Cluster's outboxes rest between two looks; while nothing comes, twice as long each time."""


class OutboxReader:
    """The outboxes of all partitions; ``node_of`` says on which node one is.

    Every method raises StoreUnavailable where a node fails, or has not got a partition any more; the reader
    is then of no more use.
    """

    def __init__(self, node_of: Callable[[int], NodeOutboxes], *, is_cluster: bool) -> None:
        self._node_of = node_of
        self._is_cluster = is_cluster

    async def read(
        self, cursors: Mapping[int, OutboxPosition], *, count: int, block_ms: int
    ) -> dict[int, list[RawRecord]]:
        """The next records of each partition after its cursor, at most ``count`` of each.

        Waits until there is one, but no longer than ``block_ms`` (at least 1). A Cluster is asked again and
        again meanwhile: no command can wait for streams of several slots.
        """
        by_node = self._by_node(cursors)
        if not self._is_cluster:
            return await next(iter(by_node)).read(cursors, count=count, block_ms=block_ms)
        latest = asyncio.get_running_loop().time() + block_ms / 1000
        rest_s = FIRST_REST_S
        while True:
            answers = await _all(node.peek(own, count=count) for node, own in by_node.items())
            found = {partition: records for answer in answers for partition, records in answer.items()}
            left_s = latest - asyncio.get_running_loop().time()
            if found or left_s <= 0:
                return found
            await asyncio.sleep(min(rest_s, left_s))
            rest_s = min(rest_s * 2, LAST_REST_S)

    async def read_all(
        self, partition: int, after: OutboxPosition, *, before_epoch: int | None = None
    ) -> list[RawRecord]:
        """All records after a position that are there now; with ``before_epoch`` those of earlier ones."""
        records: list[RawRecord] = []
        while True:
            found = (await self.read({partition: after}, count=_READ_AT_ONCE, block_ms=1)).get(partition, [])
            for record in found:
                after = OutboxPosition.parse(record.stream_id)
                if before_epoch is not None and after.epoch >= before_epoch:
                    return records
                records.append(record)
            if len(found) < _READ_AT_ONCE:
                return records

    async def delete(self, partition: int, records: Sequence[RawRecord]) -> None:
        """Takes records out of the middle of an outbox; those before and behind them stay."""
        await self._node_of(partition).delete(partition, records)

    async def trim(self, cursors: Mapping[int, OutboxPosition]) -> None:
        """Deletes all records up to each partition's cursor."""
        await _all(node.trim(own) for node, own in self._by_node(cursors).items())

    async def survey(self, partitions: Iterable[int]) -> dict[int, OutboxSurvey]:
        """What the store has of each partition now."""
        asked = dict.fromkeys(partitions)
        answers = await _all(node.survey(own) for node, own in self._by_node(asked).items())
        surveys = {partition: survey for answer in answers for partition, survey in answer.items()}
        return {partition: surveys[partition] for partition in asked}

    async def take_over(
        self,
        partition: int,
        *,
        found: OutboxSurvey,
        whatever_came: bool,
        witness: str,
        void_up_to: OutboxPosition | None,
    ) -> bool:
        """Gives the partition a new witness, if nothing has changed since it was surveyed; whether it had.

        With ``whatever_came`` records may have been added. ``void_up_to`` says that the store's memory of
        players is void, and the position up to which the ledger must have everything before it is read
        instead.
        """
        return await self._node_of(partition).take_over(
            partition,
            found=found,
            whatever_came=whatever_came,
            witness=witness,
            void_up_to=void_up_to,
        )

    def _by_node(self, partitions: Mapping[int, _Held]) -> dict[NodeOutboxes, dict[int, _Held]]:
        by_node: dict[NodeOutboxes, dict[int, _Held]] = {}
        for partition, held in partitions.items():
            by_node.setdefault(self._node_of(partition), {})[partition] = held
        return by_node


async def _all(asking: Iterable[Coroutine[None, None, _Said]]) -> list[_Said]:
    return await asyncio.gather(*asking)


@asynccontextmanager
async def outbox_reader(url: str, *, timeout_s: float) -> AsyncIterator[OutboxReader]:
    """A reader connected to the store's primaries. Nothing that it sends is ever sent twice.

    Raises StoreUnavailable, and SetupRefused for an address that is none.
    """
    address = StoreAddress.parse(url)
    async with AsyncExitStack() as stack:
        if not address.is_cluster:
            only = await stack.enter_async_context(node_outboxes(url, timeout_s=timeout_s))
            yield OutboxReader(lambda _: only, is_cluster=False)
            return
        topology = await read_topology(address, timeout_s=timeout_s)
        nodes = {
            node: await stack.enter_async_context(node_outboxes(address.url_of(node), timeout_s=timeout_s))
            for node in topology.primaries
        }
        yield OutboxReader(
            lambda partition: nodes[topology.primary_of(outbox_key(partition))], is_cluster=True
        )
