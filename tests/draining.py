"""A ledger, an outbox to fill by hand, and drainers to start, stop and break."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from persistence.adoption import adopt_partitions
from persistence.drain_batch import PartitionState, RawRecord
from persistence.drain_metrics import DrainMetrics
from persistence.drain_settings import DrainSettings
from persistence.drainer import Drainer
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.leases import Leases
from persistence.postgres.ledger_writer import LedgerWriter, go_on
from persistence.transactions import OutboxPosition
from persistence.valkey.keys import epoch_key
from persistence.valkey.outbox_reader import outbox_reader
from persistence.witness import Witness
from tests.outbox_feed import FedWallet, OutboxFeed
from tests.waiting import until

INCARNATION = "b" * 40

BALANCES = """
    SELECT owner_kind || ' ' || owner_id || ' ' || bucket || ' ' || currency AS account, sum(balance)::bigint
    FROM ledger.accounts JOIN ledger.balances USING (account_id) GROUP BY 1
"""
BOOKS = """
    SELECT
        (SELECT count(*) FROM ledger.entries) AS entries,
        (SELECT count(*) FROM ledger.postings) AS postings,
        (SELECT md5(string_agg(hash::text, '' ORDER BY partition, chain_position)) FROM ledger.entries)
            AS chains,
        (SELECT md5(string_agg(account_id || ' ' || balance, ',' ORDER BY account_id)) FROM ledger.balances)
            AS balances,
        (SELECT md5(string_agg((partition, cursor_sequence, entry_count, chain_hash)::text, ','
            ORDER BY partition)) FROM ledger.partitions) AS cursors
