"""``stakehold migrate``: the ledger's schema."""

import asyncio

import click

from persistence.errors import StakeholdError
from persistence.postgres.migrating import migrate
from service.settings import Settings


@click.command()
def command() -> None:
    """Bring the ledger's schema up to date. Safe to run at any time, and by several at once.

    The first time it also fixes the number of partitions (STAKEHOLD_PARTITIONS, default 16) and makes the
    roles stakehold_reader, stakehold_writer and stakehold_registrar.
    """
    settings = Settings()
    try:
        applied = asyncio.run(
            migrate(
                settings.owner_postgres_url(),
                partition_count=settings.partitions,
                on_applied=lambda migration: click.echo(f"applied {migration.number:04}_{migration.name}"),
            )
        )
    except StakeholdError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"The ledger is up to date ({applied} migrations applied).")
