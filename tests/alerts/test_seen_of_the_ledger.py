"""Alerts about the ledger, seen firing while it was late, stopped, forked, or wrong."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from persistence.audit.audit import Audit
from persistence.errors import LedgerBroken
from service.embedded import EmbeddedValkey
from tests.alerts.timelines import FAULT_MIN, QUIET_MIN, Timeline, require_fires, told
from tests.alerts.watching import ledger_told, value_in
from tests.draining import Draining, some_play
from tests.outbox_feed import FedWallet, record_fields
from tests.repairs import PLAYER, repaired_evening
from tests.repairs import bet as bet_of
from tests.waiting import until

DAY_AND_MORE_MIN = 30 * 60


async def drained_by(books: Draining) -> str:
    """What a drainer tells that has drained what it can."""
    with suppress(LedgerBroken):
        await books.drain()
    return told(books.metrics)


async def audited(ledger_dsn: str) -> int:
    """How much the audit of everything finds."""
    audit = Audit(ledger_dsn, valkey_url=None)
    return len([event async for event in audit.run()]) - 1


async def test_a_record_that_cannot_be_applied(books: Draining, tmp_path: Path) -> None:
    await some_play(books.feed)
    before = await drained_by(books)
    await audited(books.ledger_dsn)
    timeline = Timeline()
    timeline.go_on(QUIET_MIN, drain=before, house=await ledger_told(books.ledger_dsn))
    wallet = FedWallet("poisoned")
    partition = books.feed.partition_of("poisoned")
    await books.feed.add_raw(partition, record_fields("poisoned", [wallet.opened()]), stream_id="1-99")

    after = await drained_by(books)
    assert await audited(books.ledger_dsn) > 0

    timeline.go_on(FAULT_MIN, drain=after, house=await ledger_told(books.ledger_dsn))
    alerts = ("StakeholdDrainStopped", "StakeholdQuarantine", "StakeholdAuditFindings")
    await asyncio.to_thread(require_fires, timeline, tmp_path, *alerts)


async def test_a_ledger_that_takes_nothing(books: Draining, tmp_path: Path) -> None:
    """What the drainer has read stays unwritten for as long as Postgres does not answer."""
    timeline = Timeline()
    timeline.go_on(QUIET_MIN, drain=await drained_by(books))
    answers = asyncio.Event()

    async def hang(step: str) -> None:
        if step == "batches_built":
            await answers.wait()

    await some_play(books.feed)  # booked long ago
    drainer = books.drainer(between_steps=hang)
    async with books.draining(drainer):

        async def is_late() -> bool:
            return value_in(told(books.metrics), "stakehold_drain_lag_ms") > 0

        await until(is_late, what="the drainer is late")
        timeline.go_on(FAULT_MIN, drain=told(books.metrics))
        answers.set()
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdDrainLag")


async def test_an_id_that_came_twice(books: Draining, tmp_path: Path) -> None:
    wallet = FedWallet("late")
    await books.feed.add("late", wallet.opened())
    await books.feed.add("late", wallet.applied("d1", "deposit", cash=100))
    timeline = Timeline()
    timeline.go_on(QUIET_MIN, drain=await drained_by(books), house=await ledger_told(books.ledger_dsn))

    await books.feed.add("late", wallet.applied("d1", "deposit", cash=100))

    timeline.go_on(FAULT_MIN, drain=await drained_by(books), house=await ledger_told(books.ledger_dsn))
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdLateDuplicates")


async def test_an_outbox_that_is_cut_off(valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path) -> None:
    async with repaired_evening(valkey, ledger_dsn) as evening:
        timeline = Timeline()
        timeline.go_on(QUIET_MIN, house=await ledger_told(ledger_dsn))
        await evening.wallets.move(PLAYER, bet_of("b1", 10))

        await evening.cut_off()
        await evening.repairing.run_once()

        timeline.go_on(FAULT_MIN, house=await ledger_told(ledger_dsn))
    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdHistoryForked")


@pytest.mark.timeout(180)
async def test_a_ledger_that_nobody_audits(ledger_dsn: str, tmp_path: Path) -> None:
    await audited(ledger_dsn)
    timeline = Timeline()
    timeline.go_on(QUIET_MIN, house=await ledger_told(ledger_dsn))

    timeline.grow_old(DAY_AND_MORE_MIN, house=await ledger_told(ledger_dsn))

    await asyncio.to_thread(require_fires, timeline, tmp_path, "StakeholdAuditNotRun")
