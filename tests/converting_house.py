"""A house that converts, with one player, on a ledger that the engine and the drainer fill."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import asyncpg
from redis.asyncio import Redis

from fx.currencies import initial_currencies
from fx.position_results import CurrencyResult
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.reading.ledger_reader import LedgerReader
from persistence.postgres.reading.positions import Period, PositionReader, PositionReport
from persistence.postgres.registry import PostgresRegistry
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.drained_ledger import EUR, wallets
from tests.integration.test_foreign_transactions import DATABASE, SOURCES, Player
from tests.market import Market

TODAY = datetime.now(UTC).date()
FOR_EVER = Period(None, TODAY + timedelta(days=2))
"""The tests may run past midnight."""


def days_ago(count: int) -> date:
    return TODAY - timedelta(days=count)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class House:
    """A house with one player, and what its books say."""

    player: Player

    @property
    def dsn(self) -> str:
        return self.player.house.ledger_dsn

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[PositionReader]:
        """Once everything is drained."""
        await self.player.house.drain()
        async with ledger_pool(self.dsn, role=LedgerRole.READER, size=3, statement_timeout_s=10.0) as pool:
            yield PositionReader(pool)

    async def report(self, period: Period = FOR_EVER, *, reporting: str = EUR) -> PositionReport:
        async with self.reader() as reader:
            return await reader.report(period, reporting=reporting, deadline=deadline_after(10.0))

    async def results(self, period: Period = FOR_EVER, *, reporting: str = EUR) -> dict[str, CurrencyResult]:
        report = await self.report(period, reporting=reporting)
        return {result.currency: result for result in report.results}

    async def put_rate(
        self, base: str, quote: str, mid: str, *, published: datetime, received: datetime | None = None
    ) -> str:
        """The id of a rate that is accepted."""
        async with self._as(OWNER) as connection:
            await connection.execute(
                "INSERT INTO fx.pairs (base, quote, stale_after_s, jump_bps, two_person_bps, peg_band_bps) "
                "VALUES ($1, $2, 60, 100, 100, 0) ON CONFLICT DO NOTHING",
                base,
                quote,
            )
            rate_id = await connection.fetchval(
                "INSERT INTO fx.rates "
                "(source, base, quote, mid, published_time, received_time, state, pushed_by, reason) "
                "VALUES ('test', $1, $2, $3, $4, $5, 'accepted', '', '') RETURNING rate_id",
                base,
                quote,
                Decimal(mid),
                published,
                received or published,
            )
        return str(rate_id)

    async def put_pivots(self, *codes: str) -> None:
        async with self._as(OWNER) as connection:
            await connection.executemany(
                "INSERT INTO fx.pivots (rank, currency_code) VALUES ($1, $2)", list(enumerate(codes, 1))
            )

    async def backdate(self, day: date, *transaction_ids: str) -> None:
        """As if these had been booked on that day, which nobody but a test can do."""
        await self.player.house.drain()
        async with self._as(SUPERUSER) as connection:
            await connection.execute("SET session_replication_role = replica")
            changed = await connection.execute(
                "UPDATE ledger.entries SET booked_time = $1 WHERE transaction_id = ANY ($2)",
                midnight(day) + timedelta(hours=23, minutes=59),
                transaction_ids,
            )
        assert changed == f"UPDATE {len(transaction_ids)}"

    async def sums(self) -> dict[str, int]:
        """Of all accounts of all owners, by currency."""
        await self.player.house.drain()
        sums: defaultdict[str, int] = defaultdict(int)
        async with ledger_pool(self.dsn, role=LedgerRole.READER, size=1, statement_timeout_s=10.0) as pool:
            for line in await LedgerReader(pool).trial_balance(None, deadline=deadline_after(10.0)):
                sums[line.currency] += line.balance
        return dict(sums)

    @asynccontextmanager
    async def _as(self, user: str) -> "AsyncIterator[asyncpg.Connection]":
        connection = await asyncpg.connect(self.dsn.replace(f"//{OWNER}:", f"//{user}:"))
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def opened_house(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    """A player with 1000.00 EUR, and a market that knows USD, JPY and BRL in EUR."""
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    market = Market({("USD", "EUR"): "0.9200", ("JPY", "EUR"): "0.006", ("BRL", "EUR"): "0.16"})
    async with ledger_pool(ledger_dsn, role=LedgerRole.REGISTRAR, size=1, statement_timeout_s=10.0) as pool:
        await PostgresRegistry(pool).plant_currencies(initial_currencies())
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with wallets(url, ledger_dsn, sources=SOURCES, rates=market) as opened:
            yield House(await Player(opened, market, store).with_wallets(EUR, start=100_000))
