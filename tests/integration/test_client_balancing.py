"""A connection of gRPC stays with one server: who wants them all has to balance calls, not connections.

The figures in docs/kubernetes.md are of these tests.
"""

import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.serving import Grounds
from tests.upgrade.balancing import balanced_channel

CALLS = 400
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """One of two servers on one store."""

    address: str
    metrics: str

    def calls(self) -> int:
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=TIMEOUT_S) as page:
            text = page.read().decode()
        return sum(
            int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "stakehold_calls_total" and "GetWallet" in sample.labels["method"]
        )


@pytest_asyncio.fixture
async def two(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[list[Served]]:
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            metrics = f"{LOOPBACK}:{free_port()}"
            server = await stack.enter_async_context(
                Grounds(private_valkey.url, ledger_dsn).serving(metrics_listen=metrics)
            )
            made.append(Served(server.address, metrics))
        yield made


async def calls_by_server(two: list[Served], policy: str) -> list[int]:
    """How many of all calls each server had."""
    before = [served.calls() for served in two]
    async with balanced_channel([served.address for served in two], policy=policy) as channel:
        wallet = admin_pb.OpenWalletRequest(player_id="ada", currency_code="EUR")
        await AdminServiceStub(channel).OpenWallet(wallet, timeout=TIMEOUT_S)
        wallets = WalletServiceStub(channel)
        for _ in range(CALLS):
            await wallets.GetWallet(wallet_pb.GetWalletRequest(player_id="ada"), timeout=TIMEOUT_S)
    return [served.calls() - earlier for served, earlier in zip(two, before, strict=True)]


async def test_without_balancing_one_server_has_all_calls(two: list[Served]) -> None:
    shares = await calls_by_server(two, "pick_first")

    print(f"pick_first: {shares}")
    assert sorted(shares) == [0, CALLS]


async def test_with_round_robin_each_server_has_half_of_them(two: list[Served]) -> None:
    shares = await calls_by_server(two, "round_robin")

    print(f"round_robin: {shares}")
    assert sum(shares) == CALLS
    assert min(shares) >= CALLS // 2 - 20  # the first calls come before the second connection stands
