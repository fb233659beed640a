"""Alerts about the store, seen firing while it was emptied, filled and cut off."""

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from persistence.acknowledged import AcknowledgedTail
from persistence.adoption import adopt_partitions
from service.embedded import EmbeddedValkey, embedded_postgres
from service.telemetry.ledger_watch import LedgerMetrics, watch_ledger
from tests.acceptance.seat import Seat, seated
from tests.alerts.timelines import FAULT_MIN, QUIET_MIN, Timeline, require_fires, told
from tests.alerts.watching import value_in, watched
from tests.answers import Refused
from tests.deployment import migrate
from tests.draining import draining
from tests.forgetful import oblivion
from tests.serving import Grounds
from tests.steps import bet
from tests.waiting import until

HIGH, HARD = 20, 30
MARKS = {"outbox_high_records": HIGH, "outbox_hard_records": HARD}


async def bets(seat: Seat, count: int) -> None:
    """However they end."""
    for number in range(count):
        with suppress(Refused):
            await seat.one(bet(f"b{number}", "0.01"))


async def empty(valkey: EmbeddedValkey) -> None:
    async with Redis.from_url(valkey.url) as store:
        await store.flushall()


async def test_an_emptied_store_that_an_operator_has_to_take_over(
    ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    adopted = await adopt_partitions(postgres_url=ground.ledger_dsn, valkey_url=ground.valkey_url)
    adopted.require_all()
    async with watched(ground, tmp_path, recovery="manual") as server:
        await seated(server.api)
        await server.is_well()

        await empty(private_valkey)
        await server.until_above(0, "stakehold_fenced_partitions")

        await server.require_fires("StakeholdPartitionsFenced")


async def test_an_emptied_store_that_takes_answers_with_it(
    ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with watched(ground, tmp_path) as server:
        await bets(await seated(server.api), 3)
        await server.is_well()

        await empty(private_valkey)
        await server.until_above(0, "stakehold_acknowledged_lost")

        await server.require_fires("StakeholdAcknowledgedLost", "StakeholdStoresTakenOver")


async def test_an_outbox_that_nobody_drains(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path, **MARKS) as server:
        seat = await seated(server.api)
        await server.is_well()

        await bets(seat, HIGH + 400)  # of which most are shed

        await server.until_above(0, "stakehold_outbox_pressure", level="high")
        await server.require_fires("StakeholdOutboxHigh", "StakeholdCallsShed")


async def test_an_outbox_that_is_full(ground: Grounds, tmp_path: Path) -> None:
    async with watched(ground, tmp_path, outbox_high_records=HARD, outbox_hard_records=HARD) as server:
        seat = await seated(server.api)
        await server.is_well()

        await bets(seat, HARD)

        await server.until_above(0, "stakehold_outbox_pressure", level="hard")
        await server.require_fires("StakeholdOutboxHard")


async def test_a_store_whose_memory_is_nearly_full(
    ground: Grounds, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with (
        watched(ground, tmp_path) as server,
        Redis.from_url(private_valkey.url) as store,
    ):
        await seated(server.api)
        await server.is_well()

        used = (await store.info("memory"))["used_memory"]
        await store.config_set("maxmemory", int(used / 0.93))
        await server.until_above(0.85, "stakehold_store_memory_ratio")

        await server.require_fires("StakeholdStoreMemory")


async def test_a_ledger_that_is_away(private_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """Old ids cannot be looked up, and whoever looks at the ledger does not see it any more."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(tmp_path / "postgres", fsync=False))
        await migrate(tmp_path, postgres.dsn)
        ground = Grounds(private_valkey.url, postgres.dsn)
        server = await stack.enter_async_context(watched(ground, tmp_path))
        seat = await seated(server.api)
        await bets(seat, 3)
        async with draining(ground.valkey_url, ground.ledger_dsn, opened=False, empty=False) as drains:
            await drains.drain()
        async with oblivion(ground.valkey_url, ground.ledger_dsn) as forgetting:
            await forgetting.forget_fields([seat.player_id])
        registry, stop = CollectorRegistry(), asyncio.Event()
        metrics = LedgerMetrics(registry)
        watching = asyncio.create_task(watch_ledger(postgres.dsn, metrics, stop, every_s=0.1))

        async def is_seen() -> bool:
            return value_in(told(registry), "stakehold_ledger_seen_timestamp_seconds") > 0

        await until(is_seen, what="the ledger is seen")
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, serve=await server.text(), drain=told(registry))

        postgres.process.kill()
        await bets(seat, 3)  # the same ids
        assert await server.value("stakehold_unchecked_calls") > 0

        timeline.grow_old(FAULT_MIN, serve=await server.text(), drain=told(registry))
        stop.set()
        await watching
    alerts = ("StakeholdUncheckedCalls", "StakeholdLedgerUnreachable")
    await asyncio.to_thread(require_fires, timeline, tmp_path, *alerts)


async def test_answers_that_are_forgotten_before_the_ledger_has_them(
    ground: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.hot_path.AcknowledgedTail", partial(AcknowledgedTail, most=5))
    async with watched(ground, tmp_path) as server:
        seat = await seated(server.api)
        await server.is_well()

        await bets(seat, 20)
        await server.until_above(0, "stakehold_answers_let_go")

        await server.require_fires("StakeholdAnswersLetGo")
