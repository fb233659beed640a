"""Opens the gate that all calls pass, and the log that it keeps."""

import asyncio
import os
import socket
import uuid
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from persistence.postgres.access_log import AccessTable
from service.callers.access_log import AccessLog
from service.callers.access_metrics import AccessMetrics
from service.callers.gate import Gate
from service.callers.permits import Permits
from service.opening import open_recorder_pool
from service.servicers.deadlines import Deadlines
from service.settings import Settings

_LAST_WRITES_S = 5.0


async def open_gate(
    settings: Settings, stack: AsyncExitStack, metrics_registry: CollectorRegistry, *, application: str
) -> Gate:
    """Once the stack is left, what was denied until then is written. Raises SetupRefused."""
    pool = await open_recorder_pool(settings, stack, application=application)
    log = AccessLog(AccessTable(pool, server_id=_server_id()), AccessMetrics(metrics_registry))
    writer = asyncio.create_task(log.keep_written(), name="access-log")
    stack.push_async_callback(_end, writer, log)
    return Gate(Permits(), log, Deadlines(settings.call_timeout_s))


def _server_id() -> str:
    """Another one for each life of each server."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


async def _end(writer: "asyncio.Task[None]", log: AccessLog) -> None:
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    await log.flush(timeout_s=_LAST_WRITES_S)
