"""Traces: what a collector gets of calls, whose calls it hears of, and what calls hear of a collector."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import grpc
import pytest
import pytest_asyncio
import structlog.testing
from google.protobuf.empty_pb2 import Empty
from prometheus_client import CollectorRegistry

from fx.feeds.feed import FeedRate
from persistence.outbox import TRACE_NOTE
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from service.feeding.pushing import open_pusher
from service.logs import add_trace
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from service.transport.client_settings import ClientSettings
from stakehold.v1 import bulk_service_pb2 as bulk_pb
from stakehold.v1.bulk_service_pb2_grpc import BulkServiceStub
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet
from tests.trace_collector import TraceCollector, trace_collector
from tests.traced_table import CALLERS_SPAN, DEBIT, SAMPLED, TRACE_ID, UNSAMPLED, metrics, table
from tests.wallet_api import TIMEOUT_S


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[TraceCollector]:
    async with trace_collector() as made:
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
