"""Traces: what a collector gets of calls, whose calls it hears of, and what calls hear of a collector."""

import asyncio
import os
import sys
import urllib.request
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog.testing
from google.protobuf.empty_pb2 import Empty
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace import Tracer
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from fx.feeds.feed import FeedRate
from persistence.drain_metrics import DrainMetrics
from persistence.drain_settings import DrainSettings
from persistence.drainer import Drainer
from persistence.outbox import TRACE_NOTE
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import redrive
from persistence.transactions import PlayerId, partition_of
from persistence.valkey.keys import outbox_key
from service.embedded import EmbeddedValkey
from service.embedded.children import spawn
from service.embedded.ports import LOOPBACK, free_port
from service.feeding.pushing import open_pusher
from service.logs import add_trace
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from service.transport.client_settings import ClientSettings
from stakehold.v1 import bulk_service_pb2 as bulk_pb
from stakehold.v1 import command_pb2
from stakehold.v1.bulk_service_pb2_grpc import BulkServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests import requests
from tests.deployment import ROOT
from tests.drained_ledger import PARTITION_COUNT
from tests.ledgers import Ledgers
from tests.reference import Step
from tests.serving import Grounds, grounds
from tests.steps import bet, deposit
from tests.trace_collector import TraceCollector, trace_collector
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, new_name, wallet_api

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{CALLERS_SPAN}-01"
UNSAMPLED = f"00-{TRACE_ID}-{CALLERS_SPAN}-00"
OLD_RELEASE = ROOT / "tests" / "upgrade" / "releases" / "stakehold-0.1.0-py3-none-any.whl"
DEBIT = "stakehold.v1.WalletService/Debit"


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as made:
        yield made


@dataclass(frozen=True, slots=True)
class Table:
    """A player at a server that traces."""

    ground: Grounds
    channel: grpc.aio.Channel
    player_id: str

    async def call(self, step: Step, traceparent: str = "") -> None:
        metadata = (("traceparent", traceparent),) if traceparent else ()
        await WalletServiceStub(self.channel).Debit(
            self.command(step).debit, timeout=TIMEOUT_S, metadata=metadata
        )

    def command(self, step: Step) -> command_pb2.Command:
        return requests.command(requests.call("games", self.player_id, [step]))

    async def drain(self, endpoint: str = "") -> None:
        settings = DrainSettings(self.ground.ledger_dsn, self.ground.valkey_url, worker_count=1, block_ms=1)
        traced = TraceSettings(traces_endpoint=endpoint)
        async with open_traces(traced, CollectorRegistry(), role="drain") as traces:
            metrics = DrainMetrics(CollectorRegistry())
            await Drainer(settings, metrics=metrics, tracing=traces.drains).run(
                asyncio.Event(), until_empty=True
            )

    async def records(self) -> list[set[str]]:
        """The names of the fields of each record in the outbox of the player's partition."""
        partition = partition_of(PlayerId(self.player_id), PARTITION_COUNT)
        async with Redis.from_url(self.ground.valkey_url) as store:
            found: Any = await store.xrange(outbox_key(partition))
            return [{name.decode() for name in fields} for _, fields in found]


