"""``stakehold migrate``: the ledger's schema."""

import asyncio
from collections.abc import Sequence

import click

from persistence.postgres.lock_waits import Holder, named
from persistence.postgres.migrating import LOCK_WAIT_S, Migration, migrate
from service.commands.starting import read_settings_or_exit, refuse_plainly


@click.command()
@click.option(
    "--accept-newer",
    is_flag=True,
    help="Leave a ledger as it is that a newer version migrated, for going back to this one.",
)
@click.option(
    "--lock-wait",
    "lock_wait_s",
    type=click.FloatRange(min=0),
    default=LOCK_WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="For how long in all to try where others hold tables that are to be changed.",
)
def command(*, accept_newer: bool, lock_wait_s: float) -> None:
    """Bring the ledger's schema up to date. Safe to run at any time, and by several at once.

    The first time it also fixes the number of partitions (STAKEHOLD_PARTITIONS, default 16). It makes the
    group roles that are missing, and the role in STAKEHOLD_POSTGRES_URL a member of those that the service
    needs.

    Calls go on meanwhile. What reads for long (an audit, an export, an archive, a dump) keeps a migration
    from being applied: then it says who that is, tries for a while, and gives up with exit status 2, with
    nothing half done. Say it again when they have ended.
    """
    settings = read_settings_or_exit()
    with refuse_plainly():
        applied = asyncio.run(
            migrate(
                settings.owner_postgres_url(),
                partition_count=settings.partitions,
                service_login=settings.service_login(),
                lock_wait_s=lock_wait_s,
                on_applied=_say_applied,
                on_waiting=_say_waiting,
                accept_newer=accept_newer,
            )
        )
    click.echo(f"The ledger is up to date: {applied} migrations were missing.")


def _say_applied(migration: Migration) -> None:
    click.echo(f"applied {migration}")


def _say_waiting(migration: str, holders: Sequence[Holder]) -> None:
    click.echo(f"{migration} waits for {named(holders)}")
