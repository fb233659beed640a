"""No call and no record stands still because of tracing: collectors that are away, bugs, older drainers."""

import os
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog.testing
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import Tracer

from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import redrive
from persistence.transactions import PlayerId, partition_of
from service.embedded import EmbeddedValkey
from service.embedded.children import spawn
from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import ROOT
from tests.drained_ledger import PARTITION_COUNT
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet
from tests.trace_collector import TraceCollector, trace_collector
from tests.traced_table import CALLERS_SPAN, DEBIT, SAMPLED, metrics, table
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S

OLD_RELEASE = ROOT / "tests" / "upgrade" / "releases" / "stakehold-0.1.0-py3-none-any.whl"


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as made:
        yield made


@pytest.mark.parametrize("outage", ["away", "hanging", "refusing"])
async def test_calls_do_not_notice_what_becomes_of_the_collector(
    ground: Grounds, collector: TraceCollector, outage: str
) -> None:
    metrics_at = f"{LOOPBACK}:{free_port()}"
    endpoint = f"http://{LOOPBACK}:{free_port()}/v1/traces" if outage == "away" else collector.endpoint
    collector.hangs, collector.status = outage == "hanging", 400 if outage == "refusing" else 200
    async with table(ground, endpoint, metrics_listen=metrics_at) as played:
        for number in range(3):
            await played.call(bet(f"b{number}", "1"), SAMPLED)

        if outage != "hanging":

            async def are_counted() -> bool:
                figures = await metrics(metrics_at)
                return figures['stakehold_trace_spans_dropped_total{"cause":"export"}'] >= 3

            await until(are_counted, what="the spans that nobody took are counted")
        await played.drain(endpoint)
        assert (await metrics(metrics_at))["stakehold_trace_spans_exported_total"] == 0
    assert not collector.spans


async def test_an_older_drainer_keeps_the_record_of_a_traced_call_for_a_newer_one(
    ground: Grounds, collector: TraceCollector, tmp_path: Path
) -> None:
    """Which is why tracing is off until it is switched on, after drainers were upgraded."""
    old = tmp_path / "old"
    with zipfile.ZipFile(OLD_RELEASE) as wheel:
        wheel.extractall(old)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(old),
        "STAKEHOLD_VALKEY_URL": ground.valkey_url,
        "STAKEHOLD_POSTGRES_URL": ground.ledger_dsn,
    }

    async def drained_by_the_old_one() -> tuple[int, str]:
        log = tmp_path / "old.log"
        command = [sys.executable, "-m", "service.cli", "drain", "--until-empty"]
        drain = spawn("old-drain", command, log=log, env=environment, cwd=old)
        return await drain.exited(), log.read_text()

    async with table(ground, collector.endpoint) as played:
        await played.call(bet("b1", "10"))
        without_a_trace, _ = await drained_by_the_old_one()
        left = await played.records()
        await played.call(bet("b2", "10"), SAMPLED)
        with_a_trace, said = await drained_by_the_old_one()
        kept = await played.records()
        async with ledger_connection(
            ground.ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S
        ) as connection:
            assert await redrive(connection, partition_of(PlayerId(played.player_id), PARTITION_COUNT))
        await played.drain(collector.endpoint)

        assert (without_a_trace, left) == (0, [])
        assert with_a_trace == 1
        assert "OutboxRecordMalformed" in said
        assert len(kept) == 1
        assert not await played.records()
    await collector.until_named("ledger.commit", DEBIT)
    assert "ledger.commit" in {span.name for span in collector.connected_with(CALLERS_SPAN)}


async def test_no_call_and_no_record_stands_still_because_tracing_fails(
    ground: Grounds, collector: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug of the library")

    async with table(ground, collector.endpoint) as played:
        with structlog.testing.capture_logs() as logs:
            monkeypatch.setattr(Tracer, "start_span", fail)
            await played.call(bet("b1", "10"), SAMPLED)
            monkeypatch.undo()
            monkeypatch.setattr(SdkSpan, "end", fail)
            await played.call(bet("b2", "10"), SAMPLED)
            await played.drain(collector.endpoint)
        assert not await played.records()
    monkeypatch.undo()

    assert [event["event"] for event in logs].count("tracing_failed") == 2
    assert not collector.spans
