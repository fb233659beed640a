"""How long after the drainer a subscriber has an entry."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from stakehold.v1 import event_service_pb2 as pb
from stakehold.v1.event_service_pb2_grpc import EventServiceStub
from tests.bench.figures import percentile

QUIET_S = 1.0


@dataclass(slots=True)
class EventLags:
    """Of each event: from the beginning of the SQL transaction that committed it until it was received."""

    seconds: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        return {
            "told": len(self.seconds),
            "p50_ms": 1000 * percentile(self.seconds, 0.5),
            "p99_ms": 1000 * percentile(self.seconds, 0.99),
        }

    async def until_quiet(self) -> None:
        """Until nothing came for a while."""
        before = -1
        while before != len(self.seconds):
            before = len(self.seconds)
            await asyncio.sleep(QUIET_S)


@asynccontextmanager
async def subscribed_to_events(address: str) -> AsyncIterator[EventLags]:
    """Takes what is committed from now on."""
    lags = EventLags()
    async with grpc.aio.insecure_channel(address) as channel:
        call = EventServiceStub(channel).Subscribe(pb.SubscribeRequest(start_point=pb.START_POINT_NOW))
        await call.read()
        task = asyncio.create_task(_take(call, lags))
        try:
            yield lags
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            call.cancel()


async def _take(
    call: "grpc.aio.UnaryStreamCall[pb.SubscribeRequest, pb.SubscribeResponse]", lags: EventLags
) -> None:
    while isinstance(response := await call.read(), pb.SubscribeResponse):
        if response.HasField("event"):
            recorded_s = response.event.entry.recorded_time.ToNanoseconds() / 1e9
            lags.seconds.append(time.time() - recorded_s)
