"""What one subscriber is told: from the ledger as long as it is behind, then from the shared tail.

A subscriber is its cursor and no queue. It takes the next message when the one before has left, so that one
that is slow slows down nobody and holds nothing: when the tail does not have its place any more, it is read
from the ledger again, page by page. As each partition's places are contiguous, both ways of reading meet
without a gap: what the cursor has passed is skipped, and what it has not is never jumped over.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from persistence.postgres.reading.chains import EVERYTHING, ChainReader, EventFilter
from persistence.postgres.reading.entries import RecordedEntry
from service.eventing.cursors import Cursor
from service.eventing.tail import Tail

_PAGE_ENTRIES = 200
_SEARCHED_ENTRIES = 1000
"""Of a filtered page: how many are looked through in the database for those that fit."""

_BREATHE_EVERY = 64
"""Entries that are passed over without a message, before others get their turn."""


@dataclass(frozen=True, slots=True)
class ToldEntry:
    """An entry. Its subscriber's cursor is right behind it until the next message is asked for. ``is_live``:
    the subscriber was not behind.
    """

    entry: RecordedEntry
    is_live: bool


@dataclass(frozen=True, slots=True)
class Idle:
    """A sign of life."""

    entries_behind: int


@dataclass(frozen=True, slots=True)
class Behind:
    """The subscriber fell out of the tail."""

    entries_behind: int


Told = ToldEntry | Idle | Behind


class Following:
    """One subscriber. ``scope`` is the only partition that can have what it wants, None for all."""

    def __init__(
        self,
        reader: ChainReader,
        tail: Tail,
        cursor: Cursor,
        wanted: EventFilter,
        *,
        scope: int | None,
        heartbeat_s: float,
    ) -> None:
        self._reader = reader
        self._tail = tail
        self._life = tail.life
        self._cursor = cursor
        self._wanted = wanted
        self._scope = scope
        self._heartbeat_s = heartbeat_s
        self._told_s = 0.0

    async def told(self, turn: asyncio.Semaphore) -> AsyncGenerator[Told, None]:
        """Moves the cursor along for ever. Whoever reads the ledger waits for its ``turn``.

        Raises LedgerUnavailable, CursorNotInLedger and Stopping.
        """
        yield self._idle()
        while True:
            async for told in self._from_ledger(turn):
                yield told
            async for told in self._from_tail():
                yield told
            yield Behind(self._tail.behind(self._cursor.positions))

    async def _from_ledger(self, turn: asyncio.Semaphore) -> AsyncGenerator[Told, None]:
        """Until the tail has all that is left."""
        while not self._tail.covers(self._cursor.positions):
            self._tail.require(self._life)
            self._leave_out_other_partitions()
            behind = {
                partition: position
                for partition, position in self._cursor.positions.items()
                if position < self._tail.floor[partition]
            }
            if not behind:
                continue
            entries = _PAGE_ENTRIES if self._wanted == EVERYTHING else _SEARCHED_ENTRIES
            async with turn:
                page = await self._reader.read(
                    behind, limit=max(1, entries // len(behind)), wanted=self._wanted
                )
            for entry in page.entries:
                yield self._pass(entry, is_live=False)
            self._cursor.advance(page.positions)
            if self._left_s() <= 0:
                yield self._idle()

    async def _from_tail(self) -> AsyncGenerator[Told, None]:
        """Until the tail has lost what comes next."""
        tail, positions = self._tail, self._cursor.positions
        number, passed_over = tail.first, 0
        tail.require(self._life)
        while number >= tail.first:
            if number == tail.next:
                await tail.until_changed(number, timeout_s=self._left_s())
                tail.require(self._life)
                if self._left_s() <= 0:
                    yield self._idle()
                continue
            entry = tail[number]
            number += 1
            chained = entry.chained
            partition, place = chained.entry_id.partition, chained.chain_position
            if place > positions[partition]:
                return
            if place == positions[partition]:
                if self._wanted.admits(chained):
                    yield self._pass(entry, is_live=True)
                    passed_over = 0
                    continue
                self._cursor.move(partition, place + 1)
            passed_over += 1
            if passed_over % _BREATHE_EVERY == 0:
                await asyncio.sleep(0)
                if self._left_s() <= 0:
                    yield self._idle()

    def _leave_out_other_partitions(self) -> None:
        if self._scope is not None:
            self._cursor.advance(
                {
                    partition: max(end, self._cursor.positions[partition])
                    for partition, end in self._tail.positions.items()
                    if partition != self._scope
                }
            )

    def _pass(self, entry: RecordedEntry, *, is_live: bool) -> ToldEntry:
        self._told_s = _now_s()
        self._cursor.move(entry.chained.entry_id.partition, entry.chained.chain_position + 1)
        return ToldEntry(entry, is_live)

    def _idle(self) -> Idle:
        self._told_s = _now_s()
        return Idle(self._tail.behind(self._cursor.positions))

    def _left_s(self) -> float:
        """How long nothing may be told."""
        return self._told_s + self._heartbeat_s - _now_s()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
