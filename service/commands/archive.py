"""``stakehold archive``: finished months as signed files, on record."""

import asyncio
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import click

from persistence.errors import StakeholdError
from persistence.export.archiving import Archiver
from persistence.export.exporting import exporter
from persistence.export.manifest import SigningKey, read_private_key
from persistence.postgres.database import LedgerRole, ledger_connection
from service.commands.ledger_only import read_ledger_url
from service.commands.starting import CANNOT_START, refuse_plainly

_TIMEOUT_S = 60.0


@click.command()
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m"]),
    required=True,
    metavar="MONTH",
    help="Archive what is older than this month, as 2026-02.",
)
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A private key of Ed25519, PEM.",
)
def command(*, before: datetime, folder: Path, key_file: Path) -> None:
    """Export, sign, verify and record each finished month of each partition that is not archived yet.

    The ledger keeps all of it: ids are for ever, and a chain has no holes. Archives prove what stood there,
    and may lie where storage is cheap. May be broken off and said again; run it once a month.
    """
    now = datetime.now(UTC)
    if (before.year, before.month) > (now.year, now.month):
        raise click.UsageError(f"{now:%Y-%m} is not over: say --before {now:%Y-%m} at most")
    with refuse_plainly():
        key = read_private_key(key_file)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            count = asyncio.run(_archive(read_ledger_url(), before.date(), folder, key))
        except (StakeholdError, OSError) as refused:
            click.echo(f"stakehold: {refused}", err=True)
            sys.exit(CANNOT_START)
    click.echo(f"{count} files archived.")


async def _archive(postgres_url: str, before: date, folder: Path, key: SigningKey) -> int:
    count = 0
    async with (
        exporter(postgres_url, folder, key) as exporting,
        ledger_connection(
            postgres_url,
            role=LedgerRole.WRITER,
            statement_timeout_s=_TIMEOUT_S,
            application="stakehold archive",
        ) as ledger,
    ):
        async for archived in Archiver(exporting, ledger, folder, key).archive(before):
            count += 1
            manifest = archived.manifest
            click.echo(
                f"{archived.month:%Y-%m}, partition {manifest.partition}: {manifest.entry_count} entries in "
                f"{manifest.file}."
            )
    return count
