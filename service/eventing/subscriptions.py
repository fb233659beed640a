"""Who subscribes to events at this server, and from where on."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from enum import StrEnum

from persistence.errors import Overloaded, Shortage
from persistence.postgres.ledger_settings import LedgerSettings
from persistence.postgres.reading.chains import ChainReader, EventFilter, require_within
from persistence.transactions import PlayerId, partition_of
from service.eventing.cursors import Cursor
from service.eventing.following import Behind, Following, Told, ToldEntry
from service.eventing.metrics import EventMetrics
from service.eventing.tail import Tail

_READING_AT_ONCE = 2
"""Of those who are behind; so that the tail always finds a connection."""

_RETRY_DELAY_MS = 1000


class Start(StrEnum):
    """Where a subscription begins that has no cursor."""

    BEGINNING = "beginning"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class SubscriptionLimits:
    """``heartbeat_s`` is the longest silence, ``most`` how many may subscribe at once."""

    heartbeat_s: float
    most: int


class Subscriptions:
    """All subscribers of one server."""

    def __init__(
        self,
        reader: ChainReader,
        tail: Tail,
        ledger: LedgerSettings,
        limits: SubscriptionLimits,
        metrics: EventMetrics,
    ) -> None:
        self._reader = reader
        self._tail = tail
        self._ledger = ledger
        self._limits = limits
        self._metrics = metrics
        self._turn = asyncio.Semaphore(_READING_AT_ONCE)
        self._count = 0
        metrics.watch_subscribers(lambda: self._count)

    async def cursor_at(self, start: str | Start) -> Cursor:
        """The cursor that a text is, or one at an end of the ledger.

        Raises CursorInvalid, CursorNotInLedger, LedgerUnavailable and Stopping.
        """
        self._tail.require()
        ledger_id, count = self._ledger.ledger_id, self._ledger.partition_count
        match start:
            case Start.BEGINNING:
                return Cursor(ledger_id, dict.fromkeys(range(count), 0))
            case Start.NOW:
                return Cursor(ledger_id, await self._reader.ends())
            case _:
                cursor = Cursor.read(start, ledger_id=ledger_id, partition_count=count)
                require_within(cursor.positions, await self._reader.ends())
                return cursor

    async def follow(self, cursor: Cursor, wanted: EventFilter) -> AsyncGenerator[Told, None]:
        """Tells what is beyond the cursor, and moves it along, for ever.

        Raises Overloaded where too many subscribe, LedgerUnavailable, CursorNotInLedger and Stopping.
        """
        with self._place():
            async with self._tail.followed():
                following = Following(
                    self._reader,
                    self._tail,
                    cursor,
                    wanted,
                    scope=self._scope(wanted),
                    heartbeat_s=self._limits.heartbeat_s,
                )
                async with aclosing(following.told(self._turn)) as all_told:
                    async for told in all_told:
                        yield told
                        self._count_told(told)

    def stop(self) -> None:
        """Ends all subscriptions."""
        self._tail.stop()

    def _scope(self, wanted: EventFilter) -> int | None:
        if not wanted.player_id:
            return None
        return partition_of(PlayerId(wanted.player_id), self._ledger.partition_count)

    def _count_told(self, told: Told) -> None:
        match told:
            case ToldEntry(entry=entry, is_live=is_live):
                self._metrics.count_told()
                if is_live:
                    self._metrics.observe_delay(time.time() - entry.chained.booked_ms / 1000)
            case Behind():
                self._metrics.count_fell_behind()
            case _:
                pass

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._count >= self._limits.most:
            raise Overloaded("too many subscribe", retry_delay_ms=_RETRY_DELAY_MS, cause=Shortage.SUBSCRIBERS)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
