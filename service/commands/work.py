"""``stakehold work``: what is done later, at a steady pace."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import click
import structlog
import uvloop

from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.health_listener import served_health
from service.logs import configure_logs
from service.metrics import served_metrics
from service.readiness import Readiness
from service.settings import Settings
from service.telemetry.process_metrics import Process, process_registry
from service.turns import await_turn
from service.working.job_list import jobs_of
from service.working.jobs import supervise
from service.working.metrics import JobMetrics
from service.working.workplace import open_workplace

_log = structlog.get_logger(__name__)


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Submitted commands that this worker applies in a second, at most.  [default: STAKEHOLD_WORK_RATE]",
)
def command(*, rate: float | None) -> None:
    """Do in the background what nobody waits for, until interrupted: apply what was submitted.

    Any number may run: they share the work, and take over that of one that dies. A job that fails is told in
    the log, counted, and begun again.
    """
    settings = read_settings_or_exit()
    if rate is not None:
        settings = settings.model_copy(update={"work_rate": rate})
    configure_logs(settings.log_level, settings.log_format)
    os.nice(settings.work_nice)
    with refuse_plainly():
        uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = process_registry(Process.WORK)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served_health(settings.health_listen, readiness))
        if settings.metrics_listen:
            stack.enter_context(
                served_metrics(settings.metrics_listen, registry, is_ready=lambda: readiness.is_ready)
            )
        await await_turn(settings, stop)
        if stop.is_set():
            return
        async with open_workplace(settings, registry) as workplace:
            jobs = jobs_of(workplace)
            readiness.started(workplace.hot_path.is_usable)
            _log.info("working", jobs=[job.name for job in jobs])
            await supervise(jobs, stop, JobMetrics(registry), grace_s=settings.shutdown_grace_s)
    _log.info("stopped")
