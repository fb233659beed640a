"""The server around the operations: limits, deadlines, unexpected errors, metrics and its end."""

import asyncio
import signal
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
import structlog.testing
from google.protobuf.empty_pb2 import Empty
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from persistence.valkey.keys import epoch_key
from persistence.witness import Witness
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from service.listener import MAX_MESSAGE_BYTES
from stakehold.v1 import wallet_service_pb2 as pb
from tests.answers import Refused, refused
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet, deposit
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, WalletApi, new_name, wallet_api

Context = ServicerContext[Any, Any]
Operation = Callable[[Empty, Context], Awaitable[Empty]]
SECRET = "the password is hunter2"


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def api(ground: Grounds) -> AsyncIterator[WalletApi]:
    """A server that these tests share, with one source."""
    async with ground.serving() as server, wallet_api(server.address) as opened:
        await opened.put_source("games")
        yield opened


def handler(operation: Operation) -> grpc.GenericRpcHandler:
    """A service of one method that only tests have."""
    method = grpc.unary_unary_rpc_method_handler(
        operation,
        request_deserializer=Empty.FromString,
        response_serializer=Empty.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("tests.Extra", {"Call": method})


async def call_extra(channel: grpc.aio.Channel, *, method: str = "/tests.Extra/Call") -> Empty:
    call = channel.unary_unary(
        method, request_serializer=Empty.SerializeToString, response_deserializer=Empty.FromString
    )
    try:
        answer = await call(Empty(), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        raise refused(error) from None
    assert isinstance(answer, Empty)
    return answer


async def player_with(api: WalletApi, amount: str) -> str:
    player_id = new_name("player")
    await api.open_wallet(player_id, "EUR")
    await api.transact("games", player_id, [deposit("start", amount)])
    return player_id


async def test_a_request_at_the_limit_is_read_and_one_beyond_it_is_refused(api: WalletApi) -> None:
    async def send(size: int) -> Refused:
        with pytest.raises(grpc.RpcError) as caught:
            await api.wallets.GetWallet(pb.GetWalletRequest(player_id="x" * size), timeout=TIMEOUT_S)
        return refused(caught.value)

    assert (await send(MAX_MESSAGE_BYTES - 64)).reason == "INVALID_FIELD"
    assert (await send(MAX_MESSAGE_BYTES + 64)).code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    "method", ["/stakehold.v1.WalletService/Steal", "/stakehold.v2.WalletService/Debit", "/x/y"]
)
async def test_an_unknown_method_is_unimplemented(ground: Grounds, api: WalletApi, method: str) -> None:
    async with ground.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(Refused) as caught:
            await call_extra(channel, method=method)

    assert caught.value.code == "UNIMPLEMENTED"


async def test_an_unexpected_error_is_told_by_an_incident_id_that_is_in_the_log(ground: Grounds) -> None:
    async def fail(request: Empty, context: Context) -> Empty:
        raise RuntimeError(SECRET)

    with structlog.testing.capture_logs() as logs:
        async with (
            ground.serving(extra_handlers=[handler(fail)]) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            incidents = []
            for _ in range(2):
                with pytest.raises(Refused) as caught:
                    await call_extra(channel)
                assert (caught.value.code, caught.value.reason) == ("INTERNAL", "INTERNAL")
                assert list(caught.value.details.metadata) == ["incident_id"]
                assert SECRET not in f"{caught.value.details}"
                incidents.append(caught.value.details.metadata["incident_id"])

    logged = [event for event in logs if event["event"] == "internal_error"]
    assert [event["incident_id"] for event in logged] == incidents
    assert len(set(incidents)) == 2
    assert all(SECRET in repr(event["exc_info"]) for event in logged)


async def test_a_caller_that_waits_a_millisecond_gets_its_answer_by_asking_again(api: WalletApi) -> None:
    player_id = await player_with(api, "100")
    with suppress(Refused):  # unless it was fast enough
        await api.transact("games", player_id, [bet("b1", "10")], timeout_s=0.001)

    [done] = await api.transact("games", player_id, [bet("b1", "10")])

    assert done.after is not None
    assert (done.after.cash, done.after.version) == ("90.00", 3)


async def test_calls_to_a_frozen_store_are_given_up_and_asked_again_with_the_same_ids(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    ground = Grounds(private_valkey.url, ledger_dsn)
    async with (
        ground.serving(store_timeout_s=0.5) as server,
        wallet_api(server.address) as api,
    ):
        await api.put_source("games")
        player_id = await player_with(api, "100")
        private_valkey.process.send_signal(signal.SIGSTOP)
        answers = await asyncio.gather(
            *(
                api.transact("games", player_id, [bet(f"b{number}", "10")], timeout_s=patience_s)
                for number, patience_s in enumerate((0.1, TIMEOUT_S, TIMEOUT_S))
            ),
            return_exceptions=True,
        )
        private_valkey.process.send_signal(signal.SIGCONT)

        hasty, *patient = (answer for answer in answers if isinstance(answer, Refused))
        assert hasty.code in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}  # whichever side notices first
        assert len(patient) == 2
        assert {answer.reason for answer in patient} <= {"OUTCOME_UNKNOWN", "STORE_UNAVAILABLE"}
        for number in range(3):
            await api.transact("games", player_id, [bet(f"b{number}", "10")])
        [balance] = await api.balances(player_id)
        assert (balance.cash, balance.version) == ("70.00", 5)


async def test_a_server_that_stops_answers_what_is_under_way_and_takes_nothing_new(ground: Grounds) -> None:
    called, may_answer = asyncio.Event(), asyncio.Event()

    async def answer_later(request: Empty, context: Context) -> Empty:
        called.set()
        await may_answer.wait()
        return Empty()

    leave = asyncio.Event()
    address = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with ground.serving(extra_handlers=[handler(answer_later)]) as server:
            address.set_result(server.address)
            await leave.wait()

    async def takes_nothing_new() -> bool:
        async with wallet_api(await address) as api:
            try:
                await api.balances("nobody")
            except Refused as refusal:
                return (refusal.code, refusal.reason) == ("UNAVAILABLE", "STOPPING")
        return False

    serving = asyncio.create_task(serve())
    async with grpc.aio.insecure_channel(await address) as channel:
        under_way = asyncio.create_task(call_extra(channel))
        await called.wait()
        leave.set()
        await until(takes_nothing_new, what="the server takes nothing new")
        assert not serving.done()
        may_answer.set()

        assert await under_way == Empty()
        await serving


async def test_a_server_that_stops_says_so_before_it_refuses_anything(ground: Grounds) -> None:
    """Who watches its health has gone elsewhere by then."""
    serving = AsyncExitStack()
    server = await serving.enter_async_context(ground.serving(stop_notice_s=2.0))
    async with wallet_api(server.address) as api, grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await health.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.create_task(serving.aclose())

        assert (await health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(Refused, match="WALLET_NOT_FOUND"):
            await api.balances("nobody")

        await stopping


async def test_a_call_that_never_ends_is_waited_for_no_longer_than_the_grace(ground: Grounds) -> None:
    called = asyncio.Event()

    async def never_answer(request: Empty, context: Context) -> Empty:
        called.set()
        await asyncio.Event().wait()
        return Empty()

    async with ground.serving(extra_handlers=[handler(never_answer)], shutdown_grace_s=0.1) as server:
        channel = grpc.aio.insecure_channel(server.address)
        under_way = asyncio.create_task(call_extra(channel))
        await called.wait()

    with pytest.raises(Refused) as caught:
        await under_way
    assert caught.value.code in {"UNAVAILABLE", "CANCELLED"}
    await channel.close()


async def test_the_metrics_tell_calls_by_method_and_code_batches_and_fences(ground: Grounds) -> None:
    listen = f"{LOOPBACK}:{free_port()}"
    async with ground.serving(metrics_listen=listen) as server, wallet_api(server.address) as api:
        await api.put_source("games")
        player_id = await player_with(api, "100")
        with pytest.raises(Refused):
            await api.transact("games", player_id, [bet("b1", "1000")])
        text = await asyncio.to_thread(scrape, listen)

    assert 'stakehold_calls_total{code="OK",method="/stakehold.v1.WalletService/Credit"} 1.0' in text
    assert (
        'stakehold_calls_total{code="FAILED_PRECONDITION",method="/stakehold.v1.WalletService/Debit"} 1.0'
        in text
    )
    assert 'stakehold_call_seconds_count{method="/stakehold.v1.WalletService/Debit"} 1.0' in text
    assert "stakehold_batch_calls_count 5.0" in text
    assert "stakehold_waiting_calls 0.0" in text
    assert "stakehold_fenced_partitions 0.0" in text
    assert 'stakehold_durability_info{level="fsync",replicas="0"} 1.0' in text
    assert "stakehold_unconfirmed_batches_total 0.0" in text


def scrape(listen: str) -> str:
    with urllib.request.urlopen(f"http://{listen}/metrics", timeout=TIMEOUT_S) as page:
        text: str = page.read().decode()
    return text


def another_ledgers(witness: bytes) -> str:
    """The same witness, but for the ledger."""
    return str(replace(Witness.parse(witness.decode()), ledger_id=uuid4()))


async def test_players_of_a_fenced_partition_are_told_so_and_the_others_are_served(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    ground = Grounds(private_valkey.url, ledger_dsn)
    async with ground.serving():
        pass
    async with Redis.from_url(private_valkey.url) as store:
        await store.set(epoch_key(3), another_ledgers(cast("bytes", await store.get(epoch_key(3)))))

    codes = set()
    async with ground.serving() as server, wallet_api(server.address) as api:
        for number in range(200):
            try:
                await api.open_wallet(f"p{number}", "EUR")
                codes.add(("OK", ""))
            except Refused as refusal:
                codes.add((refusal.code, refusal.details.metadata["partition"]))

    assert codes == {("OK", ""), ("UNAVAILABLE", "3")}
