"""Currencies, their denominations and sources as operators put them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from fx.currencies import Currency, CurrencyKind, CurrencyStatus
from fx.denominations import Denomination
from persistence.calls import (
    ForeignCurrencyPolicy,
    LateWinPolicy,
    RateLimit,
    SettledRollbackPolicy,
    ShortfallPolicy,
    Source,
    SourceStatus,
    UnknownBetPolicy,
    ZeroAmountPolicy,
)
from persistence.errors import CurrencyImmutable
from persistence.postgres.database import Pool, RecordRefused, Row, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import SourceId

_IMMUTABLE_CONSTRAINTS = ("what_amounts_mean_never_changes", "a_code_is_a_currency_or_a_denomination")


class PostgresRegistry:
    """Reads and writes the registry over a pool of the registrar's connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> tuple[Mapping[str, Currency], Mapping[str, Denomination], Mapping[str, Source]]:
        """All currencies and denominations by code and all sources by id. Raises LedgerUnavailable.

        Denominations first: so the currency of each is among the currencies.
        """
        with translated_errors():
            async with self._pool.acquire() as connection:
                denominations = await connection.fetch(query("denominations"))
                currencies = await connection.fetch(query("currencies"))
                sources = await connection.fetch(query("sources"))
        return (
            {
                row["currency_code"]: Currency(
                    row["currency_code"],
                    row["display_name"],
                    row["scale"],
                    CurrencyKind(row["kind"]),
                    CurrencyStatus(row["status"]),
                )
                for row in currencies
            },
            {row["denomination_code"]: _denomination_of(row) for row in denominations},
            {
                row["source_id"]: Source(
                    SourceId(row["source_id"]),
                    row["display_name"],
                    SourceStatus(row["status"]),
                    SettledRollbackPolicy(row["settled_rollback"]),
                    UnknownBetPolicy(row["unknown_bet"]),
                    LateWinPolicy(row["late_win"]),
                    ShortfallPolicy(row["shortfall"]),
                    ZeroAmountPolicy(row["zero_amount"]),
                    ForeignCurrencyPolicy(row["foreign_currency"]),
                    row["orphan_horizon_ms"],
                    _rate_limit_of(row),
                )
                for row in sources
            },
        )

    async def plant_currencies(self, currencies: Iterable[Currency]) -> None:
        """Adds the currencies that the registry does not have; what operators changed stays."""
        rows = [_currency_row(currency) for currency in currencies]
        with translated_errors():
            async with self._pool.acquire() as connection:
                await connection.executemany(query("plant_currency"), rows)

    async def plant_denominations(self, denominations: Iterable[Denomination]) -> None:
        """Adds those that the registry does not have, as far as it has their currencies."""
        rows = [_denomination_row(denomination) for denomination in denominations]
        with translated_errors():
            async with self._pool.acquire() as connection:
                await connection.executemany(query("plant_denomination"), rows)

    async def put_currency(self, currency: Currency) -> bool:
        """Stores a currency and returns whether it is new. Raises CurrencyImmutable and LedgerUnavailable."""
        with _told_as_immutable(currency.code), translated_errors():
            return bool(await self._pool.fetchval(query("put_currency"), *_currency_row(currency)))

    async def put_denomination(self, denomination: Denomination) -> bool:
        """As put_currency; none is ever changed. Raises CurrencyImmutable and LedgerUnavailable."""
        row = _denomination_row(denomination)
        with _told_as_immutable(denomination.code), translated_errors():
            if await self._pool.fetchval(query("put_denomination"), *row):
                return True
            stored = await self._pool.fetchrow(query("denomination"), denomination.code)
        if stored is None or _denomination_of(stored) != denomination:
            raise CurrencyImmutable(denomination.code)
        return False

    async def put_source(self, source: Source) -> bool:
        """Stores a source and returns whether it is new. Raises LedgerUnavailable."""
        row = (
            source.source_id,
            source.display_name,
            source.status,
            source.settled_rollback,
            source.unknown_bet,
            source.late_win,
            source.shortfall,
            source.zero_amount,
            source.foreign_currency,
            source.orphan_horizon_ms,
            source.rate_limit.calls_per_s if source.rate_limit else None,
            source.rate_limit.burst if source.rate_limit else None,
        )
        with translated_errors():
            return bool(await self._pool.fetchval(query("put_source"), *row))


@contextmanager
def _told_as_immutable(code: str) -> Iterator[None]:
    """Raises CurrencyImmutable where a rule says that the code has another meaning already."""
    try:
        yield
    except RecordRefused as refused:
        if refused.constraint in _IMMUTABLE_CONSTRAINTS:
            raise CurrencyImmutable(code) from refused
        raise


def _rate_limit_of(row: Row) -> RateLimit | None:
    return None if row["calls_per_s"] is None else RateLimit(row["calls_per_s"], row["burst_calls"])


def _denomination_of(row: Row) -> Denomination:
    return Denomination(row["denomination_code"], row["currency_code"], row["exponent"])


def _denomination_row(denomination: Denomination) -> tuple[str, str, int]:
    return denomination.code, denomination.currency, denomination.exponent


def _currency_row(currency: Currency) -> tuple[str, str, int, str, str]:
    return currency.code, currency.display_name, currency.scale, currency.kind, currency.status
