"""``stakehold export``: the ledger as signed files that prove themselves."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from persistence.export.exporting import ChainUnsound, Exporter, Stretch, exporter
from persistence.export.manifest import Manifest, SigningKey, read_private_key
from service.commands.ledger_only import read_ledger_url
from service.commands.starting import CANNOT_START, refuse_plainly

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_POSITION = re.compile(r"\d{1,18}")


@click.command()
@click.option("--all", "is_all", is_flag=True, help="All partitions.")
@click.option("--partition", "partitions", type=click.IntRange(min=0), multiple=True, help="May be repeated.")
@click.option(
    "--from",
    "start",
    metavar="POSITION|MONTH",
    help="The first chain position, or a month as 2026-01. Else it goes on where the folder's files end.",
)
@click.option(
    "--to", "end", metavar="POSITION|MONTH", help="Where it ends; not included. Else at the chain's end."
)
@click.option(
    "--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to."
)
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A private key of Ed25519, PEM.",
)
@click.option("--plain", is_flag=True, help="Files that are not compressed.")
@click.option("--with-metadata", is_flag=True, help="With the metadata that hashes cover by a digest only.")
def command(
    *,
    is_all: bool,
    partitions: tuple[int, ...],
    start: str | None,
    end: str | None,
    folder: Path,
    key_file: Path,
    plain: bool,
    with_metadata: bool,
) -> None:
    """Write entries and postings, exactly as they are hashed, to signed files, one for each partition.

    All files are of one moment, and nothing is kept from working meanwhile. Each entry is verified on the
    way: what does not verify is not signed (status 2). A file and its manifest are there whole, or not at
    all; so it may be broken off and said again. Nothing is added to a folder of another history than the
    ledger's, as after a restore (status 2), and no file is written over. `stakehold verify-export`
    proves the files without the database.
    """
    if is_all == bool(partitions):
        raise click.UsageError("say --all, or which --partition")
    with _refuse_what_is_unsound(), refuse_plainly():
        key = read_private_key(key_file)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(
            _export(
                read_ledger_url(),
                folder,
                key,
                partitions,
                start,
                end,
                compressed=not plain,
                with_metadata=with_metadata,
            )
        )


@contextmanager
def _refuse_what_is_unsound() -> Iterator[None]:
    try:
        yield
    except (ChainUnsound, OSError) as refused:
        click.echo(f"stakehold: {refused}", err=True)
        sys.exit(CANNOT_START)


def report(manifest: Manifest) -> None:
    """What was written, in a line."""
    click.echo(
        f"Partition {manifest.partition}: {manifest.entry_count} entries, chain positions {manifest.first} "
        f"to {manifest.end - 1}, in {manifest.file}."
    )


async def _export(
    postgres_url: str,
    folder: Path,
    key: SigningKey,
    partitions: tuple[int, ...],
    start: str | None,
    end: str | None,
    *,
    compressed: bool,
    with_metadata: bool,
) -> None:
    async with exporter(postgres_url, folder, key) as opened:
        ends = await opened.ends()
        wanted: list[Stretch] = []
        for partition in partitions or sorted(ends):
            if partition not in ends:
                click.echo(f"stakehold: there is no partition {partition}", err=True)
                sys.exit(2)
            last = ends[partition] if end is None else await _place(opened, partition, end)
            first = (
                await opened.exported(partition) if start is None else await _place(opened, partition, start)
            )
            if first >= min(last, ends[partition]):
                click.echo(f"Partition {partition}: nothing to export.")
                continue
            stretch = Stretch(partition, first, min(last, ends[partition]))
            if there := await opened.done(stretch):
                click.echo(f"Partition {partition}: nothing to export, {there.file} has it.")
                continue
            wanted.append(stretch)
        for stretch in wanted:
            report(
                await opened.export(stretch, run=wanted, compressed=compressed, with_metadata=with_metadata)
            )


async def _place(opened: Exporter, partition: int, text: str) -> int:
    if month := _MONTH.fullmatch(text):
        return await opened.end_before(partition, datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC))
    if _POSITION.fullmatch(text):
        return int(text)
    raise click.UsageError(f"{text!r} is neither a chain position nor a month as 2026-01")
