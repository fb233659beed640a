"""What Prometheus is told of transactions, batches, events and audits: each once, whichever way it came."""

import asyncio
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from persistence.audit.audit import Audit
from persistence.errors import StakeholdError
from persistence.transactions import PlayerId
from persistence.valkey.stages import Stage
from service.embedded import EmbeddedValkey, embedded_replica
from service.embedded.ports import LOOPBACK, free_port
from service.embedded.postgres_data import OWNER, SUPERUSER
from service.metrics import served_metrics
from service.telemetry.ledger_watch import LedgerMetrics, watch_ledger
from stakehold.v1 import event_service_pb2
from tests.acceptance.seat import seated
from tests.alerts.timelines import told
from tests.alerts.watching import ledger_told, value_in, watched
from tests.answers import Refused
from tests.bulk_api import bulk_api, command
from tests.draining import draining
from tests.event_stream import subscribed
from tests.hot_path import counting
from tests.serving import Grounds
from tests.steps import bet, rollback, win
from tests.waiting import until

RUNS = "stakehold_verification_runs"
LAST_FINDINGS = "stakehold_verification_last_findings"


def transactions_in(text: str, source: str) -> Counter[tuple[str, str]]:
    """Kinds and outcomes of a source's transactions."""
    return Counter(
        {
            (sample.labels["kind"], sample.labels["outcome"]): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "stakehold_transactions_total"
            and sample.labels["source"] == source
            and sample.value
        }
    )


