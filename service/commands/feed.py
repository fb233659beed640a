"""``stakehold feed``: rates of the market, from a feed to the service."""

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
from service.feeding.feed_settings import FeedSettings
from service.feeding.metrics import FeedMetrics
from service.feeding.opening import open_feed, wall_clock_ms
from service.feeding.pushing import open_pusher
from service.feeding.rounds import Feeding, Pace
from service.health_listener import served_health
from service.logs import configure_logs
from service.metrics import served_metrics
from service.readiness import Readiness
from service.telemetry.opening import open_traces
from service.telemetry.process_metrics import Process, process_registry
from service.telemetry.trace_settings import read_trace_settings
from service.transport.client_settings import ClientSettings

_log = structlog.get_logger(__name__)


def _variables() -> Iterator[str]:
    """The settings as paragraphs that click leaves as they are."""
    for name, field in FeedSettings.model_fields.items():
        default = "required" if field.is_required() else f"default: {_shown(field.default)}"
        yield f"\b\n{_variable(name)}  ({default})\n{field.description}"


def _variable(name: str) -> str:
    alias = FeedSettings.model_fields[name].validation_alias if name in FeedSettings.model_fields else None
    return alias if isinstance(alias, str) else f"STAKEHOLD_FEED_{name.upper()}"


def _shown(default: Any) -> str:
    return "none" if default in (None, "") else str(default)


@click.command(epilog="\n\n".join(["Settings come from the environment:", *_variables(), *trace_variables()]))
def command() -> None:
    """Fetch rates from a feed, and push them to the service, until interrupted.

    One feed for each process; any number may run, also several of the same. A feed that is out, or that
    answers nonsense, is told in the log and asked again; rates stay as they are meanwhile.
    """
    settings = _read_settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        uvloop.run(_feed(settings))


def _read_settings_or_exit() -> FeedSettings:
    try:
        return FeedSettings()
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False, include_context=False):
            where = f"{_variable(str(error['loc'][0]))}: " if error["loc"] else ""
            click.echo(f"{where}{error['msg'].removeprefix('Value error, ')}", err=True)
        click.echo("see `stakehold feed --help`", err=True)
        sys.exit(CANNOT_START)


async def _feed(settings: FeedSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = process_registry(Process.FEED)
    readiness = Readiness()
    client = ClientSettings()
    target = settings.target or client.address
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served_health(settings.health_listen, readiness))
        if settings.metrics_listen:
            stack.enter_context(
                served_metrics(settings.metrics_listen, registry, is_ready=lambda: readiness.is_ready)
            )
        traces = await stack.enter_async_context(open_traces(read_trace_settings(), registry, role="feed"))
        feeding = Feeding(
            await stack.enter_async_context(open_feed(settings)),
            await stack.enter_async_context(
                open_pusher(
                    client,
                    target,
                    source=settings.source_name(),
                    batch_rates=settings.batch_rates,
                    timeout_s=settings.push_timeout_s,
                    traces=traces,
                )
            ),
            wanted=settings.wanted_pairs(),
            pace=Pace(settings.every_s),
            metrics=FeedMetrics(registry, source=settings.source_name(), now_ms=wall_clock_ms),
        )
        _log.info(
            "feeding",
            feed=settings.kind.value,
            origin=settings.origin(),
            source=settings.source_name(),
            pairs=settings.pairs,
            target=target,
            every_s=settings.every_s,
        )
        readiness.started()
        await _until(stop, feeding)
        _log.info("stopped")


async def _until(stop: asyncio.Event, feeding: Feeding) -> None:
    """In the middle of a round, if need be: what is pushed twice counts once."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(feeding.run(), name="feeding")
        await stop.wait()
        task.cancel()
