"""Tells the service rates, and what it says became of each."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import grpc

from fx.feeds.feed import FeedRate
from service.telemetry.traces import Traces, outgoing_metadata
from service.transport.channels import RenewedChannel, renewed_channel
from service.transport.client_settings import ClientSettings
from stakehold.v1 import fx_service_pb2 as pb
from stakehold.v1.fx_service_pb2_grpc import FxServiceStub

if TYPE_CHECKING:  # exists for type checkers only
    from stakehold.v1.fx_service_pb2_grpc import FxServiceAsyncStub

_CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # by default two minutes, in which rates become stale
)


class Reception(StrEnum):
    """What became of a rate: used, kept for somebody to confirm, known or outdated, not taken at all."""

    ACCEPTED = "accepted"
    HELD = "held"
    IGNORED = "ignored"
    REFUSED = "refused"


_RECEPTIONS = {
    pb.PUSH_OUTCOME_ACCEPTED: Reception.ACCEPTED,
    pb.PUSH_OUTCOME_HELD: Reception.HELD,
    pb.PUSH_OUTCOME_IGNORED: Reception.IGNORED,
    pb.PUSH_OUTCOME_REFUSED: Reception.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Received:
    """``reason`` is the service's; empty where the rate was accepted."""

    rate: FeedRate
    reception: Reception
    reason: str = ""


class PushFailed(Exception):
    """The service could not be told, or did not answer: some of the rates may have arrived all the same."""


class Pusher(Protocol):
    """Where rates go."""

    async def push(self, rates: Sequence[FeedRate]) -> Sequence[Received]:
        """What became of each, in their order. A rate may be pushed again and again. Raises PushFailed."""
        ...


class GrpcPusher:
    """Pushes in batches, one after the other."""

    def __init__(
        self, channel: RenewedChannel, *, source: str, batch_rates: int, timeout_s: float, traces: Traces
    ) -> None:
        self._channel = channel
        self._source = source
        self._batch_rates = batch_rates
        self._timeout_s = timeout_s
        self._traces = traces

    async def push(self, rates: Sequence[FeedRate]) -> Sequence[Received]:
        """Raises PushFailed."""
        received: list[Received] = []
        with self._traces.incoming("feed.push"):
            for start in range(0, len(rates), self._batch_rates):
                received += await self._push_batch(rates[start : start + self._batch_rates])
        return received

    async def _push_batch(self, rates: Sequence[FeedRate]) -> list[Received]:
        request = pb.PushRatesRequest(source=self._source, rates=map(_message, rates))
        fx: FxServiceAsyncStub = FxServiceStub(await self._channel.current())
        try:
            response = await fx.PushRates(request, timeout=self._timeout_s, metadata=outgoing_metadata())
        except grpc.aio.AioRpcError as error:
            raise PushFailed(f"{error.code().name}: {error.details()}") from error
        if len(response.results) != len(rates):
            raise PushFailed(f"{len(response.results)} results for {len(rates)} rates")
        return [_received(rate, result) for rate, result in zip(rates, response.results, strict=True)]


@asynccontextmanager
async def open_pusher(
    client: ClientSettings,
    target: str,
    *,
    source: str,
    batch_rates: int,
    timeout_s: float,
    traces: Traces,
) -> AsyncIterator[GrpcPusher]:
    """Through a connection of its own, which is made when it is needed, and again when it is lost.

    Raises SetupRefused.
    """
    async with renewed_channel(client, target, _CHANNEL_OPTIONS) as channel:
        yield GrpcPusher(channel, source=source, batch_rates=batch_rates, timeout_s=timeout_s, traces=traces)


def _message(rate: FeedRate) -> pb.PushedRate:
    message = pb.PushedRate(base=rate.base, quote=rate.quote, mid=format(rate.mid, "f"))
    message.published_time.FromMilliseconds(rate.published_ms)
    return message


def _received(rate: FeedRate, result: pb.PushResult) -> Received:
    """An outcome that only newer services know is not taken for a rate's use."""
    return Received(rate, _RECEPTIONS.get(result.outcome, Reception.REFUSED), result.reason)
