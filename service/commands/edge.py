"""``stakehold edge``: HTTP for providers, in front of ProviderService."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import click
import structlog
import uvloop
from pydantic import ValidationError

from service.commands.starting import CANNOT_START, refuse_plainly, trace_variables
from service.edge.edge_settings import EdgeSettings
from service.edge.forwarding import CHANNEL_OPTIONS, Forwarder
from service.edge.http_server import Edge, served_edge
from service.edge.metrics import EdgeMetrics
from service.health_listener import served_health
from service.logs import configure_logs
from service.metrics import served_metrics
from service.readiness import Readiness
from service.telemetry.opening import open_traces
from service.telemetry.process_metrics import Process, process_registry
from service.telemetry.trace_settings import read_trace_settings
from service.transport.channels import renewed_channel
from service.transport.client_settings import ClientSettings

_log = structlog.get_logger(__name__)


def _variables() -> Iterator[str]:
    """The settings as paragraphs that click leaves as they are."""
    for name, field in EdgeSettings.model_fields.items():
        yield f"\b\n{_variable(name)}  (default: {_shown(field.default)})\n{field.description}"
    for name, field in ClientSettings.model_fields.items():
        yield f"\b\nSTAKEHOLD_{name.upper()}  (default: {_shown(field.default)})\n{field.description}"


def _variable(name: str) -> str:
    alias = EdgeSettings.model_fields[name].validation_alias if name in EdgeSettings.model_fields else None
    return alias if isinstance(alias, str) else f"STAKEHOLD_EDGE_{name.upper()}"


def _shown(default: Any) -> str:
    return "none" if default in (None, "") else str(default)


@click.command(epilog="\n\n".join(["Settings come from the environment:", *_variables(), *trace_variables()]))
def command() -> None:
    """Serve HTTP for providers, and hand their callbacks to the service, until interrupted.

    A provider calls POST /<its id>/<path>. The edge has no keys and decides nothing: the service checks
    signatures, and says what is answered. Any number may run.
    """
    settings = _read_settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        uvloop.run(_serve(settings))


def _read_settings_or_exit() -> EdgeSettings:
    try:
        return EdgeSettings()
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False, include_context=False):
            where = f"{_variable(str(error['loc'][0]))}: " if error["loc"] else ""
            click.echo(f"{where}{error['msg'].removeprefix('Value error, ')}", err=True)
        click.echo("see `stakehold edge --help`", err=True)
        sys.exit(CANNOT_START)


async def _serve(settings: EdgeSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = ClientSettings()
    registry = process_registry(Process.EDGE)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served_health(settings.health_listen, readiness))
        if settings.metrics_listen:
            stack.enter_context(
                served_metrics(settings.metrics_listen, registry, is_ready=lambda: readiness.is_ready)
            )
        traces = await stack.enter_async_context(open_traces(read_trace_settings(), registry, role="edge"))
        channel = await stack.enter_async_context(renewed_channel(client, client.address, CHANNEL_OPTIONS))
        metrics = EdgeMetrics(registry)
        forwarder = Forwarder(channel, timeout_s=settings.answer_timeout_s, traces=traces)
        edge = Edge(forwarder, settings, metrics, is_ready=lambda: readiness.is_ready)
        address = await stack.enter_async_context(served_edge(edge, settings))
        readiness.started()
        _log.info("edge_serving", address=address, service=client.address)
        await stop.wait()
        readiness.stopping()
        _log.info("stopping", grace_s=settings.shutdown_grace_s)
    _log.info("stopped")