"""


@dataclass(frozen=True, slots=True)
class Claimant:
    """Both hands of a drainer in the ledger."""

    leases: Leases
    writer: LedgerWriter

    async def take(self, *partitions: int) -> list[PartitionState]:
        """New leases on these, as far as they are to be had."""
        taken = await self.leases.take(partitions, limit=len(partitions))
        return [found.state for found in taken]


@dataclass(slots=True)
class Draining:
    """One test's ledger and store. ``sql`` is a connection of the ledger's owner."""

    ledger_dsn: str
    valkey_url: str
    feed: OutboxFeed
    sql: Connection
    metrics: CollectorRegistry

    def drainer(
        self,
        *,
        batch_records: int = 100,
        claim_interval_s: float = 0.05,
        lease_s: float = 0.5,
        worker_count: int = 2,
        statement_timeout_s: float = 10.0,
        between_steps: Callable[[str], Awaitable[None]] = go_on,
        drainer_id: str | None = None,
    ) -> Drainer:
        settings = DrainSettings(
            self.ledger_dsn,
            self.valkey_url,
            batch_records=batch_records,
            block_ms=20,
            claim_interval_s=claim_interval_s,
            lease_s=lease_s,
            worker_count=worker_count,
            statement_timeout_s=statement_timeout_s,
            store_timeout_s=2.0,
            first_retry_delay_s=0.01,
            last_retry_delay_s=0.1,
        )
        registry = self.metrics = CollectorRegistry()
        return Drainer(
            settings, metrics=DrainMetrics(registry), between_steps=between_steps, drainer_id=drainer_id
        )

    async def drain(self, *, batch_records: int = 100) -> None:
        """Drains everything that is in the outbox now."""
        await self.drainer(batch_records=batch_records).run(asyncio.Event(), until_empty=True)

    @asynccontextmanager
    async def draining(self, drainer: Drainer | None = None) -> AsyncIterator["asyncio.Task[None]"]:
        """Drains until the context is left."""
        stop = asyncio.Event()
        task = asyncio.create_task((drainer or self.drainer()).run(stop))
        try:
            yield task
        finally:
            stop.set()
            await task

    @asynccontextmanager
    async def claimant(self, drainer_id: str, *, lease_s: float = 60.0) -> AsyncIterator["Claimant"]:
        """Somebody who leases partitions and writes by hand."""
        async with ledger_connection(
            self.ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=5.0
        ) as connection:
            yield Claimant(
                Leases(connection, drainer_id=drainer_id, lease_s=lease_s),
                LedgerWriter(connection, drainer_id=drainer_id, lease_s=lease_s),
            )

    async def owners(self) -> dict[str, int]:
        """How many partitions each drainer has a lease on that holds."""
        rows = await self.sql.fetch(
            "SELECT leased_by, count(*) FROM ledger.partitions "
            "WHERE leased_by IS NOT NULL AND leased_until > clock_timestamp() GROUP BY leased_by"
        )
        return {row["leased_by"]: row["count"] for row in rows}

    async def raw_records(self) -> dict[int, list[RawRecord]]:
        """All records that are in the outbox, by partition."""
        start = dict.fromkeys(range(self.feed.partition_count), OutboxPosition(1, -1))
        async with outbox_reader(self.valkey_url, timeout_s=5.0) as reader:
            return await reader.read(start, count=10_000, block_ms=1)

    async def until_entries(self, count: int) -> None:
        async def are_there() -> bool:
            return await self.entry_count() >= count

        await until(are_there, what=f"{count} entries are in the ledger")

    async def entry_count(self) -> int:
        count = await self.sql.fetchval("SELECT count(*) FROM ledger.entries")
        assert isinstance(count, int)
        return count

    async def books(self) -> dict[str, object]:
        """Everything that a second drain of the same records would change."""
        row = await self.sql.fetchrow(BOOKS)
        assert row is not None
        return dict(row)

    async def balances(self) -> dict[str, int]:
        """Balances by account; those of a source or of the house over all partitions."""
        return {row["account"]: row["sum"] for row in await self.sql.fetch(BALANCES)}

    async def require_sound(self) -> None:
        """Chains, cursors and sums, in SQL and so independently of the code that writes them."""
        broken_links = await self.sql.fetchval(
            """
            SELECT count(*) FROM (
                SELECT chain_position, previous_hash,
                    row_number() OVER chain - 1 AS expected_position,
                    lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER chain AS expected_hash
                FROM ledger.entries WINDOW chain AS (PARTITION BY partition ORDER BY chain_position)
            ) AS links
            WHERE chain_position <> expected_position OR previous_hash <> expected_hash
            """
        )
        assert broken_links == 0
        wrong_cursors = await self.sql.fetch(
            """
            SELECT partition, cursor_sequence, entry_count, newest.sequence, newest.chain_position
            FROM ledger.partitions
            LEFT JOIN LATERAL (
                SELECT sequence, chain_position, hash FROM ledger.entries
                WHERE entries.partition = partitions.partition ORDER BY chain_position DESC LIMIT 1
            ) AS newest ON true
            WHERE cursor_sequence <> coalesce(newest.sequence, -1)
                OR entry_count <> coalesce(newest.chain_position + 1, 0)
                OR chain_hash <> coalesce(newest.hash, decode(repeat('00', 32), 'hex'))
            """
        )
        assert not wrong_cursors
        wrong_balances = await self.sql.fetch(
            """
            SELECT account_id, balance, sum FROM ledger.balances
            FULL JOIN (SELECT account_id, sum(amount) FROM ledger.postings GROUP BY 1) AS sums
                USING (account_id)
            WHERE balance IS DISTINCT FROM sum
            """
        )
        assert not wrong_balances

    async def adopt(self, partition: int, epoch: int, *, follows: str, planted: bool = True) -> None:
        """Another epoch: the ledger takes the store over, and the store is told."""
        position = OutboxPosition.parse(follows)
        async with (
            ledger_connection(self.ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=5.0) as sql,
            sql.transaction(),
        ):
            await sql.execute(
                "INSERT INTO ledger.epochs (partition, epoch, follows_epoch, follows_sequence, generation, "
                "incarnation, reason) VALUES ($1, $2, $3, $4, 1, $5, 'a test')",
                partition,
                epoch,
                position.epoch,
                position.sequence,
                INCARNATION,
            )
            await sql.execute(
                "UPDATE ledger.partitions SET epoch = $2 WHERE partition = $1", partition, epoch
            )
        if planted:
            await self.plant(partition, epoch)

    async def plant(self, partition: int, epoch: int) -> None:
        """The store's witness, as after an adoption."""
        async with ledger_connection(self.ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=5.0) as sql:
            ledger_id = await sql.fetchval("SELECT ledger_id FROM ledger.settings")
        incarnation = (await self.feed.client.info("replication"))["master_replid"]
        await self.feed.client.set(epoch_key(partition), str(Witness(epoch, ledger_id, 1, incarnation)))

    def metric(self, name: str, **labels: str) -> float:
        value = self.metrics.get_sample_value(name, labels)
        assert value is not None, f"no metric {name} {labels}"
        return value


async def some_play(feed: OutboxFeed, *, players: int = 12, bets: int = 5) -> int:
    """Wallets that are opened, filled and bet with, spread over partitions; how many entries that makes."""
    wallets = [FedWallet(f"player-{number}") for number in range(players)]
    for wallet in wallets:
        feed.add_later(wallet.player, wallet.opened())
        feed.add_later(wallet.player, wallet.applied("deposit", "deposit", cash=1000))
    for number in range(bets):
        for wallet in wallets:
            feed.add_later(
                wallet.player,
                wallet.applied(f"bet-{number}", "bet", cash=-10),
                wallet.applied(f"win-{number}", "win", cash=3),
            )
    await feed.flush()
    return players * (2 + 2 * bets)


@asynccontextmanager
async def draining(
    valkey_url: str, ledger_dsn: str, *, opened: bool = True, empty: bool = True
) -> AsyncIterator[Draining]:
    """A fresh ledger and an emptied store, opened for each other. Not ``empty``: as they were left."""
    client = Redis.from_url(valkey_url)
    sql = await asyncpg.connect(ledger_dsn)
    try:
        if empty:
            await client.flushdb()
        if opened:
            (await adopt_partitions(postgres_url=ledger_dsn, valkey_url=valkey_url)).require_all()
        yield Draining(ledger_dsn, valkey_url, OutboxFeed(client), sql, CollectorRegistry())
    finally:
        await sql.close()
        await client.aclose()
