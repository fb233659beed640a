"""What the house has of each currency for others, read from the ledger alone."""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction

from fx.position_results import Books, CurrencyResult, results_of
from fx.positions import Earning, Movement, carry_incomes, carry_positions
from fx.rates import Pair, Rate
from fx.valuation import Valuation
from persistence.postgres.database import Connection, Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.rate_rows import rate_of, read_pairs, read_pivots, unix_ms
from persistence.postgres.timed_transactions import timed_transaction

_DAY = timedelta(days=1)
_REPORTS_AT_ONCE = 2
"""Others wait for their turn, and leave connections to those who play."""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole UTC days from ``start`` to before ``end``; without a start, since the beginning."""

    start: date | None
    end: date


@dataclass(frozen=True, slots=True)
class HouseBalance:
    """Of the house's accounts of one currency, now. Minor units."""

    position: int = 0
    spread: int = 0
    rounding: int = 0


@dataclass(frozen=True, slots=True)
class PositionReport:
    """Results by currency, and the balances of now by currency, whatever the period: both of one moment of
    the ledger.
    """

    results: Sequence[CurrencyResult]
    balances: Mapping[str, HouseBalance]


class PositionReader:
    """Answers what the house has and what came of it.

    The pool's connections need no more than LedgerRole.READER. Deadlines are in the event loop's time.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(_REPORTS_AT_ONCE)

    async def report(self, period: Period, *, reporting: str, deadline: float) -> PositionReport:
        """Each day is valued at the rates of its end, as they were known then. Raises LedgerUnavailable."""
        async with self._turn(deadline):
            async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
                accounts = await connection.fetch(query("house_fx_accounts"))
                moved = await _read_movements(connection, accounts, period, deadline)
                journal = await _read_journal(connection, moved, period, reporting)
            # With years of history it takes longer than other calls should wait for.
            results = await asyncio.to_thread(_results, journal, period)
        return PositionReport(results, _balances(accounts))

    @asynccontextmanager
    async def _turn(self, deadline: float) -> AsyncIterator[None]:
        with translated_errors():
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()


def _balances(accounts: Iterable[Row]) -> dict[str, HouseBalance]:
    """Each currency has an account of each bucket in every partition."""
    sums: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for account in accounts:
        sums[account["currency"]][account["bucket"].removeprefix("fx_")] += int(account["balance"])
    return {currency: HouseBalance(**of_currency) for currency, of_currency in sorted(sums.items())}


@dataclass(frozen=True, slots=True)
class _Journal:
    """All that was converted before the period's end, and the rates of every moment that it takes."""

    reporting: str
    movements: Sequence[Movement]
    earnings: Sequence[Earning]
    rates: Mapping[datetime, Sequence[Rate]]
    pairs: Sequence[Pair]
    pivots: Sequence[str]
    scales: Mapping[str, int]
    _valuations: dict[datetime, Valuation] = field(default_factory=dict)

    def valuation(self, moment: datetime) -> Valuation:
        if moment not in self._valuations:
            self._valuations[moment] = Valuation(
                self.reporting,
                at_ms=unix_ms(moment),
                rates=self.rates.get(moment, ()),
                pairs=self.pairs,
                pivots=self.pivots,
                scales=self.scales,
            )
        return self._valuations[moment]

    def worth(self, day: date, currency: str, amount: int) -> Fraction | None:
        return self.valuation(_end_of(day)).worth(currency, amount)


async def _read_movements(
    connection: Connection, accounts: Sequence[Row], period: Period, deadline: float
) -> Sequence[Row]:
    """It may take as long as the caller will wait, though other reads have less time."""
    left_s = max(0.001, deadline - asyncio.get_running_loop().time())
    await connection.execute(query("limit_statements"), str(math.ceil(left_s * 1000)))
    columns = [[account[name] for account in accounts] for name in ("account_id", "bucket")]
    return await connection.fetch(query("fx_movements"), _midnight(period.end), *columns, timeout=left_s)