async def test_a_transaction_is_counted_once_whichever_way_it_comes(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with (
        watched(Grounds(private_valkey.url, ledger_dsn), tmp_path) as server,
        bulk_api(server.address) as bulk,
    ):
        seat = await seated(server.api)
        await seat.one(bet("b1", "1"))
        await seat.one(bet("b1", "1"))
        await seat.play(bet("b2", "1"), win("w2", "2", of="b2"))
        await seat.one(rollback("r1", "never"))
        for refused in (bet("b1", "2"), bet("b3", "1000000")):
            with suppress(Refused):
                await seat.one(refused)
        with suppress(Refused):
            await seat.play(bet("b4", "1"), bet("b5", "1000000"))
        await bulk.batch([command(seat, bet(f"b{number}", "1")) for number in (1, 6, 7)])
        stream = bulk.stream()
        await stream.send("one", command(seat, bet("b8", "1")))
        assert await stream.receive()
        stream.call.cancel()
        text = await server.text()

    assert transactions_in(text, seat.source_id) == {
        ("bet", "applied"): 5,
        ("bet", "replayed"): 2,
        ("bet", "conflict"): 1,
        ("bet", "refused_funds"): 2,
        ("bet", "refused_together"): 1,
        ("win", "applied"): 1,
        ("rollback", "tombstone"): 1,
    }


async def test_what_was_not_done_is_told_from_what_may_have_been(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with watched(Grounds(private_valkey.url, ledger_dsn), tmp_path) as server:
        seat = await seated(server.api)
        private_valkey.process.kill()
        await private_valkey.child.exited()
        for number in range(2):
            with suppress(Refused):
                await seat.one(bet(f"b{number}", "1"))
        counted = transactions_in(await server.text(), seat.source_id)

    assert counted["bet", "applied"] == 0
    assert counted["bet", "not_done"] + counted["bet", "unknown"] == 2
    assert counted["bet", "not_done"] >= 1


async def test_each_batch_tells_where_its_time_goes(private_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    stages: list[Stage] = []
    at_once = ("--repl-diskless-sync-delay", "0")
    async with (
        embedded_replica(tmp_path / "replica", private_valkey, extra=at_once),
        counting(private_valkey.url, replicas=1) as runner,
    ):
        runner.batcher.on_stage = lambda stage, seconds: stages.append(stage)
        await runner.run()

    assert stages == [Stage.QUEUE, Stage.SCRIPT, Stage.CONFIRMATION]


async def test_the_delay_of_events_is_that_of_those_who_are_not_behind(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    ground = Grounds(private_valkey.url, ledger_dsn)
    beginning = event_service_pb2.SubscribeRequest(start_point=event_service_pb2.START_POINT_BEGINNING)
    async with (
        watched(ground, tmp_path) as server,
        draining(ground.valkey_url, ground.ledger_dsn, opened=False, empty=False) as drains,
    ):
        seat = await seated(server.api)
        await drains.drain()
        old = await drains.entry_count()
        async with subscribed(server.address, beginning) as consumer:
            await consumer.until_told(old)
            await seat.one(bet("b1", "1"))
            await drains.drain()
            await consumer.until_told(old + 1)

            async def is_observed() -> bool:
                return await server.value("stakehold_events_told_total") == old + 1

            await until(is_observed, what="all events are counted")
        assert await server.value("stakehold_event_delay_seconds_count") == 1


async def findings_of(audit: Audit, player: PlayerId | None = None) -> int:
    return len([event async for event in audit.run(player)]) - 1


async def test_audits_of_everything_are_noted_with_their_findings(ledger_dsn: str) -> None:
    audit = Audit(ledger_dsn, valkey_url=None)
    before = await ledger_told(ledger_dsn)
    assert value_in(before, RUNS) == 0

    await findings_of(audit, PlayerId("ada"))
    assert value_in(await ledger_told(ledger_dsn), RUNS) == 0

    assert await findings_of(audit) == 0
    sound = await ledger_told(ledger_dsn)
    await tamper(ledger_dsn)
    found = await findings_of(audit)
    tampered = await ledger_told(ledger_dsn)

    assert (value_in(sound, RUNS), value_in(sound, LAST_FINDINGS)) == (1, 0)
    assert found > 0
    assert (value_in(tampered, RUNS), value_in(tampered, LAST_FINDINGS)) == (2, found)
    assert value_in(sound, "stakehold_verification_last_timestamp_seconds") > 0


async def tamper(ledger_dsn: str) -> None:
    connection = await asyncpg.connect(ledger_dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE ledger.partitions SET entry_count = 7 WHERE partition = 3")
    finally:
        await connection.close()


async def test_an_audit_that_cannot_be_noted_stands_and_says_so(ledger_dsn: str) -> None:
    connection = await asyncpg.connect(ledger_dsn)
    await connection.execute("DROP TABLE ledger.verifications")  # as a ledger of an older release
    await connection.close()
    told_of: list[StakeholdError] = []

    assert await findings_of(Audit(ledger_dsn, valkey_url=None, on_unrecorded=told_of.append)) == 0

    assert len(told_of) == 1
    older = await ledger_told(ledger_dsn)
    assert value_in(older, RUNS) == 0
    assert value_in(older, "stakehold_ledger_seen_timestamp_seconds") > 0


async def test_the_ledger_is_looked_at_again_and_again(ledger_dsn: str) -> None:
    registry, stop = CollectorRegistry(), asyncio.Event()
    watching = asyncio.create_task(watch_ledger(ledger_dsn, LedgerMetrics(registry), stop, every_s=0.01))

    async def has_seen(runs: int) -> bool:
        text = told(registry)
        return value_in(text, "stakehold_ledger_seen_timestamp_seconds") > 0 and value_in(text, RUNS) == runs

    await until(lambda: has_seen(0), what="the ledger is seen")
    await findings_of(Audit(ledger_dsn, valkey_url=None))
    await until(lambda: has_seen(1), what="the audit is seen")
    stop.set()
    await watching


@pytest.mark.parametrize("host", [LOOPBACK, "[::1]", "localhost"])
def test_metrics_are_served_at_addresses_of_either_kind(host: str) -> None:
    listen = f"{host}:{free_port()}"

    with (
        served_metrics(listen, CollectorRegistry()),
        urllib.request.urlopen(f"http://{listen}/metrics") as page,
    ):
        assert page.status == 200