@asynccontextmanager
async def table(ground: Grounds, endpoint: str, **changes: Any) -> AsyncIterator[Table]:
    """The player's wallet is open and full, and nothing of this was traced."""
    player_id = new_name("traced")
    changes = {"traces_endpoint": endpoint, "traces_ratio": 0.0, **changes}
    async with ground.serving() as server, wallet_api(server.address) as api:
        await api.put_source("games")
        await api.open_wallet(player_id, "EUR")
        await api.transact("games", player_id, [deposit(f"start-{player_id}", "1000")])
    async with (
        ground.serving(**changes) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        made = Table(ground, channel, player_id)
        await made.drain()
        yield made


async def test_a_debit_is_one_connected_graph_from_its_caller_to_the_sql_commit(
    ground: Grounds, collector: TraceCollector
) -> None:
    async with table(ground, collector.endpoint) as played:
        await played.call(bet("b1", "10"), SAMPLED)
        await played.drain(collector.endpoint)
    await collector.until_named(DEBIT, "store.batch", "ledger.drain", "outbox.wait")

    reached = collector.connected_with(CALLERS_SPAN)

    assert {span.name for span in reached} == {
        DEBIT,
        "store.wait",
        "store.script",
        "store.batch",
        "store.batch.script",
        "outbox.wait",
        "outbox.trim",
        "ledger.drain",
        "ledger.build",
        "ledger.lock_cursors",
        "ledger.resolve_accounts",
        "ledger.copy_entries",
        "ledger.copy_postings",
        "ledger.compare_balances",
        "ledger.move_cursors",
        "ledger.commit",
    }
    assert len(reached) == len(collector.spans)
    [call], [commit], [turn] = (collector.named(name) for name in (DEBIT, "ledger.commit", "ledger.drain"))
    assert (call.trace_id, call.parent_id) == (TRACE_ID, CALLERS_SPAN)
    assert call.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": DEBIT,
        "rpc.response.status_code": "OK",
        "stakehold.source": "games",
    }
    assert commit.parent_id == turn.span_id
    assert turn.links == (call.span_id,)
    [way] = collector.named("outbox.wait")
    assert (way.trace_id, way.parent_id, way.links) == (TRACE_ID, call.span_id, (turn.span_id,))
    assert not any(span.is_error for span in collector.spans)
    assert {span.resource["stakehold.role"] for span in collector.spans} == {"serve", "drain"}
    assert {span.resource["service.name"] for span in collector.spans} == {"stakehold"}


@pytest.mark.parametrize("traceparent", ["", UNSAMPLED])
async def test_a_call_that_is_not_sampled_makes_no_span_and_adds_nothing_to_its_record(
    ground: Grounds, collector: TraceCollector, traceparent: str
) -> None:
    async with table(ground, collector.endpoint) as played:
        await played.call(bet("b1", "10"), traceparent)
        [record] = await played.records()
        await played.call(bet("b2", "10"), SAMPLED)
        [_, traced] = await played.records()
    await collector.until_named(DEBIT)

    assert record == {"format", "time", "player", "entry"}
    assert traced - record == {TRACE_NOTE}
    assert len(collector.named(DEBIT)) == 1


@pytest.mark.parametrize(
    "traceparent",
    [
        "nonsense",
        SAMPLED[:-1],
        SAMPLED.upper(),
        f"{SAMPLED}-more",
        f"ff{SAMPLED[2:]}",
        SAMPLED.replace(TRACE_ID, "0" * 32),
        SAMPLED.replace(CALLERS_SPAN, "0" * 16),
        f"01-{TRACE_ID}-{CALLERS_SPAN}-01-{'x' * 1000}",
    ],
)
async def test_a_malformed_traceparent_counts_as_none(
    ground: Grounds, collector: TraceCollector, traceparent: str
) -> None:
    async with table(ground, collector.endpoint, traces_ratio=1.0) as played:
        await played.call(bet("b1", "10"), traceparent)
    await collector.until_named(DEBIT)

    [call] = collector.named(DEBIT)
    assert call.parent_id == ""
    assert call.trace_id != TRACE_ID


async def test_a_refusal_is_told_by_its_code_and_reason_and_is_no_error_of_ours(
    ground: Grounds, collector: TraceCollector
) -> None:
    async with table(ground, collector.endpoint) as played:
        with pytest.raises(grpc.aio.AioRpcError):
            await played.call(bet("b1", "100000"), SAMPLED)
    await collector.until_named(DEBIT)

    [call] = collector.named(DEBIT)
    assert call.attributes["rpc.response.status_code"] == "FAILED_PRECONDITION"
    assert call.attributes["stakehold.reason"] == "INSUFFICIENT_FUNDS"
    assert not call.is_error
    [script] = collector.named("store.script")
    assert script.attributes["stakehold.reply"] == "REFUSED"


