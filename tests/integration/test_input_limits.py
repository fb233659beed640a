"""What is too long, too much, or not what it says: refused clearly and cheaply."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from grpc.aio import ServicerContext

from service.embedded import EmbeddedValkey
from service.listener import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES, STREAMS_PER_CONNECTION
from service.server import RunningServer
from stakehold.v1 import wallet_service_pb2 as pb
from tests.acceptance.seat import seated
from tests.answers import Refused, refused
from tests.deployment import Deployment
from tests.integration.test_server import call_extra, handler
from tests.ledgers import Ledgers
from tests.message_forms import SOURCE_ID, unary_rpcs
from tests.serving import Grounds, grounds
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, awaited_api, wallet_api

Context = ServicerContext[Any, Any]
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
RPCS = {rpc.path: rpc for rpc in unary_rpcs()}
MUCH = 100_000
LONGEST_ANSWER = 4096
CLEAR = {"INVALID_ARGUMENT", "NOT_FOUND"}
OUR_FAULT = {"UNKNOWN", "INTERNAL", "UNIMPLEMENTED", "DATA_LOSS"}
INTERNALS = ("Traceback", "Error(", "asyncpg", "redis", "SELECT ", ".py", "google.protobuf")


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def server(ground: Grounds) -> AsyncIterator[RunningServer]:
    async with ground.serving() as running, wallet_api(running.address) as api:
        await api.put_source(SOURCE_ID)
        yield running


@pytest_asyncio.fixture(scope="module")
async def channel(server: RunningServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as opened:
        yield opened


async def send(
    channel: grpc.aio.Channel, path: str, raw: bytes, *, compression: grpc.Compression | None = None
) -> Refused | bytes:
    """The answer to whatever bytes: as they came, or why not."""
    call = channel.unary_unary(
        path, request_serializer=lambda sent: sent, response_deserializer=lambda got: got
    )
    try:
        answer = await call(raw, timeout=TIMEOUT_S, compression=compression)
    except grpc.RpcError as error:
        told = refused(error)
        said = f"{told.code} {told.details}"
        assert told.code not in OUR_FAULT, said
        assert len(said) < LONGEST_ANSWER
        assert not any(word in said for word in INTERNALS), said
        return told
    assert isinstance(answer, bytes)
    return answer


@pytest.mark.parametrize("path", RPCS)
async def test_what_is_too_long_is_refused_with_a_short_answer(channel: grpc.aio.Channel, path: str) -> None:
    rpc = RPCS[path]
    is_fine = isinstance(await send(channel, path, rpc.plausible().SerializeToString()), bytes)

    for field, message in rpc.oversized(MUCH):
        answer = await send(channel, path, message.SerializeToString())

        if path.endswith("/Batch"):  # where each command has an answer of its own
            assert isinstance(answer, Refused) or len(answer) < LONGEST_ANSWER
            continue
        assert isinstance(answer, Refused), f"{field} may have {MUCH} bytes"
        assert not is_fine or answer.code in CLEAR, f"{field}: {answer}"


@pytest.mark.parametrize("path", RPCS)
async def test_bytes_that_are_no_request_are_the_callers_fault(channel: grpc.aio.Channel, path: str) -> None:
    bytes_of = random.Random(path)
    good = RPCS[path].plausible().SerializeToString()

    for _ in range(40):
        if isinstance(answer := await send(channel, path, mutilated(good, bytes_of)), Refused):
            assert answer.reason or answer.code == "RESOURCE_EXHAUSTED", answer


def mutilated(good: bytes, chance: random.Random) -> bytes:
    """Cut off, with bits turned, with something in it, or something else altogether."""
    raw = bytearray(good or b"\x0a\x01a")
    match chance.randrange(4):
        case 0:
            return bytes(raw[: chance.randrange(len(raw))])
        case 1:
            for _ in range(chance.randint(1, 8)):
                raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            return bytes(raw)
        case 2:
            at = chance.randrange(len(raw))
            raw[at:at] = chance.randbytes(chance.randint(1, 64))
            return bytes(raw)
        case _:
            return chance.randbytes(chance.randint(1, 2048))


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe"])
async def test_a_message_that_cannot_be_read_is_an_invalid_request(
    channel: grpc.aio.Channel, raw: bytes
) -> None:
    answer = await send(channel, "/stakehold.v1.WalletService/Debit", raw)

    assert isinstance(answer, Refused)
    assert (answer.code, answer.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert answer.details.fields == ("request",)


async def test_what_unpacks_to_more_than_a_message_may_have_is_not_unpacked(deployment: Deployment) -> None:
    """Half a gigabyte in half a megabyte, eight times at once."""
    process = psutil.Process(deployment.server.process.pid)
    bomb = bytes(512 << 20)
    before = process.memory_info().rss

    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(deployment.address, options=options) as channel:
        for _ in range(8):
            answer = await send(
                channel, "/stakehold.v1.WalletService/GetWallet", bomb, compression=grpc.Compression.Gzip
            )
            assert isinstance(answer, Refused)
            assert answer.code == "RESOURCE_EXHAUSTED"

    assert process.memory_info().rss - before < 64 * MAX_MESSAGE_BYTES


async def test_metadata_beyond_their_limit_are_refused(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary(
        "/stakehold.v1.WalletService/GetWallet",
        request_serializer=pb.GetWalletRequest.SerializeToString,
        response_deserializer=pb.GetWalletResponse.FromString,
    )

    with pytest.raises(grpc.RpcError) as caught:
        await call(pb.GetWalletRequest(), metadata=[("x-much", "y" * MAX_METADATA_BYTES)], timeout=TIMEOUT_S)

    assert refused(caught.value).code == "RESOURCE_EXHAUSTED"


async def test_connections_beyond_their_number_are_closed_and_those_that_are_there_go_on(
    ground: Grounds,
) -> None:
    async with ground.serving(max_connections=3) as server, AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(wallet_api(server.address)) for _ in range(3)]
        for api in apis:
            with pytest.raises(Refused, match="WALLET_NOT_FOUND"):
                await api.balances("nobody")

        async with wallet_api(server.address) as one_too_many:
            with pytest.raises(Refused) as caught:
                await one_too_many.balances("nobody")
        assert caught.value.code == "UNAVAILABLE"
        with pytest.raises(Refused, match="WALLET_NOT_FOUND"):
            await apis[0].balances("nobody")


async def test_a_connection_that_says_nothing_is_closed(server: RunningServer) -> None:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def closed() -> bool:
        return not await reader.read(4096)

    await until(closed, what="the connection is closed", deadline_s=60.0)
    writer.close()


async def test_old_connections_are_asked_to_end_and_no_call_is_lost(ground: Grounds) -> None:
    peers: set[str] = set()

    async def note_peer(request: Empty, context: Context) -> Empty:
        peers.add(context.peer())
        return Empty()

    async with (
        ground.serving(connection_age_s=0.3, extra_handlers=[handler(note_peer)]) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):

        async def on_a_third_connection() -> bool:
            await call_extra(channel)
            return len(peers) >= 3

        await until(on_a_third_connection, what="there is a third connection", deadline_s=60.0)


async def never() -> AsyncIterator[bytes]:
    """A request that does not come."""
    await asyncio.Event().wait()
    yield b""


def unfinished_calls(channel: grpc.aio.Channel, count: int) -> list[Any]:
    begin = channel.stream_unary(
        "/stakehold.v1.WalletService/Debit",
        request_serializer=lambda sent: sent,
        response_deserializer=lambda got: got,
    )
    return [begin(never()) for _ in range(count)]


async def test_callers_that_never_finish_what_they_say_disturb_nobody(ground: Grounds) -> None:
    """Six connections, each full of calls whose request does not come."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ground.serving())
        unfinished = []
        for _ in range(6):
            channel = grpc.aio.insecure_channel(server.address, options=_OWN_CONNECTION)
            begun = unfinished_calls(await stack.enter_async_context(channel), 100)
            await asyncio.gather(*(call.wait_for_connection() for call in begun))
            unfinished += begun

        async with wallet_api(server.address) as api:
            seat = await seated(api)
            for number in range(50):
                await seat.one(bet(f"b{number}", "1"))

            assert await seat.cash() == "50.00"
        assert sum(not call.done() for call in unfinished) > 400  # gRPC drops some where all come at once
        for call in unfinished:
            call.cancel()


