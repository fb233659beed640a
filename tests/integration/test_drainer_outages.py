"""Servers that die or let nobody in, in the middle of a drain, and come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from persistence.adoption import adopt_partitions
from persistence.errors import LedgerBroken
from persistence.postgres.migrating import migrate
from service.embedded import EmbeddedValkey, embedded_postgres, embedded_valkey
from tests.draining import Draining, draining, some_play
from tests.integration.test_drainer_once import cut_connections
from tests.ledgers import Ledgers
from tests.outbox_feed import FedWallet
from tests.waiting import until

FORGETFUL = {"wal_writer_delay": "10s"}
"""As ``synchronous_commit`` is off without fsync, what nobody made durable dies with the server."""


class Servers:
    """A Postgres and a Valkey of one test's own, to kill and start again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, AsyncExitStack] = {"postgres": AsyncExitStack(), "valkey": AsyncExitStack()}

    async def start_postgres(self, port: int = 0) -> None:
        self.postgres = await self._running["postgres"].enter_async_context(
            embedded_postgres(self._folder / "postgres", port=port, fsync=False, settings=FORGETFUL)
        )

    async def start_valkey(self, port: int = 0) -> None:
        self.valkey = await self._running["valkey"].enter_async_context(
            embedded_valkey(self._folder / "valkey", port=port)
        )

    async def kill_postgres(self) -> None:
        self.postgres.process.kill()
        await self._running["postgres"].aclose()

    async def kill_valkey(self) -> None:
        self.valkey.process.kill()
        await self._running["valkey"].aclose()

    async def stop(self) -> None:
        for stack in self._running.values():
            await stack.aclose()


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    made = Servers(tmp_path)
    try:
        await made.start_postgres()
        await made.start_valkey()
        await migrate(made.postgres.dsn)
        yield made
    finally:
        await made.stop()


async def until_retried(books: Draining, *, times: int = 1) -> None:
    async def has_retried() -> bool:
        return books.metric("stakehold_drain_retries_total") >= times

    await until(has_retried, what="the drainer noticed")


def owned_count(books: Draining) -> float:
    (owned,) = [metric for metric in books.metrics.collect() if metric.name == "stakehold_drain_owned"]
    return sum(sample.value for sample in owned.samples)


async def until_empty(books: Draining) -> None:
    async def is_empty() -> bool:
        return sum(await books.feed.lengths()) == 0

    await until(is_empty, what="the outbox is empty")


async def test_postgres_dies_in_the_middle_of_a_drain(servers: Servers) -> None:
    async with draining(servers.valkey.url, servers.postgres.dsn) as books:
        entries = await some_play(books.feed)
        reached, stop, batches = asyncio.Event(), asyncio.Event(), 0

        async def die_once(step: str) -> None:
            nonlocal batches
            batches += step == "postings_copied"
            if batches == 3 and not reached.is_set():
                reached.set()
                await servers.kill_postgres()

        task = asyncio.create_task(books.drainer(batch_records=3, between_steps=die_once).run(stop))
        await asyncio.wait_for(reached.wait(), 20.0)
        await until_retried(books)
        waiting = sum(await books.feed.lengths())
        await servers.start_postgres(servers.postgres.port)

        await until_empty(books)
        stop.set()
        await task

    assert waiting > 0
    async with draining(servers.valkey.url, servers.postgres.dsn, empty=False) as books:
        assert await books.entry_count() == entries
        await books.require_sound()


async def test_postgres_dies_before_the_drainer_has_written_anything(servers: Servers) -> None:
    async with draining(servers.valkey.url, servers.postgres.dsn) as books:
        entries = await some_play(books.feed)
        reached, stop = asyncio.Event(), asyncio.Event()

        async def die_once(step: str) -> None:
            if step == "records_read" and not reached.is_set():
                reached.set()
                await servers.kill_postgres()

        task = asyncio.create_task(books.drainer(between_steps=die_once).run(stop))
        await asyncio.wait_for(reached.wait(), 20.0)
        await until_retried(books)

        async def has_let_go() -> bool:
            return owned_count(books) <= 8

        await until(has_let_go, what="of the two workers the one that noticed owns nothing")
        await servers.start_postgres(servers.postgres.port)
        try:
            await until_empty(books)
        finally:
            stop.set()
            await task

    async with draining(servers.valkey.url, servers.postgres.dsn, empty=False) as books:
        assert await books.entry_count() == entries
        await books.require_sound()


async def test_a_ledger_that_lets_nobody_in_for_a_while_is_tried_again(
    private_valkey: EmbeddedValkey, ledgers: Ledgers, ledger_dsn: str
) -> None:
    valkey_url = private_valkey.url
    async with draining(valkey_url, ledger_dsn) as books:
        entries = await some_play(books.feed)
        shut = False

        async def shut_once(step: str) -> None:
            nonlocal shut
            if step == "entries_copied" and not shut:
                shut = True
                await ledgers.cut_off(ledger_dsn)

        async with books.draining(books.drainer(batch_records=3, between_steps=shut_once)):
            await until_retried(books, times=5)
            await ledgers.let_in_again(ledger_dsn)
            await until_empty(books)

    async with draining(valkey_url, ledger_dsn, empty=False) as books:
        assert await books.entry_count() == entries
        await books.require_sound()


