"""A player at a server that traces, and what may be asked about its traces."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from persistence.drain_metrics import DrainMetrics
from persistence.drain_settings import DrainSettings
from persistence.drainer import Drainer
from persistence.transactions import PlayerId, partition_of
from persistence.valkey.keys import outbox_key
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from stakehold.v1 import command_pb2
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests import requests
from tests.drained_ledger import PARTITION_COUNT
from tests.reference import Step
from tests.serving import Grounds
from tests.steps import deposit
from tests.wallet_api import TIMEOUT_S, new_name, wallet_api

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLERS_SPAN = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{CALLERS_SPAN}-01"
UNSAMPLED = f"00-{TRACE_ID}-{CALLERS_SPAN}-00"
DEBIT = "stakehold.v1.WalletService/Debit"


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
