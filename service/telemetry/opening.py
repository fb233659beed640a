"""Makes a process's traces."""

import asyncio
import importlib.metadata
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from prometheus_client import CollectorRegistry

from persistence.errors import SetupRefused
from service.telemetry.sampling import Sampling
from service.telemetry.trace_metrics import TraceMetrics
from service.telemetry.trace_settings import TraceSettings
from service.telemetry.traces import NoTraces, Traces

_FLUSH_S = 2.0
"""For what waits when the process ends. The collector may be away."""


@asynccontextmanager
async def open_traces(
    settings: TraceSettings, registry: CollectorRegistry, *, role: str
) -> AsyncIterator[Traces]:
    """Traces of a process in this role (serve, drain, …). Without an endpoint there are none, and
    OpenTelemetry is not even loaded. Raises SetupRefused for a headers file that cannot be used.
    """
    if not settings.traces_endpoint:
        yield NoTraces()
        return
    from opentelemetry.sdk.resources import Resource

    from service.telemetry.exporting import SpanSender, otlp_exporter
    from service.telemetry.recording import RecordedTraces
    from service.telemetry.spans import Spans

    headers = _read_headers(settings.traces_headers_file)
    _quiet_the_library()
    metrics = TraceMetrics(registry)
    sender = SpanSender(otlp_exporter(settings.traces_endpoint, headers), metrics)
    resource = Resource.create(
        {
            "service.name": "stakehold",
            "service.version": importlib.metadata.version("stakehold"),
            "service.instance.id": f"{socket.gethostname()[:32]}-{uuid4().hex[:12]}",
            "stakehold.role": role,
        }
    )
    sampling = Sampling(settings.traces_ratio, most_per_s=settings.traces_per_s, on_capped=metrics.capped.inc)
    try:
        yield RecordedTraces(Spans(resource, sender), sampling)
    finally:
        await asyncio.to_thread(sender.close, _FLUSH_S)


def _read_headers(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupRefused(
            f"STAKEHOLD_TRACES_HEADERS_FILE cannot be read: {type(error).__name__}: {path}"
        ) from error
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not (colon and name.strip() and value.strip()):
            raise SetupRefused(f"STAKEHOLD_TRACES_HEADERS_FILE: line {number} is not `Name: value`")
        headers[name.strip()] = value.strip()
    return headers


def _quiet_the_library() -> None:
    """What it would say is told in our own words: its own name addresses, and come with every try."""
    for name in ("opentelemetry", "urllib3"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
