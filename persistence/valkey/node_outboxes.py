"""The outboxes of one node's partitions, over one connection."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from lua import load_script
from persistence.drain_batch import RawRecord
from persistence.errors import StoreUnavailable
from persistence.transactions import OutboxPosition
from persistence.valkey.incarnations import incarnation_of
from persistence.valkey.keys import epoch_key, forgotten_key, outbox_key
from persistence.valkey.memory_use import memory_share
from persistence.valkey.node import node_connections
from persistence.valkey.server_errors import said_by
from persistence.witness import CLOSED, Witness

_CLOSE = load_script("close_partition")
_TAKE_OVER = load_script("take_over")
_LAST_SEQUENCE = 2**64 - 1
_Streams = Sequence[tuple[bytes, list[tuple[bytes, list[bytes]]]]]


@dataclass(frozen=True, slots=True)
class OutboxSurvey:
    """What the store has of a partition. ``last`` is the newest record ever written; None: there was none.

    ``incarnation`` is that of the primary that has the partition, ``memory_share`` how much of its limit the
    primary's memory takes; 0: it has no limit. ``first`` is the oldest record that stands there.
    """

    witness: str | None
    length: int
    last: OutboxPosition | None
    incarnation: str = ""
    memory_share: float = 0.0
    first: OutboxPosition | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nobody can write: the store is being taken over, or says of no ledger that it is its."""
        return self.witness is None or self.witness.endswith(CLOSED)

    def problem(self, ledger_id: UUID, epoch: int, cursor: OutboxPosition) -> str | None:
        """Why this is not the outbox that a ledger in this epoch, drained up to the cursor, follows."""
        try:
            witness = Witness.parse((self.witness or "").removesuffix(CLOSED))
        except ValueError:
            return f"the ledger is in epoch {epoch}, but the store does not say of which ledger it is"
        if witness.ledger_id != ledger_id:
            return f"the ledger is {ledger_id}, but the store is of another ledger, {witness.ledger_id}"
        if witness.epoch != epoch:
            return f"the ledger is in epoch {epoch}, but the store in epoch {witness.epoch}"
        if witness.incarnation != self.incarnation or self.is_closed:
            return "the store was started again, or another one was promoted, and is not taken over yet"
        # Of an epoch that goes on after records of an earlier one, the store need not have had those.
        drained_of_this_epoch = cursor.epoch == epoch and cursor.sequence >= 0
        if drained_of_this_epoch and (self.last is None or self.last < cursor):
            return f"the ledger is drained up to {cursor}, but the store lost what came after {self.last}"
        return None