async def test_a_partition_that_the_ledger_forgot_to_have_opened_is_reported_and_the_others_are_drained(
    servers: Servers,
) -> None:
    async with draining(servers.valkey.url, servers.postgres.dsn) as books:
        await some_play(books.feed)
        await books.sql.execute("UPDATE ledger.partitions SET state = 'new' WHERE partition = 3")

        with pytest.raises(LedgerBroken, match="partition 3: the ledger has not opened it"):
            await books.drain()

        assert books.metric("stakehold_drain_stopped", partition="3") == 1
        lengths = await books.feed.lengths()
        assert lengths[3] == sum(lengths) > 0


async def test_the_store_dies_in_the_middle_of_a_drain(servers: Servers) -> None:
    async with draining(servers.valkey.url, servers.postgres.dsn) as books:
        entries = await some_play(books.feed)
        killed = False

        async def die_once(step: str) -> None:
            nonlocal killed
            if step == "committed" and not killed:
                killed = True
                await servers.kill_valkey()

        async with books.draining(books.drainer(batch_records=3, between_steps=die_once)):
            await until_retried(books)
            await servers.start_valkey(servers.valkey.port)
            await adopt_partitions(postgres_url=books.ledger_dsn, valkey_url=books.valkey_url)
            await books.until_entries(entries)

        assert await books.entry_count() == entries
        await books.require_sound()


async def test_a_backlog_of_an_outage_is_drained_in_order_and_in_bounded_batches(books: Draining) -> None:
    wallets = [FedWallet(f"player-{number}") for number in range(50)]
    for wallet in wallets:
        books.feed.add_later(wallet.player, wallet.opened())
    for number in range(199):
        for wallet in wallets:
            books.feed.add_later(wallet.player, wallet.applied(f"in-{number}", "deposit", cash=1))
    await books.feed.flush()

    await books.drain(batch_records=100)

    assert await books.entry_count() == 10_000
    assert books.metric("stakehold_drained_records_total") == 10_000
    largest = await books.sql.fetchval(
        "SELECT max(count) FROM "
        "(SELECT count(*) FROM ledger.entries GROUP BY partition, recorded_time) AS counts"
    )
    assert largest == 100
    assert books.metric("stakehold_drain_lag_ms") == 0
    await books.require_sound()


FULL_DISK = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER disk_is_full BEFORE INSERT ON ledger.postings
        FOR EACH STATEMENT EXECUTE FUNCTION public.refuse()
"""


async def test_a_full_disk_is_waited_out(books: Draining) -> None:
    entries = await some_play(books.feed)
    await books.sql.execute(FULL_DISK)

    async with books.draining():
        await until_retried(books, times=5)
        assert books.metric("stakehold_drain_lag_ms") > 0
        assert await waiting_records(books) == sum(await books.feed.lengths())
        await books.sql.execute("DROP TRIGGER disk_is_full ON ledger.postings")
        await until_empty(books)

    assert await books.entry_count() == entries
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.quarantine") == 0
    await books.require_sound()


async def test_a_ledger_that_is_read_only_for_a_while_is_waited_out(books: Draining) -> None:
    entries = await some_play(books.feed)
    name = await books.sql.fetchval("SELECT current_database()")
    await books.sql.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    async with books.draining():
        await until_retried(books, times=5)
        await books.sql.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        await cut_connections(books.ledger_dsn)
        await until_empty(books)

    assert await books.entry_count() == entries
    await books.require_sound()


SLOW_ENTRIES = """
    CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END $$;
    CREATE TRIGGER slow BEFORE INSERT ON ledger.entries FOR EACH ROW EXECUTE FUNCTION public.dawdle()
"""


async def test_a_ledger_that_is_too_slow_for_a_batch_gets_smaller_ones(books: Draining) -> None:
    entries = await some_play(books.feed, players=1, bets=30)
    await books.sql.execute(SLOW_ENTRIES)

    async with books.draining(books.drainer(statement_timeout_s=0.6)):
        await books.until_entries(entries)

    assert books.metric("stakehold_drain_retries_total") >= 1
    assert await books.entry_count() == entries
    await books.require_sound()


async def waiting_records(books: Draining) -> float:
    """As the metrics say, once they say it."""
    counted = 0.0

    async def is_counted() -> bool:
        nonlocal counted
        counted = sum(
            sample.value
            for metric in books.metrics.collect()
            if metric.name == "stakehold_outbox_records"
            for sample in metric.samples
        )
        return counted > 0

    await until(is_counted, what="waiting records are counted")
    return counted