async def test_a_connection_has_only_so_many_calls_and_others_wait_with_the_caller(ground: Grounds) -> None:
    async with (
        ground.serving() as server,
        grpc.aio.insecure_channel(server.address, options=_OWN_CONNECTION) as full,
        wallet_api(server.address) as another,
    ):
        unfinished = unfinished_calls(full, STREAMS_PER_CONNECTION + 20)
        api = awaited_api(full)

        async def is_full() -> bool:
            with pytest.raises(grpc.RpcError) as caught:
                await api.wallets.GetWallet(pb.GetWalletRequest(player_id="nobody"), timeout=1.0)
            return refused(caught.value).code == "DEADLINE_EXCEEDED"

        await until(is_full, what="no further call gets through")
        with pytest.raises(Refused, match="WALLET_NOT_FOUND"):
            await another.balances("nobody")
        for call in unfinished:
            call.cancel()


async def test_a_server_ends_though_callers_never_finish_what_they_say(ground: Grounds) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ground.serving())
        channel = grpc.aio.insecure_channel(server.address, options=_OWN_CONNECTION)
        unfinished = unfinished_calls(channel, 100)
        await asyncio.gather(*(call.wait_for_connection() for call in unfinished))

        await stack.aclose()

        codes = [await call.code() for call in unfinished]
        assert set(codes) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        await channel.close()