async def test_callers_cannot_have_more_traced_than_the_limit(
    ground: Grounds, collector: TraceCollector
) -> None:
    metrics_at = f"{LOOPBACK}:{free_port()}"
    changes = {"traces_per_s": 0.001, "metrics_listen": metrics_at}
    async with table(ground, collector.endpoint, **changes) as played:
        for number in range(5):
            await played.call(bet(f"b{number}", "1"), SAMPLED)
        figures = await metrics(metrics_at)
    await collector.until_named(DEBIT)

    assert len(collector.named(DEBIT)) == 1
    assert figures["stakehold_traces_capped_total"] == 4


async def test_calls_of_one_batch_are_linked_with_it_and_with_each_other(
    ground: Grounds, collector: TraceCollector
) -> None:
    async with table(ground, collector.endpoint) as played:
        contexts = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 41)]
        await asyncio.gather(
            *(played.call(bet(f"b{number}", "1"), context) for number, context in enumerate(contexts))
        )
        await played.drain(collector.endpoint)
    await collector.until_named("ledger.drain", "store.batch", DEBIT)

    calls = {span.span_id: span for span in collector.named(DEBIT)}
    assert {span.trace_id for span in calls.values()} == {f"{number:032x}" for number in range(1, 41)}
    linked = [link for batch in collector.named("store.batch") for link in batch.links]
    assert sorted(linked) == sorted(calls)
    assert any(len(batch.links) > 1 for batch in collector.named("store.batch"))
    [turn] = collector.named("ledger.drain")
    assert sorted(turn.links) == sorted(calls)
    for batch in collector.named("store.batch"):
        theirs = [span for span in collector.named("store.script") if batch.span_id in span.links]
        assert {span.parent_id for span in theirs} == set(batch.links)


async def test_each_command_of_a_traced_batch_has_a_span_of_its_own(
    ground: Grounds, collector: TraceCollector
) -> None:
    async with table(ground, collector.endpoint) as played:
        commands = [played.command(bet("b1", "1")), played.command(bet("b2", "100000"))]
        await BulkServiceStub(played.channel).Batch(
            bulk_pb.BatchRequest(commands=commands),
            timeout=TIMEOUT_S,
            metadata=(("traceparent", SAMPLED),),
        )
        await played.drain(collector.endpoint)
    batch_name = "stakehold.v1.BulkService/Batch"
    await collector.until_named(batch_name, "ledger.drain")

    [call] = collector.named(batch_name)
    done, refused = sorted(
        collector.named(f"{batch_name} debit"), key=lambda span: span.attributes["rpc.response.status_code"],
        reverse=True,
    )  # fmt: skip
    assert {done.parent_id, refused.parent_id} == {call.span_id}
    assert done.attributes["rpc.response.status_code"] == "OK"
    assert refused.attributes["stakehold.reason"] == "INSUFFICIENT_FUNDS"
    [turn] = collector.named("ledger.drain")
    assert sorted(turn.links) == sorted((done.span_id, refused.span_id))


async def test_of_a_long_batch_only_the_first_commands_are_traced(
    ground: Grounds, collector: TraceCollector
) -> None:
    async with table(ground, collector.endpoint) as played:
        commands = [played.command(bet(f"b{number}", "1")) for number in range(70)]
        await BulkServiceStub(played.channel).Batch(
            bulk_pb.BatchRequest(commands=commands), timeout=TIMEOUT_S, metadata=(("traceparent", SAMPLED),)
        )
        traced = [TRACE_NOTE in record for record in await played.records()]
    await collector.until_named("stakehold.v1.BulkService/Batch")

    assert traced == [True] * 64 + [False] * 6
    assert len(collector.named("stakehold.v1.BulkService/Batch debit")) == 64


