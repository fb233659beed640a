"""More calls than the service can take: each gets an answer that says so."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.integration.test_server import scrape
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet, deposit
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, new_name, wallet_api

BURST = 500
DEBITS = 'stakehold_calls_total{{code="{code}",method="/stakehold.v1.WalletService/Debit"}}'


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


async def test_a_source_that_floods_is_shed_and_another_ones_calls_come_in(ground: Grounds) -> None:
    async with ground.serving(max_calls_in_flight=100) as server, wallet_api(server.address) as api:
        greedy, modest = await seated(api, start="100000"), await seated(api)

        async def outcome(seat: Seat, number: int) -> str:
            try:
                await seat.one(bet(f"b{number}", "1.00"))
            except Refused as refused:
                told = ", ".join(" ".join(pair) for pair in sorted(refused.details.metadata.items()))
                return f"{refused.reason} {told}, {refused.details.retry_delay_ms} ms"
            return "OK"

        async def call_now_and_then() -> list[str]:
            return [await outcome(modest, number) for number in range(20)]

        flood = asyncio.gather(*(outcome(greedy, number) for number in range(BURST)))
        others = await call_now_and_then()
        flooded = Counter(await flood)

    shed = f"OVERLOADED cause source, source_id {greedy.source_id}, 200 ms"
    assert set(flooded) == {"OK", shed}
    assert set(others) == {"OK"}


async def test_calls_that_are_given_up_and_calls_that_come_too_late_are_counted_and_not_applied(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    listen = f"{LOOPBACK}:{free_port()}"
    ground = Grounds(private_valkey.url, ledger_dsn)
    async with (
        ground.serving(metrics_listen=listen, store_timeout_s=20.0) as server,
        wallet_api(server.address) as api,
    ):
        seat = await seated(api)
        batches = await metric(listen, "stakehold_batch_calls_count")
        private_valkey.process.send_signal(signal.SIGSTOP)
        try:
            held = asyncio.create_task(seat.one(bet("held", "1")))
            await until_metric(listen, "stakehold_batch_calls_count", batches + 1)
            given_up = [asyncio.create_task(seat.one(bet(f"given up {n}", "1"))) for n in range(3)]
            await until_metric(listen, "stakehold_waiting_calls", 3)
            for task in given_up:
                task.cancel()
            await until_metric(listen, DEBITS.format(code="CANCELLED"), 3)
            with pytest.raises(Refused) as late:
                await seat.api.transact(seat.source_id, seat.player_id, [bet("late", "1")], timeout_s=0.1)
            assert late.value.code == "DEADLINE_EXCEEDED"
            await until_metric(listen, DEBITS.format(code="DEADLINE_EXCEEDED"), 1)
        finally:
            private_valkey.process.send_signal(signal.SIGCONT)
        await held

        wallet = await seat.balance()
    assert (wallet.cash, wallet.version) == ("99.00", 3)


async def metric(listen: str, name: str) -> float:
    """A metric's value, 0 where there is none; the name with its labels."""
    text = await asyncio.to_thread(scrape, listen)
    values = [line.removeprefix(name) for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(values[0]) if values else 0.0


async def until_metric(listen: str, name: str, value: float) -> None:
    async def is_so() -> bool:
        return await metric(listen, name) == value

    await until(is_so, what=f"{name} is {value}")


async def test_health_answers_however_busy_it_is(ground: Grounds) -> None:
    async with (
        ground.serving(max_calls_in_flight=1) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        checks = [health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S) for _ in range(50)]
        answers = await asyncio.gather(*checks)

    assert {answer.status for answer in answers} == {health_pb2.HealthCheckResponse.SERVING}
