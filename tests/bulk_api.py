"""BulkService over a real channel, as callers use it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import grpc

from stakehold.v1 import bulk_service_pb2 as pb
from stakehold.v1 import command_pb2
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from tests import requests
from tests.acceptance.seat import Seat
from tests.answers import Done, Refused, read_command_result, refused
from tests.reference import Step
from tests.wallet_api import TIMEOUT_S

BATCH = "/stakehold.v1.BulkService/Batch"
STREAM = "/stakehold.v1.BulkService/Stream"
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    # Otherwise a client takes in megabytes that nobody reads.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 16),
)

Answer = list[Done] | Refused


def command(seat: Seat, *steps: Step) -> command_pb2.Command:
    """What a unary call of these steps would be."""
    return command_of(requests.call(seat.source_id, seat.player_id, steps))


def command_of(request: requests.Request | wallet_pb.ExchangeRequest) -> command_pb2.Command:
    if isinstance(request, wallet_pb.ExchangeRequest):
        return command_pb2.Command(exchange=request)
    return requests.command(request)


def said(answer: Answer) -> str:
    """An answer in a word: the outcome, "again" with it where it was given before, or the code and reason."""
    if isinstance(answer, Refused):
        return f"{answer.code} {answer.reason}"
    return " ".join(f"{done.outcome}{' again' if done.replayed else ''}" for done in answer)


@dataclass(frozen=True, slots=True)
class OpenStream:
    """One call of Stream. ``received`` are the answers so far, by correlation id."""

    call: Any
    received: dict[str, Answer] = field(default_factory=dict)
    messages: list[int] = field(default_factory=list)
    """How many results each message had that came."""

    async def send(self, correlation_id: str, sent: command_pb2.Command) -> None:
        request = pb.StreamRequest(correlation_id=correlation_id, command=sent)
        await self.call.write(request.SerializeToString())

    async def receive(self) -> bool:
        """Waits for one message; False: there are no more. Raises Refused where the stream did not end OK."""
        try:
            message = await self.call.read()
        except grpc.RpcError as error:
            raise refused(error) from None
        if message is grpc.aio.EOF:
            await self._require_ok()
            return False
        results = pb.StreamResponse.FromString(message).results
        self.messages.append(len(results))
        for result in results:
            assert result.correlation_id not in self.received, "answered twice"
            self.received[result.correlation_id] = read_command_result(result.result)
        return True

    async def receive_all(self) -> dict[str, Answer]:
        """Closes this side, and waits for all answers."""
        await self.call.done_writing()
        while await self.receive():
            pass
        return self.received

    async def _require_ok(self) -> None:
        code = await self.call.code()
        if code is not grpc.StatusCode.OK:
            trailing = await self.call.trailing_metadata()
            initial = await self.call.initial_metadata()
            raise refused(grpc.aio.AioRpcError(code, initial, trailing, details=await self.call.details()))


@dataclass(frozen=True, slots=True)
class BulkApi:
    """Sends bytes, so that what no stub would send can be sent too."""

    channel: grpc.aio.Channel

    async def batch(
        self, commands: Sequence[command_pb2.Command], *, timeout_s: float | None = TIMEOUT_S
    ) -> list[Answer]:
        return await self.raw_batch(
            pb.BatchRequest(commands=commands).SerializeToString(), timeout_s=timeout_s
        )

    async def raw_batch(self, request: bytes, *, timeout_s: float | None = TIMEOUT_S) -> list[Answer]:
        try:
            send = cast(Any, self.channel.unary_unary(BATCH))
            answer = await send(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise refused(error) from None
        assert isinstance(answer, bytes)
        return [read_command_result(result) for result in pb.BatchResponse.FromString(answer).results]

    def stream(self, *, timeout_s: float | None = None) -> OpenStream:
        return OpenStream(self.channel.stream_stream(STREAM)(timeout=timeout_s))


@asynccontextmanager
async def bulk_api(address: str) -> AsyncIterator[BulkApi]:
    """Through a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        yield BulkApi(channel)
