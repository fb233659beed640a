"""grpc.health.v1 for probes, with a name for each question.

- ``liveness``: the event loop turns. It depends on nothing else: a restart mends neither the store nor the
  ledger, and makes one more client of them. (A loop that hangs does not answer at all.)
- ``startup``: the process has started.
- ``readiness``, and the empty name: it may be given work. See ``service.readiness``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from grpc.aio import ServicerContext
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.readiness import Readiness

Context = ServicerContext[Any, Any]
Status = health_pb2.HealthCheckResponse

LIVENESS = "liveness"
STARTUP = "startup"
READINESS = "readiness"

_WATCH_EVERY_S = 0.5


class ProbeServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Asks when it is asked; what is watched is looked at twice a second."""

    def __init__(self, readiness: Readiness) -> None:
        self._answers: Mapping[str, Callable[[], bool]] = {
            "": lambda: readiness.is_ready,
            LIVENESS: lambda: True,
            STARTUP: lambda: readiness.has_started,
            READINESS: lambda: readiness.is_ready,
        }

    async def Check(self, request: Any, context: Context) -> Any:
        if request.service not in self._answers:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return Status(status=self._status(request.service))

    async def Watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        told = None
        while True:
            if (status := self._status(request.service)) != told:
                yield Status(status=status)
                told = status
            await asyncio.sleep(_WATCH_EVERY_S)

    def _status(self, service: str) -> Any:
        answer = self._answers.get(service)
        if answer is None:
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if answer() else Status.NOT_SERVING
