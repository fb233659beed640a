"""Rates as the service knows them: read from the ledger's database, kept in memory as one book.

To lock a rate costs no I/O. The book is read again every second or so, and at once after this server changed
something, so that every server knows a change within seconds. Should Postgres be away, the book stays in use
until its rates are stale by their own published times: then nothing is converted any more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog

from fx import rate_book
from fx.currencies import CurrencyStatus
from fx.rate_book import PairCondition, RateBook
from fx.rate_locks import RateLock, Side
from fx.rates import Pair, Spread
from persistence import errors
from persistence.errors import CurrencyUnknown, LedgerUnavailable
from persistence.postgres.rate_rows import RecordedRate
from persistence.postgres.rates import Decision, PushedRate, PushResult
from persistence.valkey.engine import deadline_after
from service.errors import ERROR_CODES
from service.registry import Registry

_log = structlog.get_logger(__name__)

_Result = TypeVar("_Result")


class RatesStore(Protocol):
    """Where rates are kept: persistence.postgres.rates."""

    async def book(self, *, deadline: float) -> RateBook: ...
    async def push(
        self, source: str, rates: Sequence[PushedRate], *, pushed_by: str, deadline: float
    ) -> Sequence[PushResult]: ...
    async def decide(
        self, rate_id: int, decision: Decision, *, by: str, reason: str, deadline: float
    ) -> RecordedRate: ...
    async def put_pair(self, pair: Pair, *, deadline: float) -> bool: ...
    async def put_spread(self, spread: Spread, *, deadline: float) -> bool: ...
    async def remove_spread(self, spread: Spread, *, deadline: float) -> bool: ...
    async def put_pivots(self, codes: Sequence[str], *, deadline: float) -> None: ...


def system_now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Rates:
    """The rates of now. Beside what they name, methods that change something raise LedgerUnavailable."""

    def __init__(
        self,
        store: RatesStore,
        registry: Registry,
        *,
        read_timeout_s: float,
        now_ms: Callable[[], int] = system_now_ms,
    ) -> None:
        self._store = store
        self._registry = registry
        self._read_timeout_s = read_timeout_s
        self._now_ms = now_ms
        self._book = RateBook(rates=(), pairs=(), spreads=(), pivots=(), scales={})
        self._reading = asyncio.Lock()

    def lock(self, currency: str, wallet_currency: str, *, side: Side, player_group: str = "") -> RateLock:
        """The rate that an amount in another currency than the wallet's gets now. Raises RateUnusable."""
        try:
            return self._book.lock(
                currency, wallet_currency, side=side, player_group=player_group, now_ms=self._now_ms()
            )
        except rate_book.RateUnusable as error:
            raise _told(error) from error

    def offer(self, currency: str, wallet_currency: str, *, side: Side, player_group: str) -> str:
        """For the scripts: wallet currency, its status, and a rate lock or "!" with the reason why there is
        none, with ";" between them.
        """
        try:
            lock = str(self.lock(currency, wallet_currency, side=side, player_group=player_group))
        except errors.RateUnusable as error:
            lock = f"!{ERROR_CODES[type(error)][1]}"
        return f"{wallet_currency};{self._status_of(wallet_currency)};{lock}"

    def conditions(self) -> Sequence[PairCondition]:
        """How each pair is now."""
        return self._book.conditions(self._now_ms())

    async def push(
        self, source: str, rates: Sequence[PushedRate], *, pushed_by: str, deadline: float
    ) -> Sequence[PushResult]:
        """A result for each rate."""
        return await self._change(self._store.push(source, rates, pushed_by=pushed_by, deadline=deadline))

    async def decide(
        self, rate_id: int, decision: Decision, *, by: str, reason: str, deadline: float
    ) -> RecordedRate:
        """The rate afterwards. Raises RateNotFound, RateNotHeld and SamePerson."""
        return await self._change(
            self._store.decide(rate_id, decision, by=by, reason=reason, deadline=deadline)
        )

    async def put_pair(self, pair: Pair, *, deadline: float) -> bool:
        """Whether it is new."""
        return await self._change(self._store.put_pair(pair, deadline=deadline))

    async def put_spread(self, spread: Spread, *, deadline: float) -> bool:
        """Whether there was none for the same."""
        return await self._change(self._store.put_spread(spread, deadline=deadline))

    async def remove_spread(self, spread: Spread, *, deadline: float) -> bool:
        """Whether there was one for the same, of any size."""
        return await self._change(self._store.remove_spread(spread, deadline=deadline))

    async def put_pivots(self, codes: Sequence[str], *, deadline: float) -> None:
        await self._change(self._store.put_pivots(codes, deadline=deadline))

    async def refresh(self) -> None:
        """Reads the book again. Raises LedgerUnavailable.

        One read at a time: an older one that took longer must not undo what a newer one found.
        """
        async with self._reading:
            self._book = await self._store.book(deadline=deadline_after(self._read_timeout_s))

    async def keep_fresh(self, every_s: float) -> None:
        """Refreshes for ever."""
        while True:
            await asyncio.sleep(every_s)
            await self._try_refresh()

    def _status_of(self, code: str) -> CurrencyStatus:
        try:
            return self._registry.currency(code, "").status
        except CurrencyUnknown:  # another server put it a moment ago; there is no rate for it yet
            return CurrencyStatus.ENABLED

    async def _change(self, change: Awaitable[_Result]) -> _Result:
        """What was changed stays so, and is told, should the book not be readable just then."""
        result = await change
        await self._try_refresh()
        return result

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except LedgerUnavailable as error:
            _log.warning("rates_not_refreshed", error=str(error))
        except Exception:
            _log.exception("rates_not_refreshed")


def _told(error: rate_book.RateUnusable) -> errors.RateUnusable:
    kinds: dict[type[rate_book.RateUnusable], type[errors.RateUnusable]] = {
        rate_book.RateUnknown: errors.RateUnknown,
        rate_book.RateStale: errors.RateStale,
        rate_book.RateHeld: errors.RateHeld,
        rate_book.CurrencyDepegged: errors.CurrencyDepegged,
    }
    return kinds[type(error)](str(error), currency=error.currency, wallet_currency=error.wallet_currency)
