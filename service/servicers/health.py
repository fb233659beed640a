"""grpc.health.v1: whether each service takes calls. Whoever watches is told of the end, and then let go."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc

Context = ServicerContext[Any, Any]
Status = health_pb2.HealthCheckResponse


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """All services have one status. Not grpc_health's own, whose watches never end and hold up a shutdown."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._status = Status.NOT_SERVING
        self._changed = asyncio.Event()
        self._ended = False

    def serve(self) -> None:
        """From now on calls are taken."""
        self._change(Status.SERVING)

    def announce_end(self) -> None:
        """From now on no calls are taken."""
        self._change(Status.NOT_SERVING)

    def end(self) -> None:
        """Ends what watches, now and later."""
        self._ended = True
        self._change(Status.NOT_SERVING)

    async def Check(self, request: Any, context: Context) -> Any:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return Status(status=self._status)

    async def Watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        told = None
        while True:
            changed, ended = self._changed, self._ended
            status = self._status if request.service in self._services else Status.SERVICE_UNKNOWN
            if status != told:
                yield Status(status=status)
                told = status
            if ended:
                return
            await changed.wait()

    def _change(self, status: Any) -> None:
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()
