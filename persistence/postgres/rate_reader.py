"""Reads of rates for people: what a rate was, what waits for a decision, and what was set up.

Lists are ordered, a page begins right after the last rate of the page before, and a history ends at what was
the newest rate when its first page was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fx.rates import Pair, Spread
from persistence.errors import PageTokenInvalid, PairUnknown, RateNotFound
from persistence.postgres.database import Connection, Pool
from persistence.postgres.queries import query
from persistence.postgres.rate_rows import (
    RecordedRate,
    read_pairs,
    read_pivots,
    read_spreads,
    recorded_rate_of,
    time_of,
)
from persistence.postgres.reading.page_tokens import read_token, write_token
from persistence.postgres.timed_transactions import timed_transaction

_WAITING = ("waiting rates",)


@dataclass(frozen=True, slots=True)
class RatePeriod:
    """A pair's rates by the time when they were published, Unix milliseconds; ``end_ms`` is exclusive."""

    base: str
    quote: str
    start_ms: int = 0
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RatePage:
    """Some rates. ``next_page_token`` is empty where there are no more."""

    rates: Sequence[RecordedRate]
    next_page_token: str


class RateReader:
    """Answers questions about rates, over a pool of the registrar's connections.

    Deadlines are in the event loop's time. Beside what each method names, all of them raise
    LedgerUnavailable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def rate_at(
        self, base: str, quote: str, *, at_ms: int, known_ms: int | None = None, deadline: float
    ) -> RecordedRate:
        """The rate of a pair at one time as was known at another, None for now.

        Waits for who pushes or decides at this moment: what is answered about a time that has passed stays
        so. Raises PairUnknown and RateNotFound.
        """
        async with timed_transaction(self._pool, deadline) as connection:
            await _require_pair(connection, "await_pushes", base, quote)
            row = await connection.fetchrow(
                query("rate_at"), base, quote, time_of(at_ms), _time_or_none(known_ms)
            )
        if row is None:
            raise RateNotFound(f"there was no rate of {base}/{quote} then")
        return recorded_rate_of(row)

    async def list_rates(
        self, period: RatePeriod, *, page_size: int, page_token: str, deadline: float
    ) -> RatePage:
        """A page of a pair's history, by published time. Raises PairUnknown and PageTokenInvalid."""
        scope = ("rates", period.base, period.quote, period.start_ms, period.end_ms)
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            if page_token:
                published_ms, after_id, newest_id = read_token(page_token, scope, count=3)
            else:
                await _require_pair(connection, "pair_exists", period.base, period.quote)
                published_ms, after_id = period.start_ms, 0
                newest_id = await connection.fetchval(query("newest_rate_id"))
            try:
                after = time_of(published_ms)
            except OverflowError:
                raise PageTokenInvalid from None
            rows = await connection.fetch(
                query("list_rates"),
                period.base,
                period.quote,
                after,
                after_id,
                newest_id,
                _time_or_none(period.end_ms),
                page_size + 1,
            )
        shown, token = [recorded_rate_of(row) for row in rows[:page_size]], ""
        if len(rows) > page_size:
            last = shown[-1].rate
            token = write_token((last.published_ms, last.rate_id, newest_id), scope)
        return RatePage(shown, token)

    async def list_waiting(self, *, page_size: int, page_token: str, deadline: float) -> RatePage:
        """A page of the rates that wait for a decision, oldest first. Raises PageTokenInvalid."""
        (after_id,) = read_token(page_token, _WAITING, count=1) if page_token else (0,)
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            rows = await connection.fetch(query("list_waiting_rates"), after_id, page_size + 1)
        shown = [recorded_rate_of(row) for row in rows[:page_size]]
        token = write_token((shown[-1].rate.rate_id,), _WAITING) if len(rows) > page_size else ""
        return RatePage(shown, token)

    async def pairs_and_pivots(self, *, deadline: float) -> tuple[Sequence[Pair], Sequence[str]]:
        """Pairs by base and quote, and pivots in their order."""
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            return await read_pairs(connection), await read_pivots(connection)

    async def spreads(self, *, deadline: float) -> Sequence[Spread]:
        """By currency, wallet currency, side and group."""
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            return await read_spreads(connection)


async def _require_pair(connection: Connection, name: str, base: str, quote: str) -> None:
    if not await connection.fetchval(query(name), base, quote):
        raise PairUnknown(base, quote)


def _time_or_none(unix_ms: int | None) -> datetime | None:
    return None if unix_ms is None else time_of(unix_ms)
