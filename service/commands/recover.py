"""``stakehold recover``: the repairs that the runbook describes."""

import asyncio
import sys
from contextlib import AsyncExitStack

import click

from persistence.adoption import Adopted, Adoption, adoption
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import read_settings
from persistence.restored_ledger import Followed, RestoredLedger
from persistence.salvage import Salvage, Salvaged
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.outbox_reader import outbox_reader
from service.commands.starting import read_settings_or_exit, refuse_plainly
from service.housekeeping import open_repairing
from service.logs import configure_logs
from service.settings import Recovery, Settings

FENCED = 1
_TIMEOUT_S = 30.0
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
@click.option(
    "--restored-ledger",
    "is_ledger_restored",
    is_flag=True,
    help="The ledger was restored from a backup, and there is no newer one: go on with it, and book again "
    "what the store still knows of what the ledger lost.",
)
def command(
    *, dry_run: bool, partitions: tuple[int, ...], source_url: str | None, is_ledger_restored: bool
) -> None:
    """Take over what waits to be taken over, and book again what was answered and lost.

    Without options: partitions whose store was started again, replaced or emptied are taken over, as servers
    do by themselves unless STAKEHOLD_RECOVERY is manual; and salvaged records are booked again. Every step
    may be repeated: ids that are known are not booked twice.
    """
    settings = read_settings_or_exit().model_copy(update={"recovery": Recovery.AUTOMATIC})
    configure_logs(settings.log_level, settings.log_format)
    with refuse_plainly():
        adopted = asyncio.run(
            _recover(settings, dry_run, partitions, source_url, is_ledger_restored=is_ledger_restored)
        )
    for partition, why in adopted.fenced.items():
        click.echo(f"Partition {partition} is fenced: {why}.")
    sys.exit(FENCED if adopted.fenced else 0)


async def _recover(
    settings: Settings,
    dry_run: bool,
    partitions: tuple[int, ...],
    source_url: str | None,
    *,
    is_ledger_restored: bool,
) -> Adopted:
    postgres_url = settings.postgres_url.get_secret_value()
    valkey_url = settings.valkey_url.get_secret_value()
    async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as adopting:
        if partitions or source_url:
            salvage = Salvage(postgres_url, source_url or valkey_url, adopting)
            for partition in partitions:
                _report(await salvage.cut_off(partition, dry_run=dry_run), dry_run=dry_run)
            if source_url and not partitions:
                for salvaged in await adopting.meanwhile(salvage.save_all(dry_run=dry_run)):
                    _report(salvaged, dry_run=dry_run)
        if is_ledger_restored:
            await _follow_restored(settings, adopting, dry_run=dry_run)
        adopted = await adopting.adopt_all(dry_run=dry_run)
    for partition, plan in (adopted.taken_over | adopted.left_alone).items():
        word = "would be" if dry_run else "was"
        click.echo(f"Partition {partition} {word} taken over in epoch {plan.witness.epoch}: {plan.reason}.")
    if not dry_run:
        await _restore(settings)
    return adopted


async def _follow_restored(settings: Settings, adopting: Adoption, *, dry_run: bool) -> None:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            ledger_connection(
                settings.postgres_url.get_secret_value(),
                role=LedgerRole.WRITER,
                statement_timeout_s=_TIMEOUT_S,
                application="stakehold recover",
            )
        )
        valkey_url = settings.valkey_url.get_secret_value()
        store = await stack.enter_async_context(outbox_reader(valkey_url, timeout_s=_TIMEOUT_S))
        count = (await read_settings(connection)).partition_count
        players = await stack.enter_async_context(
            hot_wallets(valkey_url, partition_count=count, timeout_s=_TIMEOUT_S)
        )
        behind = await adopting.behind_stores()
        for partition, why in behind.items():
            word = "would go" if dry_run else "goes"
            click.echo(f"Partition {partition} {word} on with the restored ledger: {why}.")
        if not dry_run:
            restored = RestoredLedger(connection, store, players, adopting)
            async for followed in restored.follow(behind):
                _report_followed(followed)


def _report_followed(followed: Followed) -> None:
    click.echo(
        f"Partition {followed.partition} goes on with the restored ledger in epoch {followed.epoch}: "
        f"{followed.waiting} records were kept from the outbox, {followed.remembered} from the store's "
        "memory of ids."
    )
    if followed.unlike:
        click.echo(
            f"Partition {followed.partition}: {followed.unlike} wallets had another balance in the store "
            "than all of this makes; each is an incident."
        )
    if followed.may_be_forgotten:
        click.echo(
            f"Partition {followed.partition}: the store had let go of players since the backup; what it knew "
            "of them cannot be named. Compare with the sources."
        )


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
