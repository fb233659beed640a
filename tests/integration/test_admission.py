"""More calls than the service can take: each gets an answer that says so."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedValkey
from tests.answers import Refused
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet, deposit
from tests.wallet_api import TIMEOUT_S, new_name, wallet_api

BURST = 3000


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest.mark.parametrize("limits", [{}, {"max_calls_in_flight": 50}, {"max_waiting_calls": 20}])
async def test_a_burst_is_answered_or_told_to_come_again(ground: Grounds, limits: dict[str, Any]) -> None:
    player = new_name("player")
    async with ground.serving(**limits) as server, wallet_api(server.address) as api:
        await api.put_source("games")
        await api.open_wallet(player, "EUR")
        await api.transact("games", player, [deposit("d", "100000.00")])

        async def outcome(number: int) -> str:
            try:
                await api.transact("games", player, [bet(f"b{number}", "1.00")])
            except Refused as refused:
                return f"{refused.code} {refused.reason}"
            return "OK"

        counts = Counter(await asyncio.gather(*map(outcome, range(BURST))))
        (wallet,) = await api.balances(player)

    assert counts.keys() <= {"OK", "RESOURCE_EXHAUSTED OVERLOADED"}
    assert (len(counts) == 2) == bool(limits)
    assert wallet.cash == f"{100_000 - counts['OK']}.00"


async def test_health_answers_however_busy_it_is(ground: Grounds) -> None:
    async with (
        ground.serving(max_calls_in_flight=1) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        checks = [health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S) for _ in range(50)]
        answers = await asyncio.gather(*checks)

    assert {answer.status for answer in answers} == {health_pb2.HealthCheckResponse.SERVING}
