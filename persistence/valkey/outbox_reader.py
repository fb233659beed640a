"""Reads the partitions' outboxes, and cuts off what is in the ledger, on whichever nodes they lie."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from persistence.drain_batch import RawRecord
from persistence.errors import StoreUnavailable
from persistence.transactions import OutboxPosition
from persistence.valkey.addresses import StoreAddress
from persistence.valkey.node_outboxes import NodeOutboxes, OutboxSurvey, node_outboxes
from persistence.valkey.outbox_nodes import ClusterNodes, OnlyNode, OutboxNodes

__all__ = ["OutboxReader", "OutboxSurvey", "outbox_reader"]

_Said = TypeVar("_Said")
_READ_AT_ONCE = 1000

FIRST_REST_S = 0.01
LAST_REST_S = 0.1
"""How long a Cluster's outboxes rest between two looks; while nothing comes, twice as long each time."""


class OutboxReader:
    """The outboxes of all partitions, on the nodes that have them.

    In a Cluster a part may be out of reach: what is asked of several partitions is answered for the others,
    and ``unreached`` says why not for these, until something else is asked. Every method raises
    StoreUnavailable where it reached none of its partitions; a store that is no Cluster is then of no more
    use to the reader.
    """

    def __init__(self, nodes: OutboxNodes) -> None:
        self._nodes = nodes
        self.unreached: Mapping[int, str] = {}

    @property
    def is_cluster(self) -> bool:
        """Whether a part may fail alone."""
        return self._nodes.is_cluster

    async def read(
        self, cursors: Mapping[int, OutboxPosition], *, count: int, block_ms: int
    ) -> dict[int, list[RawRecord]]:
        """The next records of each partition after its cursor, at most ``count`` of each.

        Waits until there is one, but no longer than ``block_ms`` (at least 1). A Cluster is asked again and
        again meanwhile: no command can wait for streams of several slots.
        """
        if not self.is_cluster:
            [found] = await self._each(
                cursors, lambda node, own: node.read(_of(own, cursors), count=count, block_ms=block_ms)
            )
            return found
        latest = asyncio.get_running_loop().time() + block_ms / 1000
        rest_s = FIRST_REST_S
        while True:
            found = _together(
                await self._each(cursors, lambda node, own: node.peek(_of(own, cursors), count=count))
            )
            left_s = latest - asyncio.get_running_loop().time()
            if found or self.unreached or left_s <= 0:
                return found
            await asyncio.sleep(min(rest_s, left_s))
            rest_s = min(rest_s * 2, LAST_REST_S)

    async def read_all(self, partition: int, after: OutboxPosition) -> list[RawRecord]:
        """All records after a position that are there now."""
        return [record async for records in self.slices(partition, after) for record in records]

    async def slices(
        self, partition: int, after: OutboxPosition, *, before_epoch: int | None = None
    ) -> AsyncIterator[list[RawRecord]]:
        """All records after a position that are there now, some at a time; with ``before_epoch`` those of
        earlier ones.
        """
        while True:
            found = (await self.read({partition: after}, count=_READ_AT_ONCE, block_ms=1)).get(partition, [])
            earlier = [record for record in found if before_epoch is None or _epoch(record) < before_epoch]
            if earlier:
                yield earlier
                after = OutboxPosition.parse(earlier[-1].stream_id)
            if len(earlier) < _READ_AT_ONCE:
                return

    async def delete(self, partition: int, records: Sequence[RawRecord]) -> None:
        """Takes records out of the middle of an outbox; those before and behind them stay."""
        await self._each([partition], lambda node, _: node.delete(partition, records))

    async def trim(self, cursors: Mapping[int, OutboxPosition]) -> None:
        """Deletes all records up to each partition's cursor, in a Cluster as far as that can be reached."""
        try:
            await self._each(cursors, lambda node, own: node.trim(_of(own, cursors)))
        except StoreUnavailable:
            if not self.is_cluster:
                raise

    async def survey(self, partitions: Iterable[int]) -> dict[int, OutboxSurvey]:
        """What the store has of each partition now that can be reached."""
        asked = list(partitions)
        surveys = _together(await self._each(asked, lambda node, own: node.survey(own)))
        return {partition: surveys[partition] for partition in asked if partition in surveys}

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
        [taken] = await self._each(
            [partition],
            lambda node, _: node.take_over(
                partition,
                found=found,
                whatever_came=whatever_came,
                witness=witness,
                void_up_to=void_up_to,
            ),
        )
        return taken

    async def close(self, partition: int, *, found: OutboxSurvey) -> bool:
        """Lets nobody write to a partition any more, if it still has the witness that was found."""
        [closed] = await self._each([partition], lambda node, _: node.close(partition, found=found))
        return closed

    async def _each(
        self, partitions: Iterable[int], ask: Callable[[NodeOutboxes, list[int]], Awaitable[_Said]]
    ) -> list[_Said]:
        """Asks all nodes that have one of the partitions, and lets go of those that fail."""
        spread = await self._nodes.spread(partitions)
        answers = await asyncio.gather(
            *(ask(node, own) for node, own in spread.by_node.items()), return_exceptions=True
        )
        said, unreached = list[_Said](), spread.unreached
        for (node, own), answer in zip(spread.by_node.items(), answers, strict=True):
            if isinstance(answer, StoreUnavailable):
                await self._nodes.drop(node)
                unreached |= dict.fromkeys(own, str(answer))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                said.append(answer)
        self.unreached = unreached
        if unreached and not said:
            raise StoreUnavailable("; ".join(sorted(set(unreached.values()))))
        return said


def _epoch(record: RawRecord) -> int:
    return OutboxPosition.parse(record.stream_id).epoch


def _of(own: Iterable[int], cursors: Mapping[int, OutboxPosition]) -> dict[int, OutboxPosition]:
    return {partition: cursors[partition] for partition in own}


def _together(answers: Iterable[Mapping[int, _Said]]) -> dict[int, _Said]:
    return {partition: said for answer in answers for partition, said in answer.items()}


@asynccontextmanager
async def outbox_reader(url: str, *, timeout_s: float) -> AsyncIterator[OutboxReader]:
    """A reader connected to the store's primaries. Nothing that it sends is ever sent twice.

    Raises StoreUnavailable where none can be reached, and SetupRefused for an address that is none.
    """
    address = StoreAddress.parse(url)
    if address.is_cluster:
        async with ClusterNodes(address, timeout_s=timeout_s) as nodes:
            yield OutboxReader(nodes)
    else:
        async with node_outboxes(url, timeout_s=timeout_s) as only:
            yield OutboxReader(OnlyNode(only))
