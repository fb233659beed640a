"""``stakehold drain``: from the outbox into the ledger."""

import asyncio
import gc
import signal
import sys
from contextlib import AsyncExitStack

import click
import structlog
import uvloop

from persistence.adoption import adopt_partitions
from persistence.drain_metrics import DrainMetrics
from persistence.drain_settings import DrainSettings
from persistence.drainer import Drainer
from persistence.errors import LedgerBroken
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import redrive
from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.health_listener import served_health
from service.housekeeping import keep_house
from service.logs import configure_logs
from service.metrics import served_metrics
from service.readiness import Readiness
from service.settings import Settings
from service.telemetry.ledger_watch import LedgerMetrics, watch_ledger
from service.telemetry.opening import open_traces
from service.telemetry.process_metrics import Process, process_registry
from service.turns import await_migrations

_log = structlog.get_logger(__name__)

_STATEMENT_TIMEOUT_S = 10.0
_COLLECT_EVERY = 100_000
"""A batch is many thousand objects and no cycles: collecting at Python's usual pace costs a sixth."""


@click.command()
@click.option("--until-empty", is_flag=True, help="Stop when nothing is left to drain.")
@click.option(
    "--redrive",
    "redriven",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="PARTITION",
    help="Let a stopped partition try its quarantined record again, and exit. A running drainer takes it up.",
)
def command(*, until_empty: bool, redriven: tuple[int, ...]) -> None:
    """Carry committed entries from the outbox into the ledger, exactly once and in order.

    Any number may run: they share the partitions, and take over those of one that dies. A record that
    cannot be applied is kept in quarantine and stops its partition, the others go on; the exit status is 1 if
    a partition is stopped in the end.
    """
    settings = read_settings_or_exit()
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        try:
            uvloop.run(
                _redrive(settings, redriven) if redriven else _drain(settings, until_empty=until_empty)
            )
        except LedgerBroken as error:
            click.echo(f"stakehold: {error}", err=True)
            sys.exit(1)


async def _drain(settings: Settings, *, until_empty: bool) -> None:
    gc.set_threshold(_COLLECT_EVERY)
    postgres_url = settings.postgres_url.get_secret_value()
    valkey_url = settings.valkey_url.get_secret_value()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = process_registry(Process.DRAIN)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served_health(settings.health_listen, readiness))
        traces = await stack.enter_async_context(open_traces(settings, registry, role="drain"))
        if settings.metrics_listen:
            stack.enter_context(
                served_metrics(settings.metrics_listen, registry, is_ready=lambda: readiness.is_ready)
            )
        await await_migrations(postgres_url, stop, wait_s=settings.migration_wait_s)
        if stop.is_set():
            return
        adopted = await adopt_partitions(
            postgres_url=postgres_url, valkey_url=valkey_url, recovery=settings.recovery.value
        )
        if adopted.left_alone:
            _log.warning(
                "partitions_wait_for_recovery",
                partitions=sorted(adopted.left_alone),
                reasons=sorted({adopted.fenced[number] for number in adopted.left_alone}),
            )
        elif not adopted.witnesses:
            adopted.require_all()
        drainer = Drainer(
            DrainSettings(postgres_url, valkey_url, batch_records=settings.drain_batch_records),
            metrics=DrainMetrics(registry),
            tracing=traces.drains,
        )
        readiness.started(lambda: any(worker.is_connected for worker in drainer.workers))
        if until_empty:
            await drainer.run(stop, until_empty=True)
        else:
            await _drain_and_keep_house(drainer, settings, stop, LedgerMetrics(registry))


async def _drain_and_keep_house(
    drainer: Drainer, settings: Settings, stop: asyncio.Event, metrics: LedgerMetrics
) -> None:
    postgres_url = settings.postgres_url.get_secret_value()
    housekeeper = asyncio.create_task(keep_house(settings, stop), name="housekeeping")
    watcher = asyncio.create_task(watch_ledger(postgres_url, metrics, stop), name="ledger-watch")
    try:
        await drainer.run(stop)
    finally:
        stop.set()
        await asyncio.gather(housekeeper, watcher)


async def _redrive(settings: Settings, partitions: tuple[int, ...]) -> None:
    async with ledger_connection(
        settings.postgres_url.get_secret_value(),
        role=LedgerRole.WRITER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application="stakehold drain",
    ) as connection:
        for partition in partitions:
            if await redrive(connection, partition):
                click.echo(f"Partition {partition} tries its record again.")
            else:
                click.echo(f"Partition {partition} is not stopped.")
