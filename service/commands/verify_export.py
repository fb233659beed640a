"""``stakehold verify-export``: proves exported files without a database."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from persistence.export.manifest import read_public_key
from persistence.export.records import compare_records
from persistence.export.verifying import ExportFinding, Verified, verify_folder
from persistence.postgres.database import LedgerRole, ledger_connection
from service.commands.ledger_only import read_ledger_url
from service.commands.starting import refuse_plainly

FOUND = 1
_TIMEOUT_S = 60.0
_STATUSES = """\b
Exit status:
  0  nothing is wrong
  1  there are findings
  2  it could not be checked
"""


@click.command(epilog=_STATUSES)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--public-key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The public key of whoever signed, PEM.",
)
@click.option("--ledger", "ledger_id", type=click.UUID, help="The id of the ledger that it has to be of.")
@click.option(
    "--from-the-middle", is_flag=True, help="Files need not go back to the beginning of partitions' chains."
)
@click.option(
    "--recorded",
    is_flag=True,
    help="Compare archives with what STAKEHOLD_POSTGRES_URL has on record of them, too.",
)
def command(
    *, folder: Path, key_file: Path, ledger_id: UUID | None, from_the_middle: bool, recorded: bool
) -> None:
    """Verify a folder of exported files: signatures, digests, hash chains, postings, versions, balances.

    Needs no database and no settings, unless --recorded is said. Names the first chain position of a file
    that is wrong; files of one partition have to begin with its chain and to follow one another without a
    gap, and all that were exported together have to be there. Whether all of the newest files are missing, no
    folder can tell: compare the last hashes, which are told for each partition, with the ledger's, or with a
    copy that is kept elsewhere.
    """
    with refuse_plainly():
        public = read_public_key(key_file)
        verified, findings = Verified(), 0
        for finding in verify_folder(
            folder,
            public,
            verified,
            ledger_id=None if ledger_id is None else str(ledger_id),
            from_the_middle=from_the_middle,
        ):
            findings += 1
            click.echo(finding)
        if recorded:
            compared = _compare(read_ledger_url(), folder, public, verified, from_the_middle=from_the_middle)
            for finding in asyncio.run(compared):
                findings += 1
                click.echo(finding)
    for one in verified.partitions:
        click.echo(
            f"Ledger {one.ledger_id}, partition {one.partition}: chain positions {one.first} to "
            f"{one.end - 1}, last hash {one.last_hash}."
        )
    erased = f", {verified.erased_count} of them erased in part" if verified.erased_count else ""
    click.echo(
        f"{verified.entry_count} entries in {verified.file_count} files{erased}: "
        f"{findings or 'no'} finding{'' if findings == 1 else 's'}."
    )
    sys.exit(FOUND if findings else 0)


async def _compare(
    postgres_url: str, folder: Path, public: Ed25519PublicKey, verified: Verified, *, from_the_middle: bool
) -> list[ExportFinding]:
    async with ledger_connection(
        postgres_url,
        role=LedgerRole.READER,
        statement_timeout_s=_TIMEOUT_S,
        application="stakehold verify-export",
    ) as ledger:
        return await compare_records(ledger, folder, public, verified, from_the_middle=from_the_middle)
