"""``stakehold recover``: the repairs that the runbook describes."""

import asyncio
import sys

import click

from persistence.adoption import Adopted, adoption
from persistence.salvage import Salvage, Salvaged
from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.housekeeping import open_repairing
from service.logs import configure_logs
from service.settings import Recovery, Settings

FENCED = 1
_STATUSES = """\b
Exit status:
  0  every partition can be served
  1  some are fenced still
  2  it could not be done
"""


@click.command(epilog=_STATUSES)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option(
    "--salvage",
    "partitions",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="PARTITION",
    help="A partition whose outbox cannot be drained because its history is wrong: keep what waits there, go "
    "on after the cursor with wallets as the ledger has them, and book what was kept again. May be repeated.",
)
@click.option(
    "--from",
    "source_url",
    metavar="URL",
    help="A former primary: what it answered and the ledger does not have is booked again.",
)
def command(*, dry_run: bool, partitions: tuple[int, ...], source_url: str | None) -> None:
    """Take over what waits to be taken over, and book again what was answered and lost.

    Without options: partitions whose store was started again, replaced or emptied are taken over, as servers
    do by themselves unless STAKEHOLD_RECOVERY is manual; and salvaged records are booked again. Every step
    may be repeated: ids that are known are not booked twice.
    """
    settings = read_settings_or_exit().model_copy(update={"recovery": Recovery.AUTOMATIC})
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        adopted = asyncio.run(_recover(settings, dry_run, partitions, source_url))
    for partition, why in adopted.fenced.items():
        click.echo(f"Partition {partition} is fenced: {why}.")
    sys.exit(FENCED if adopted.fenced else 0)


async def _recover(
    settings: Settings, dry_run: bool, partitions: tuple[int, ...], source_url: str | None
) -> Adopted:
    postgres_url = settings.postgres_url.get_secret_value()
    valkey_url = settings.valkey_url.get_secret_value()
    async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as adopting:
        if partitions or source_url:
            salvage = Salvage(postgres_url, source_url or valkey_url, adopting)
            for partition in partitions:
                _report(await salvage.cut_off(partition, dry_run=dry_run), dry_run=dry_run)
            if source_url and not partitions:
                for salvaged in await salvage.save_all(dry_run=dry_run):
                    _report(salvaged, dry_run=dry_run)
        adopted = await adopting.adopt_all(dry_run=dry_run)
    for partition, plan in adopted.taken_over.items():
        word = "would be" if dry_run else "was"
        click.echo(f"Partition {partition} {word} taken over in epoch {plan.witness.epoch}: {plan.reason}.")
    if not dry_run:
        await _restore(settings)
    return adopted


async def _restore(settings: Settings) -> None:
    async with open_repairing(settings) as repairing:
        await repairing.run_once()
        counts = repairing.counts
    click.echo(
        f"{counts.restored} entries booked again, {counts.known} known already, {counts.reversed} late "
        f"duplicates reversed, {counts.failed} could not be booked."
    )


def _report(salvaged: Salvaged, *, dry_run: bool) -> None:
    word = "would be" if dry_run else "were"
    click.echo(f"Partition {salvaged.partition}: {salvaged.records} records {word} kept.")
