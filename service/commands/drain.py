"""``stakehold drain``: from the outbox into the ledger."""

import asyncio
import signal
from contextlib import ExitStack

import click
from prometheus_client import CollectorRegistry, start_http_server

from persistence.drain_metrics import DrainMetrics
from persistence.drain_worker import DrainSettings
from persistence.drainer import Drainer
from persistence.errors import LedgerBroken, StakeholdError
from persistence.partition_opening import open_partitions
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import redrive
from service.settings import Settings

_STATEMENT_TIMEOUT_S = 10.0


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

    Any number may run: a partition is drained by one of them, the others wait to take over. A record that
    cannot be applied is kept in quarantine and stops its partition; the exit status is then 1.
    """
    settings = Settings()
    try:
        if redriven:
            asyncio.run(_redrive(settings, redriven))
        else:
            asyncio.run(_drain(settings, until_empty=until_empty))
    except StakeholdError as error:
        raise click.ClickException(str(error)) from error


async def _drain(settings: Settings, *, until_empty: bool) -> None:
    postgres_url, valkey_url = settings.postgres_url.get_secret_value(), settings.valkey_url.get_secret_value()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = CollectorRegistry()
    with ExitStack() as stack:
        if settings.metrics_listen:
            host, _, port = settings.metrics_listen.rpartition(":")
            server, thread = start_http_server(int(port), host, registry)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        opened = await open_partitions(postgres_url=postgres_url, valkey_url=valkey_url)
        opened.require_all()
        drainer = Drainer(
            DrainSettings(postgres_url, valkey_url, batch_records=settings.drain_batch_records),
            metrics=DrainMetrics(registry),
        )
        await drainer.run(stop, until_empty=until_empty)


async def _redrive(settings: Settings, partitions: tuple[int, ...]) -> None:
    async with ledger_connection(
        settings.postgres_url.get_secret_value(),
        role=LedgerRole.WRITER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
    ) as connection:
        for partition in partitions:
            if not await redrive(connection, partition):
                raise LedgerBroken(f"partition {partition} is not stopped")
            click.echo(f"Partition {partition} tries its record again.")
