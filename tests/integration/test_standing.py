"""A stream whose caller is known no more ends, also where the caller takes nothing of what is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from persistence.errors import Unauthenticated
from service.callers.caller import DEVELOPMENT, Caller
from service.callers.identifying import Connection
from service.callers.standing import Standing, while_same
from service.embedded.ports import LOOPBACK

TIMEOUT_S = 20.0
FLOOD = "/tests.Flood/Flood"
NARROW = (("grpc.http2.lookahead_bytes", 4096), ("grpc.http2.bdp_probe", 0))
"""A client without room on the way, so that what it does not read stays with the server."""


class Fickle:
    """Knows everybody, until it does not."""

    def __init__(self) -> None:
        self.knows = True

    def identify(self, context: Connection) -> Caller:
        if not self.knows:
            raise Unauthenticated("nobody any more", cause="certificate_unknown")
        return DEVELOPMENT


class Flooding:
    """Sends more than any client takes."""

    def __init__(self) -> None:
        self.identifier = Fickle()
        self.sent_count = 0

    async def flood(self, _: bytes, context: Any) -> AsyncIterator[bytes]:
        held = Standing(self.identifier, context, DEVELOPMENT, every_s=0.02)
        try:
            while True:
                held.hand_over()
                yield b"x" * 100_000
                held.take_back()
                self.sent_count += 1
        except Unauthenticated as unknown:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(unknown))
        finally:
            held.close()


@asynccontextmanager
async def flooded(flooding: Flooding) -> AsyncIterator[Any]:
    """A call that is being flooded."""
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Flood": grpc.unary_stream_rpc_method_handler(flooding.flood)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Flood", handlers),))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}", options=NARROW) as channel:
            flood: Any = channel.unary_stream(FLOOD)
            yield flood(b"")
    finally:
        await server.stop(0)


async def test_nothing_more_is_sent_to_who_did_not_take_what_was_sent_in_time() -> None:
    flooding = Flooding()
    async with asyncio.timeout(TIMEOUT_S), flooded(flooding) as call:
        assert await call.read()
        before = -1
        while before != flooding.sent_count:  # until nothing gets away any more
            before = flooding.sent_count
            await asyncio.sleep(0.2)

        flooding.identifier.knows = False
        await asyncio.sleep(0.1)
        code = await drained(call)
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert flooding.sent_count <= before + 1


async def drained(call: Any) -> grpc.StatusCode | None:
    """How a call ends, once all that was sent is taken."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


class Pipe:
    """Messages that come when a test says so."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | None] = asyncio.Queue()

    async def coming(self) -> AsyncIterator[str]:
        while (message := await self.messages.get()) is not None:
            yield message


CONTEXT: Any = None


async def test_messages_come_until_the_caller_is_known_no_more_and_then_the_reason_does() -> None:
    pipe, identifier = Pipe(), Fickle()
    came: list[str] = []

    async def take() -> None:
        async for message in while_same(pipe.coming(), identifier, CONTEXT, DEVELOPMENT, every_s=0.01):
            came[len(came) :] = [message]

    taking = asyncio.create_task(take())
    for message in ("a", "b"):
        pipe.messages.put_nowait(message)
    await asyncio.sleep(0.05)
    identifier.knows = False

    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(taking, TIMEOUT_S)
    assert came == ["a", "b"]
    assert taking.cancelling() == 0


async def test_a_message_that_is_being_dealt_with_is_not_cut_off() -> None:
    pipe, identifier = Pipe(), Fickle()
    done = []

    async def take() -> None:
        async for message in while_same(pipe.coming(), identifier, CONTEXT, DEVELOPMENT, every_s=0.01):
            identifier.knows = False
            await asyncio.sleep(0.1)
            done.append(message)

    for message in ("a", "b"):
        pipe.messages.put_nowait(message)
    with pytest.raises(Unauthenticated):
        await asyncio.wait_for(take(), TIMEOUT_S)
    assert done == ["a"]


async def test_the_end_of_the_messages_is_the_last_moment_to_be_known() -> None:
    pipe, identifier = Pipe(), Fickle()
    pipe.messages.put_nowait("a")
    pipe.messages.put_nowait(None)
    came = []

    async def take() -> None:
        async for message in while_same(pipe.coming(), identifier, CONTEXT, DEVELOPMENT, every_s=60):
            came.append(message)
            identifier.knows = False

    with pytest.raises(Unauthenticated):
        await take()
    assert came == ["a"]


async def test_who_gives_up_is_not_taken_for_somebody_who_is_not_known() -> None:
    pipe, identifier = Pipe(), Fickle()

    async def take() -> None:
        async for _ in while_same(pipe.coming(), identifier, CONTEXT, DEVELOPMENT, every_s=60):
            pass

    taking = asyncio.create_task(take())
    await asyncio.sleep(0.02)
    taking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await taking
