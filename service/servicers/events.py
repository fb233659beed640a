"""EventService: tells what the ledger commits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc.aio import ServicerContext

from persistence.errors import SubscriberStalled
from service.conversions.events import read_event_filter, read_start, told_message
from service.conversions.ledger import currencies_of
from service.eventing.following import ToldEntry
from service.eventing.metrics import EventMetrics
from service.eventing.subscriptions import Subscriptions
from service.registry import Registry
from stakehold.v1 import event_service_pb2 as pb
from stakehold.v1 import event_service_pb2_grpc

Context = ServicerContext[Any, Any]


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """A message leaves as soon as the one before was taken, as far as HTTP/2's windows go."""

    def __init__(
        self, subscriptions: Subscriptions, registry: Registry, metrics: EventMetrics, *, patience_s: float
    ) -> None:
        self._subscriptions = subscriptions
        self._registry = registry
        self._metrics = metrics
        self._patience_s = patience_s

    async def Subscribe(
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        wanted = read_event_filter(request)
        cursor = await self._subscriptions.cursor_at(read_start(request))
        is_first = True
        async with aclosing(self._subscriptions.follow(cursor, wanted)) as all_told:
            resume = str(cursor)
            async for told in all_told:
                if isinstance(told, ToldEntry):
                    await self._registry.know(currencies_of(told.entry))
                message = told_message(told, cursor, self._registry)
                if is_first:
                    yield message
                    is_first = False
                else:
                    # Not yielded: a yield cannot be given up when it takes too long.
                    await self._write(context, message, resume)
                resume = str(cursor)

    async def _write(self, context: Context, message: pb.SubscribeResponse, resume: str) -> None:
        """Raises SubscriberStalled with the cursor before the message."""
        try:
            async with asyncio.timeout(self._patience_s):
                await context.write(message)
        except TimeoutError:
            self._metrics.count_stalled()
            raise SubscriberStalled(resume) from None
