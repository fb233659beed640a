"""The traces and logs of processes as they run in earnest: where a trace goes on, and what nobody tells."""

import asyncio
import json
import signal
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
import pytest_asyncio

from service.embedded import EmbeddedValkey
from stakehold.v1 import wallet_service_pb2 as pb
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests import requests
from tests.deployment import Deployment, deployed
from tests.reference import Step
from tests.steps import bet, deposit
from tests.submissions import command, submission_api, submit_requests
from tests.trace_collector import TraceCollector, trace_collector
from tests.wallet_api import TIMEOUT_S, wallet_api
from tests.working import working

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
SAMPLED = (("traceparent", f"00-{TRACE_ID}-{CALLERS_SPAN}-01"),)

STORES_PASSWORD = "hunter2-of-the-store"
COLLECTORS_TOKEN = "hunter2-of-the-collector"
PLAYER = "player-with-a-name"
STAKE = "13.37"

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, slots=True)
class House:
    """A server and a drainer whose addresses of store and ledger have passwords in them."""

    running: Deployment
    collector: TraceCollector

    def logs(self) -> dict[str, str]:
        return {log.name: log.read_text() for log in self.running.folder.glob("*.log")}


@pytest_asyncio.fixture
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[House]:
    headers = tmp_path / "headers"
    headers.write_text(f"authorization: Bearer {COLLECTORS_TOKEN}\n")
    async with trace_collector() as collector:
        settings = {
            "STAKEHOLD_VALKEY_URL": private_valkey.url.replace("://", f"://default:{STORES_PASSWORD}@"),
            "STAKEHOLD_TRACES_ENDPOINT": collector.endpoint,
            "STAKEHOLD_TRACES_RATIO": "0",
            "STAKEHOLD_TRACES_HEADERS_FILE": str(headers),
            "STAKEHOLD_LOG_LEVEL": "debug",
            "STAKEHOLD_STORE_TIMEOUT_S": "0.5",
        }
        async with deployed(tmp_path / "house", private_valkey, ledger_dsn, settings=settings) as running:
            async with wallet_api(running.address) as api:
                await api.put_source("games")
                await api.open_wallet(PLAYER, "EUR")
                await api.transact("games", PLAYER, [deposit("start", "1000")])
            yield House(running, collector)


async def debit(channel: grpc.aio.Channel, step: Step, *, timeout_s: float = TIMEOUT_S) -> None:
    request = requests.call("games", PLAYER, [step])
    assert isinstance(request, pb.DebitRequest)
    await WalletServiceStub(channel).Debit(request, timeout=timeout_s, metadata=SAMPLED)


async def test_a_submission_is_followed_into_the_worker_and_the_ledger(house: House) -> None:
    async with (
        grpc.aio.insecure_channel(house.running.address) as channel,
        submission_api(house.running.address) as inbox,
    ):
        commands = [command("games", PLAYER, bet(f"b{number}", "1")) for number in range(3)]
        await SubmissionServiceStub(channel).Submit(
            iter(list(submit_requests("games", "match", commands, 10, 0))),
            timeout=TIMEOUT_S,
            metadata=SAMPLED,
        )
        async with working(house.running):
            await inbox.until_decided("games", "match")
            await house.running.require_agreement()
    submit = "stakehold.v1.SubmissionService/Submit"
    await house.collector.until_named(submit, "inbox command", "ledger.commit")

    reached = house.collector.connected_with(CALLERS_SPAN)

    [call] = house.collector.named(submit)
    applied = [span for span in reached if span.name == "inbox command"]
    assert [(span.trace_id, span.parent_id) for span in applied] == [(TRACE_ID, call.span_id)] * 3
    assert {span.attributes["rpc.response.status_code"] for span in applied} == {"OK"}
    assert {span.resource["stakehold.role"] for span in reached} == {"serve", "work", "drain"}
    assert {"ledger.commit", "store.batch"} <= {span.name for span in reached}


async def test_neither_logs_nor_traces_nor_metrics_tell_secrets_players_or_amounts(house: House) -> None:
    """With a store that freezes in the middle, so that what goes wrong is told, too."""
    async with grpc.aio.insecure_channel(house.running.address) as channel:
        await debit(channel, bet("b1", STAKE))
        house.running.valkey.process.send_signal(signal.SIGSTOP)
        with pytest.raises(grpc.aio.AioRpcError):
            await debit(channel, bet("b2", STAKE))
        house.running.valkey.process.send_signal(signal.SIGCONT)
        await debit(channel, bet("b2", STAKE))
        with pytest.raises(grpc.aio.AioRpcError):
            await debit(channel, bet("b3", "100000"))
        async with working(house.running) as worker:
            await worker.until_holding(16)
            figures = await asyncio.to_thread(read, f"http://{worker.metrics_address}/metrics")
        await house.running.require_agreement()
    await house.collector.until_named("stakehold.v1.WalletService/Debit", "ledger.commit")

    assert any(span.is_error for span in house.collector.spans)
    assert {header["Authorization"] for header in house.collector.headers} == {f"Bearer {COLLECTORS_TOKEN}"}
    told = {**house.logs(), "metrics": figures}
    told |= {f"traces {number}": repr(body) for number, body in enumerate(house.collector.bodies)}
    assert "batch_failed" in told["serve.log"]
    ledgers_password = urlsplit(house.running.ledger_dsn).password
    assert ledgers_password
    for what in (STORES_PASSWORD, ledgers_password, COLLECTORS_TOKEN):
        assert [name for name, text in told.items() if what in text] == []
    for what in (PLAYER, STAKE, STAKE.replace(".", "")):
        assert [name for name, text in told.items() if name.startswith("traces") and what in text] == []
    for line in told["serve.log"].splitlines():
        assert "event" in json.loads(line)


def read(url: str) -> str:
    with urllib.request.urlopen(url) as response:
        return str(response.read().decode())
