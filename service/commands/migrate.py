"""``stakehold migrate``: the ledger's schema."""

import asyncio

import click

from persistence.postgres.migrating import Migration, migrate
from service.commands.starting import read_settings_or_exit, refuse_plainly


@click.command()
@click.option(
    "--accept-newer",
    is_flag=True,
    help="Leave a ledger as it is that a newer version migrated, for going back to this one.",
)
def command(*, accept_newer: bool) -> None:
    """Bring the ledger's schema up to date. Safe to run at any time, and by several at once.

    The first time it also fixes the number of partitions (STAKEHOLD_PARTITIONS, default 16). It makes the
    group roles that are missing, and the role in STAKEHOLD_POSTGRES_URL a member of those that the service
    needs.
    """
    settings = read_settings_or_exit()
    with refuse_plainly():
        applied = asyncio.run(
            migrate(
                settings.owner_postgres_url(),
                partition_count=settings.partitions,
                service_login=settings.service_login(),
                on_applied=_say_applied,
                accept_newer=accept_newer,
            )
        )
    click.echo(f"The ledger is up to date: {applied} migrations were missing.")


def _say_applied(migration: Migration) -> None:
    click.echo(f"applied {migration.number:04}_{migration.name}")
