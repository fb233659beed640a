"""Currencies and sources as operators put them."""

from collections.abc import Iterable, Mapping

from fx.currencies import Currency, CurrencyKind, CurrencyStatus
from persistence.calls import (
    ForeignCurrencyPolicy,
    LateWinPolicy,
    SettledRollbackPolicy,
    ShortfallPolicy,
    Source,
    SourceStatus,
    UnknownBetPolicy,
    ZeroAmountPolicy,
)
from persistence.errors import CurrencyImmutable
from persistence.postgres.database import Pool, RecordRefused, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import SourceId

_IMMUTABLE_CONSTRAINT = "what_amounts_mean_never_changes"


class PostgresRegistry:
    """Reads and writes the registry over a pool of the registrar's connections."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> tuple[Mapping[str, Currency], Mapping[str, Source]]:
        """All currencies by code and all sources by id. Raises LedgerUnavailable."""
        with translated_errors():
            async with self._pool.acquire() as connection:
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

    async def put_currency(self, currency: Currency) -> bool:
        """Stores a currency and returns whether it is new. Raises CurrencyImmutable and LedgerUnavailable."""
        try:
            with translated_errors():
                return bool(await self._pool.fetchval(query("put_currency"), *_currency_row(currency)))
        except RecordRefused as refused:
            if refused.constraint == _IMMUTABLE_CONSTRAINT:
                raise CurrencyImmutable(currency.code) from refused
            raise

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
        )
        with translated_errors():
            return bool(await self._pool.fetchval(query("put_source"), *row))


def _currency_row(currency: Currency) -> tuple[str, str, int, str, str]:
    return currency.code, currency.display_name, currency.scale, currency.kind, currency.status