class NodeOutboxes:
    """One connection of its own, for it blocks. Every method raises StoreUnavailable where the node fails, or
    has not got a partition (any more); the connection is then of no more use.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    async def read(
        self, cursors: Mapping[int, OutboxPosition], *, count: int, block_ms: int
    ) -> dict[int, list[RawRecord]]:
        """The next records of each partition after its cursor, at most ``count`` of each.

        Waits until there is one, but no longer than ``block_ms`` (at least 1).
        """
        partitions = {outbox_key(partition).encode(): partition for partition in cursors}
        command: list[str | int] = ["XREAD", "COUNT", count, "BLOCK", max(1, block_ms), "STREAMS"]
        command += map(outbox_key, cursors)
        command += [_just_before_next(cursor) for cursor in cursors.values()]
        (reply,) = await self._ask([command], extra_s=block_ms / 1000)
        return _records(partitions, reply)

    async def peek(self, cursors: Mapping[int, OutboxPosition], *, count: int) -> dict[int, list[RawRecord]]:
        """As ``read``, but without waiting, and partition by partition: in a Cluster no command may name
        streams of several slots.
        """
        partitions = {outbox_key(partition).encode(): partition for partition in cursors}
        replies = await self._ask(
            [
                ["XREAD", "COUNT", count, "STREAMS", outbox_key(partition), _just_before_next(cursor)]
                for partition, cursor in cursors.items()
            ]
        )
        found: dict[int, list[RawRecord]] = {}
        for reply in replies:
            found |= _records(partitions, reply)
        return found

    async def delete(self, partition: int, records: Sequence[RawRecord]) -> None:
        """Takes records out of the middle of an outbox."""
        await self._ask([["XDEL", outbox_key(partition), record.stream_id] for record in records])

    async def trim(self, cursors: Mapping[int, OutboxPosition]) -> None:
        """Deletes all records up to each partition's cursor."""
        await self._ask(
            [
                ["XTRIM", outbox_key(partition), "MINID", "=", f"{cursor.epoch}-{cursor.sequence + 1}"]
                for partition, cursor in cursors.items()
            ]
        )

    async def survey(self, partitions: Iterable[int]) -> dict[int, OutboxSurvey]:
        """What the store has of each partition now."""
        asked = list(partitions)
        if not asked:
            return {}
        commands: list[list[str | int]] = [["INFO", "replication"], ["INFO", "memory"]]
        for partition in asked:
            commands += [["GET", epoch_key(partition)], ["XINFO", "STREAM", outbox_key(partition)]]
        replication, memory, *replies = await self._ask(commands, no_key_is_none=True)
        incarnation = incarnation_of(cast("bytes", replication).decode())
        share = memory_share(cast("bytes", memory).decode())
        return {
            partition: _survey(witness, stream, incarnation, share)
            for partition, witness, stream in zip(asked, replies[0::2], replies[1::2], strict=True)
        }

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
        keys = (epoch_key(partition), outbox_key(partition), forgotten_key(partition))
        last = "*" if whatever_came else str(found.last or "")
        arguments = (found.witness or "", last, witness, str(void_up_to or ""))
        (reply,) = await self._ask([["EVAL", _TAKE_OVER.source, len(keys), *keys, *arguments]])
        return cast("list[bytes]", reply)[0] == b"OK"

    async def close(self, partition: int, *, found: OutboxSurvey) -> bool:
        """Lets nobody write to a partition any more, if it still has the witness that was found."""
        words = (found.witness or "", f"{found.witness}{CLOSED}")
        (reply,) = await self._ask([["EVAL", _CLOSE.source, 1, epoch_key(partition), *words]])
        return cast("list[bytes]", reply)[0] == b"OK"

    async def _ask(
        self, commands: Sequence[Sequence[str | int]], *, extra_s: float = 0.0, no_key_is_none: bool = False
    ) -> list[object]:
        if not commands:
            return []
        try:
            async with asyncio.timeout(self._timeout_s + extra_s):
                packed = self._connection.pack_commands(commands)
                await self._connection.send_packed_command(packed, check_health=False)
                return [await self._answer(no_key_is_none) for _ in commands]
        except (TimeoutError, OSError, RedisError) as error:
            said = said_by(error) if isinstance(error, RedisError) else type(error).__name__
            raise StoreUnavailable(f"the store did not answer: {said}") from error

    async def _answer(self, no_key_is_none: bool) -> object:
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except ResponseError as error:
            if no_key_is_none and "no such key" in str(error):
                return None
            raise


@asynccontextmanager
async def node_outboxes(url: str, *, timeout_s: float) -> AsyncIterator[NodeOutboxes]:
    """Connected. Nothing that it sends is ever sent twice. Raises StoreUnavailable."""
    connection = node_connections(url, timeout_s)()
    try:
        try:
            async with asyncio.timeout(timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (TimeoutError, OSError, RedisError) as error:
            raise StoreUnavailable(
                f"the store cannot be reached: {str(error) or type(error).__name__}"
            ) from error
        yield NodeOutboxes(connection, timeout_s)
    finally:
        await connection.disconnect(nowait=True)


def _records(partitions: Mapping[bytes, int], reply: object) -> dict[int, list[RawRecord]]:
    return {
        partitions[stream]: [RawRecord(stream_id.decode(), fields) for stream_id, fields in records]
        for stream, records in cast("_Streams", reply or [])
    }


def _just_before_next(cursor: OutboxPosition) -> str:
    """The stream id after which the next record stands; before an epoch's first it is the epoch's edge."""
    if cursor.sequence < 0:
        return f"{cursor.epoch - 1}-{_LAST_SEQUENCE}"
    return str(cursor)


def _survey(witness: object, stream: object, incarnation: str, share: float) -> OutboxSurvey:
    found = witness.decode(errors="replace") if isinstance(witness, bytes) else None
    if not isinstance(stream, list):
        return OutboxSurvey(found, 0, None, incarnation, share)
    facts = dict(zip(stream[0::2], stream[1::2], strict=True))
    last = OutboxPosition.parse(facts[b"last-generated-id"].decode())
    oldest = facts[b"first-entry"]
    first = OutboxPosition.parse(oldest[0].decode()) if oldest else None
    return OutboxSurvey(found, facts[b"length"], last if last.epoch else None, incarnation, share, first)
