"""Alerts about processes, seen firing while they were killed, cut off, or given what they cannot do."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
import pytest

from service.embedded import EmbeddedValkey, embedded_postgres
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.acceptance.seat import CASHIER, seated
from tests.alerts.processes import Processes, processes
from tests.alerts.timelines import FAULT_MIN, QUIET_MIN, Timeline, require_fires
from tests.alerts.watching import value_in
from tests.answers import Refused
from tests.cashier_api import cashier_api
from tests.deployment import migrate
from tests.draining import Draining, some_play
from tests.steps import bet
from tests.submissions import command, submission_api
from tests.wallet_api import wallet_api

pytestmark = pytest.mark.timeout(180)


async def some_time_later(ledger_dsn: str, table: str, column: str) -> None:
    """As if what is in the table had been there for an hour."""
    connection = await asyncpg.connect(ledger_dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
    try:
        await connection.execute("SET session_replication_role = replica")  # or its triggers would refuse it
        await connection.execute(f"UPDATE {table} SET {column} = {column} - interval '1 hour'")
    finally:
        await connection.close()


async def fires(timeline: Timeline, running: Processes, *alerts: str) -> None:
    """What the processes tell now holds from then on."""
    timeline.go_on(FAULT_MIN, **await running.texts())
    await asyncio.to_thread(require_fires, timeline, running.folder, *alerts)


async def test_processes_that_are_killed(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with processes(tmp_path, private_valkey.url, ledger_dsn, "serve", "drain") as running:
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, **await running.texts())

        await running.kill("serve")
        await running.kill("drain")

        await fires(timeline, running, "StakeholdWalletDown", "StakeholdDrainerDown", "StakeholdTargetDown")


async def test_a_worker_whose_ledger_is_away(private_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(tmp_path / "postgres", fsync=False))
        await migrate(tmp_path, postgres.dsn)
        running = await stack.enter_async_context(
            processes(tmp_path, private_valkey.url, postgres.dsn, "work")
        )
        await running.until_told("work", "stakehold_job_running", job="sweeping")
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, **await running.texts())

        postgres.process.kill()
        await running.until_told("work", "stakehold_job_failures_total", job="sweeping", least=1)

        await fires(timeline, running, "StakeholdJobDown")


async def test_commands_that_are_given_up(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with (
        processes(tmp_path, private_valkey.url, ledger_dsn, "serve") as running,
        wallet_api(running.address) as api,
        submission_api(running.address) as inbox,
    ):
        await api.put_source("sports")
        running.start("work", STAKEHOLD_WORK_MISSING_S="0")
        await running.until_told("work", "stakehold_inbox_partitions")
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, **await running.texts())

        await inbox.submit("sports", "s1", [command("sports", "nobody", bet("b1", "1"))])
        await inbox.until_decided("sports", "s1")

        told = await running.text("work") or ""
        labels = {"kind": "bet", "source": "sports", "outcome": "refused_wallet"}
        assert value_in(told, "stakehold_transactions_total", **labels) == 1
        await fires(timeline, running, "StakeholdDeadLetters")


async def test_commands_that_wait_for_long(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with processes(tmp_path, private_valkey.url, ledger_dsn, "serve") as running:
        running.start("work", STAKEHOLD_WORK_MISSING_S="86400")
        await running.until_told("work", "stakehold_inbox_partitions")
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, **await running.texts())
        async with wallet_api(running.address) as api, submission_api(running.address) as inbox:
            await api.put_source("sports")
            await inbox.submit("sports", "s1", [command("sports", "nobody", bet("b1", "1"))])

        await some_time_later(ledger_dsn, "inbox.submissions", "accepted_time")
        await running.until_told("work", "stakehold_inbox_oldest_seconds", least=1000)

        await fires(timeline, running, "StakeholdInboxBacklog")


async def test_a_deposit_that_cannot_be_credited(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    names = ("serve", "drain", "work")
    async with processes(tmp_path, private_valkey.url, ledger_dsn, *names) as running:
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, **await running.texts())
        async with wallet_api(running.address) as api:
            await seated(api)
            async with cashier_api(running.address, CASHIER, "nobody") as cashier:
                await cashier.deposit("d1")
                with suppress(Refused):
                    await cashier.about_deposit("CreditDeposit", "d1")

        await some_time_later(ledger_dsn, "cashier.cases", "changed_time")
        await running.until_told("work", "stakehold_cashier_oldest_seconds", least=1000)
        await running.until_told("drain", "stakehold_open_reviews", kind="cashier_stuck")

        await fires(timeline, running, "StakeholdCasesUnderWay", "StakeholdReviewsOpen")


async def test_a_broker_that_is_away(books: Draining, tmp_path: Path) -> None:
    async with processes(tmp_path, books.valkey_url, books.ledger_dsn, "publish") as running:
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, **await running.texts())
        await some_play(books.feed)
        await books.drain()

        await some_time_later(books.ledger_dsn, "ledger.entries", "recorded_time")
        await running.until_told("publish", "stakehold_publish_lag_seconds", least=1000, sink="nats")

        await fires(timeline, running, "StakeholdPublisherLag")


async def test_a_feed_whose_source_is_away(ledger_dsn: str, tmp_path: Path) -> None:
    failures, which = "stakehold_feed_failures_total", {"source": "ecb", "cause": "unavailable"}
    async with processes(tmp_path, "redis://unused", ledger_dsn, "feed") as running:
        timeline = Timeline()
        await running.until_told("feed", failures, least=-1, **which)
        before = await running.text("feed") or ""
        timeline.go_on(QUIET_MIN, feed=before)

        await running.until_told("feed", failures, least=value_in(before, failures, **which) + 4, **which)

        await fires(timeline, running, "StakeholdFeedFails")