async def test_commands_of_a_stream_are_traced_as_single_calls_are(
    ground: Grounds, collector: TraceCollector
) -> None:
    async with table(ground, collector.endpoint, traces_ratio=1.0) as played:
        stream = BulkServiceStub(played.channel).Stream(timeout=TIMEOUT_S)
        for number in range(3):
            await stream.write(
                bulk_pb.StreamRequest(
                    correlation_id=f"{number}", command=played.command(bet(f"b{number}", "1"))
                )
            )
        await stream.done_writing()
        assert sum([len(response.results) async for response in stream]) == 3
    stream_name = "stakehold.v1.BulkService/Stream"
    await collector.until_named(stream_name)

    [call] = collector.named(stream_name)
    commands = collector.named(f"{stream_name} debit")
    assert [span.parent_id for span in commands] == [call.span_id] * 3
    assert call.attributes["rpc.response.status_code"] == "OK"


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


async def test_what_is_logged_while_a_call_is_answered_has_its_trace(
    ground: Grounds, collector: TraceCollector
) -> None:
    async def fail(request: Empty, context: Any) -> Empty:
        raise RuntimeError("a bug")

    method = grpc.unary_unary_rpc_method_handler(
        fail, request_deserializer=Empty.FromString, response_serializer=Empty.SerializeToString
    )
    handlers = [grpc.method_handlers_generic_handler("tests.Extra", {"Call": method})]
    with structlog.testing.capture_logs(processors=[add_trace]) as logs:
        async with (
            ground.serving(
                extra_handlers=handlers, traces_endpoint=collector.endpoint, traces_ratio=0.0
            ) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            for metadata in ((("traceparent", SAMPLED),), ()):
                call_it: Any = channel.unary_unary("/tests.Extra/Call")
                with pytest.raises(grpc.aio.AioRpcError):
                    await call_it(b"", timeout=TIMEOUT_S, metadata=metadata)
    await collector.until_named("tests.Extra/Call")

    traced, untraced = (event for event in logs if event["event"] == "internal_error")
    [call] = collector.named("tests.Extra/Call")
    assert (traced["trace_id"], traced["span_id"]) == (TRACE_ID, call.span_id)
    assert "trace_id" not in untraced
    assert call.is_error
    assert call.attributes["error.type"] == "INTERNAL"


async def test_what_our_own_clients_begin_goes_on_in_the_server(
    ground: Grounds, collector: TraceCollector
) -> None:
    """Here the feed; the edge makes its calls in the same way."""
    push, answer = "feed.push", "stakehold.v1.FxService/PushRates"
    traced = TraceSettings(traces_endpoint=collector.endpoint, traces_ratio=1.0)
    async with (
        ground.serving(traces_endpoint=collector.endpoint, traces_ratio=0.0) as server,
        open_traces(traced, CollectorRegistry(), role="feed") as traces,
        open_pusher(
            ClientSettings(),
            server.address,
            source="feed",
            batch_rates=10,
            timeout_s=TIMEOUT_S,
            traces=traces,
        ) as pusher,
    ):
        await pusher.push([FeedRate("EUR", "USD", Decimal("1.1"), 0)])
    await collector.until_named(push, answer)

    [ours], [theirs] = collector.named(push), collector.named(answer)
    assert (theirs.trace_id, theirs.parent_id) == (ours.trace_id, ours.span_id)
    assert (ours.resource["stakehold.role"], theirs.resource["stakehold.role"]) == ("feed", "serve")


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


async def metrics(address: str) -> dict[str, float]:
    """Those of traces, by name and labels."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics") as response:
            return str(response.read().decode())

    text = await asyncio.to_thread(read)
    return {
        sample.name
        + (str(sample.labels).replace("'", '"').replace(" ", "") if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "trace" in sample.name
    }
