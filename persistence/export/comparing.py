"""Compares a ledger with files that were exported from it: does it still say what was signed?

Of an entry whose hash covers a text that was erased, nothing in the ledger proves that the rest is what was
hashed. A file from before the erasure does: all but the metadata has to be the same.
"""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from persistence.audit.entry_checks import StoredEntry
from persistence.audit.entry_walk import UnreadableEntry, walk
from persistence.export.lines import METADATA, Line, read_line
from persistence.export.manifest import SUFFIX, Manifest, read_manifest
from persistence.export.verifying import ExportFinding, Verified, lines_of, verify_folder
from persistence.hash_chain import text_of_erased
from persistence.postgres.database import Connection, LedgerRole, ledger_connection, translated_errors
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.queries import query

_STATEMENT_TIMEOUT_S = 3600.0
_BATCH_SIZE = 1000
_ERASED = "erased"


async def compare_with_ledger(
    postgres_url: str, folder: Path, public: Ed25519PublicKey
) -> AsyncGenerator[ExportFinding]:
    """Where folder and ledger differ. A file is followed up to its first difference, and a folder that does
    not verify is compared with nothing. Raises LedgerUnavailable.
    """
    async with ledger_connection(
        postgres_url,
        role=LedgerRole.READER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application="stakehold verify",
    ) as snapshot:
        ledger_id = str((await read_settings(snapshot)).ledger_id)
        findings = [*verify_folder(folder, public, Verified(), ledger_id=ledger_id, from_the_middle=True)]
        for finding in findings:
            yield finding
        if findings:
            return
        with translated_errors():
            async with snapshot.transaction(isolation="repeatable_read", readonly=True):
                for manifest in _manifests(folder, public):
                    if (found := await _first_difference(snapshot, folder, manifest)) is not None:
                        yield found


def _manifests(folder: Path, public: Ed25519PublicKey) -> list[Manifest]:
    return [read_manifest(path, public) for path in sorted(folder.glob(f"*{SUFFIX}"))]


async def _first_difference(snapshot: Connection, folder: Path, manifest: Manifest) -> ExportFinding | None:
    lines = lines_of(folder / manifest.file)
    position = manifest.first
    async for batch in walk(
        snapshot,
        query("export_chain"),
        manifest.partition,
        manifest.first,
        manifest.end,
        batch_size=_BATCH_SIZE,
    ):
        for stored in batch:
            if problem := _problem(stored, read_line(next(lines))):
                return ExportFinding(manifest.file, problem, manifest.partition, position)
            position += 1
    if position != manifest.end:
        problem = "the ledger does not have what is exported from there on"
        return ExportFinding(manifest.file, problem, manifest.partition, position)
    return None


def _problem(stored: StoredEntry | UnreadableEntry, line: Line) -> str:
    if isinstance(stored, UnreadableEntry):
        return f"the ledger's entry cannot be read: {stored.problem}"
    if stored.chained.chain_position != line.position or stored.hash != line.hash:
        return f"the ledger has another entry there, with hash {stored.hash.hex()} and not {line.hash.hex()}"
    if not stored.chained.is_hash_of_erased:
        return ""
    entry, *postings = json.loads(line.text)
    entry[METADATA] = _ERASED
    if json.loads(text_of_erased(stored.chained, stored.legs)) != [entry, *postings]:
        return "more than its metadata was changed when it was erased: it is not the exported entry any more"
    return ""
