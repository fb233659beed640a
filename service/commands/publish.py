"""``stakehold publish``: from the ledger to a message broker."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import click
import structlog
import uvloop
from pydantic import ValidationError

from persistence.errors import CursorNotInLedger
from service.commands.starting import CANNOT_START, refuse_plainly, trace_variables
from service.health_listener import served_health
from service.logs import configure_logs
from service.metrics import served_metrics
from service.publishing.metrics import PublishMetrics
from service.publishing.opening import open_ledger_side, open_sink
from service.publishing.publish_settings import PublishSettings
from service.publishing.publisher import Publisher
from service.readiness import Readiness
from service.telemetry.opening import open_traces
from service.telemetry.process_metrics import Process, process_registry
from service.telemetry.trace_settings import read_trace_settings
from service.turns import await_migrations

_log = structlog.get_logger(__name__)


def _variables() -> Iterator[str]:
    """The settings as paragraphs that click leaves as they are."""
    for name, field in PublishSettings.model_fields.items():
        default = "required" if field.is_required() else f"default: {_shown(field.default)}"
        yield f"\b\n{_variable(name)}  ({default})\n{field.description}"


def _variable(name: str) -> str:
    fields = PublishSettings.model_fields
    alias = fields[name].validation_alias if name in fields else None
    return alias if isinstance(alias, str) else f"STAKEHOLD_PUBLISH_{name.upper()}"


def _shown(default: Any) -> str:
    return "none" if not str(default) or default is None else str(default)


@click.command(epilog="\n\n".join(["Settings come from the environment:", *_variables(), *trace_variables()]))
def command() -> None:
    """Publish the ledger's entries to NATS JetStream or Kafka as CloudEvents, until interrupted.

    Any number may run: they share the partitions of a sink, and take over those of one that dies. Entries of
    a partition are sent in order, each at least once; while the broker is away they wait in the ledger.
    """
    settings = _read_settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        try:
            uvloop.run(_publish(settings))
        except CursorNotInLedger as error:
            click.echo(f"stakehold: {error} See docs/runbook.md.", err=True)
            sys.exit(1)


def _read_settings_or_exit() -> PublishSettings:
    try:
        return PublishSettings()
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False, include_context=False):
            where = f"{_variable(str(error['loc'][0]))}: " if error["loc"] else ""
            click.echo(f"{where}{error['msg'].removeprefix('Value error, ')}", err=True)
        click.echo("see `stakehold publish --help`", err=True)
        sys.exit(CANNOT_START)


async def _publish(settings: PublishSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = process_registry(Process.PUBLISH)
    metrics = PublishMetrics(registry, sink=settings.sink_name())
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served_health(settings.health_listen, readiness))
        if settings.metrics_listen:
            stack.enter_context(
                served_metrics(settings.metrics_listen, registry, is_ready=lambda: metrics.is_ready)
            )
        await await_migrations(
            settings.postgres_url.get_secret_value(), stop, wait_s=settings.migration_wait_s
        )
        if stop.is_set():
            return
        traces = await stack.enter_async_context(open_traces(read_trace_settings(), registry, role="publish"))
        ledger = await open_ledger_side(settings, stack)
        publisher = Publisher(settings, ledger, partial(open_sink, settings), metrics=metrics, traces=traces)
        _log.info(
            "publishing",
            sink=settings.sink_name(),
            kind=settings.kind.value,
            encoding=settings.encoding.value,
            ledger_id=str(ledger.ledger_id),
        )
        readiness.started(lambda: metrics.is_ready)
        await publisher.run(stop)
        _log.info("stopped")
