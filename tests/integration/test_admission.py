"""More calls than the service can take: each gets an answer that says so."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from service.server import RunningServer
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.integration.test_server import scrape
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, WalletApi, wallet_api

BURST = 500
CONNECTIONS = 5
"""Of a burst: so that all its calls reach the server at once, which takes only so many from each."""
SHARE_OF_100 = 80
"""Places that one source gets."""
PATIENCE_S = 20.0
DEBITS = 'stakehold_calls_total{{code="{code}",method="/stakehold.v1.WalletService/Debit"}}'


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@asynccontextmanager
async def connections(server: RunningServer) -> AsyncIterator[list[WalletApi]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(wallet_api(server.address)) for _ in range(CONNECTIONS)]


@contextmanager
def standing_still(valkey: EmbeddedValkey) -> Iterator[None]:
    """Nothing is answered meanwhile, so all calls are in the server at once."""
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        valkey.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("limits", [{}, {"max_calls_in_flight": 50}, {"max_waiting_calls": 20}])
async def test_a_burst_is_answered_or_told_to_come_again(
    private_valkey: EmbeddedValkey, ledger_dsn: str, limits: dict[str, Any]
) -> None:
    ground = Grounds(private_valkey.url, ledger_dsn)
    async with (
        ground.serving(store_timeout_s=PATIENCE_S, **limits) as server,
        connections(server) as apis,
    ):
        seat = await seated(apis[0], start="100000")
        shed = asyncio.Event()

        async def outcome(number: int) -> str:
            try:
                await replace(seat, api=apis[number % CONNECTIONS]).one(bet(f"b{number}", "1.00"))
            except Refused as refused:
                shed.set()
                return f"{refused.code} {refused.reason}"
            return "OK"

        with standing_still(private_valkey):
            burst = asyncio.gather(*map(outcome, range(BURST)))
            if limits:
                await shed.wait()
            else:
                await asyncio.sleep(0.5)
        counts = Counter(await burst)
        wallet = await seat.balance()

    assert counts.keys() <= {"OK", "RESOURCE_EXHAUSTED OVERLOADED"}
    assert (len(counts) == 2) == bool(limits)
    assert wallet.cash == f"{100_000 - counts['OK']}.00"


async def test_a_source_that_floods_is_shed_and_another_ones_calls_come_in(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    ground = Grounds(private_valkey.url, ledger_dsn)
    async with (
        ground.serving(store_timeout_s=PATIENCE_S, max_calls_in_flight=100) as server,
        connections(server) as apis,
        wallet_api(server.address) as another,
    ):
        greedy, modest = await seated(apis[0], start="100000"), await seated(another)
        refusals: Counter[str] = Counter()

        async def outcome(seat: Seat, number: int) -> bool:
            try:
                await seat.one(bet(f"b{number}", "1.00"))
            except Refused as refused:
                told = ", ".join(" ".join(pair) for pair in sorted(refused.details.metadata.items()))
                refusals[f"{refused.reason} {told}, {refused.details.retry_delay_ms} ms"] += 1
                return False
            return True

        async def greed_is_shed() -> bool:
            return refusals.total() == BURST - SHARE_OF_100

        with standing_still(private_valkey):
            many = [replace(greedy, api=api) for api in apis]
            flood = asyncio.gather(*(outcome(many[number % CONNECTIONS], number) for number in range(BURST)))
            await until(greed_is_shed, what="a source that is alone has four of five places")
            others = asyncio.gather(*(outcome(modest, number) for number in range(10)))
            await asyncio.sleep(0.2)
        taken, let_in = Counter(await flood), await others

    assert all(let_in)
    assert taken[True] == SHARE_OF_100
    assert refusals.keys() == {f"OVERLOADED cause source, source_id {greedy.source_id}, 200 ms"}


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