async def _read_journal(
    connection: Connection, rows: Sequence[Row], period: Period, reporting: str
) -> _Journal:
    movements, earnings = [_movement(row) for row in rows], [*_earnings(rows)]
    pairs, pivots = await read_pairs(connection), await read_pivots(connection)
    moments = _moments_of(movements, earnings, period, reporting)
    return _Journal(
        reporting,
        movements,
        earnings,
        await _read_rates(connection, _ways(moments, pairs, {reporting, *pivots})),
        pairs,
        pivots,
        {row["currency_code"]: row["scale"] for row in await connection.fetch(query("currencies"))},
    )


def _movement(row: Row) -> Movement:
    """Of what players paid, the house got the wallet's currency for the other one."""
    requested = row["requested_currency"], abs(int(row["requested_amount"]))
    wallet = row["wallet_currency"], abs(int(row["wallet_amount"]))
    legs = (*wallet, *requested) if row["is_paid"] else (*requested, *wallet)
    return Movement(row["day"], *legs)


def _earnings(rows: Iterable[Row]) -> Iterator[Earning]:
    """One for a day and currency, where there are rows for each pair and direction."""
    earned: defaultdict[tuple[date, str], list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        if row["spread"] or row["rounding"]:
            earned[row["day"], row["wallet_currency"]].append((int(row["spread"]), int(row["rounding"])))
    for (day, currency), amounts in earned.items():
        spread, rounding = (sum(of_kind) for of_kind in zip(*amounts, strict=True))
        yield Earning(day, currency, spread, rounding)


def _moments_of(
    movements: Sequence[Movement], earnings: Sequence[Earning], period: Period, reporting: str
) -> Mapping[datetime, set[str]]:
    """Which currencies take a rate when: at the end of a day what moved on it, at both ends everything."""
    moments: defaultdict[datetime, set[str]] = defaultdict(set)
    everything: set[str] = set()
    for movement in movements:
        moved = {movement.incoming, movement.outgoing}
        everything |= moved
        if reporting not in moved:
            moments[_end_of(movement.day)] |= moved
    for earning in earnings:
        moments[_end_of(earning.day)].add(earning.currency)
    for bound in (_opening_moment(period), _midnight(period.end)):
        moments[bound] |= everything
    return moments


def _ways(
    moments: Mapping[datetime, set[str]], pairs: Iterable[Pair], targets: set[str]
) -> Iterator[tuple[datetime, str, str]]:
    """The pairs that currencies may be valued by: with the reporting currency or a pivot on one side."""
    known = [(pair.base, pair.quote) for pair in pairs if not targets.isdisjoint({pair.base, pair.quote})]
    for moment, currencies in moments.items():
        codes = currencies | targets
        for base, quote in known:
            if base in codes and quote in codes:
                yield moment, base, quote


async def _read_rates(
    connection: Connection, asked: Iterable[tuple[datetime, str, str]]
) -> Mapping[datetime, Sequence[Rate]]:
    columns = [*zip(*asked, strict=True)] or [(), (), ()]
    rates: defaultdict[datetime, list[Rate]] = defaultdict(list)
    for row in await connection.fetch(query("rates_at_moments"), *columns):
        rates[row["at_time"]].append(rate_of(row))
    return rates


def _results(journal: _Journal, period: Period) -> Sequence[CurrencyResult]:
    start = period.start or date.min
    nothing = Books({}, {}, journal.valuation(_opening_moment(period)))
    opening = _carried(nothing, journal, _opening_moment(period), before=start)
    closing = _carried(opening, journal, _midnight(period.end), since=start)
    return results_of(opening, closing)


def _carried(
    books: Books,
    journal: _Journal,
    moment: datetime,
    *,
    since: date = date.min,
    before: date = date.max,
) -> Books:
    positions = carry_positions(
        books.positions,
        [movement for movement in journal.movements if since <= movement.day < before],
        reporting=journal.reporting,
        worth=journal.worth,
    )
    incomes = carry_incomes(
        books.incomes,
        [earning for earning in journal.earnings if since <= earning.day < before],
        worth=journal.worth,
    )
    return Books(positions, incomes, journal.valuation(moment))


def _opening_moment(period: Period) -> datetime:
    return _midnight(period.start or period.end)


def _end_of(day: date) -> datetime:
    return _midnight(day + _DAY)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
