"""Compares a folder of archives with what the ledger has on record of them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from persistence.export.manifest import key_id_of, manifest_path
from persistence.export.verifying import ExportFinding, Verified
from persistence.postgres.database import Connection, Row, translated_errors
from persistence.postgres.queries import query


async def compare_records(
    ledger: Connection,
    folder: Path,
    public: Ed25519PublicKey,
    verified: Verified,
    *,
    from_the_middle: bool = False,
) -> list[ExportFinding]:
    """What is on record as signed with this key, and is not in the folder as it was recorded.

    ``verified`` says what there is; ``from_the_middle``, that nothing from before it has to be. Raises
    LedgerUnavailable.
    """
    firsts = {one.partition: one.first for one in verified.partitions} if from_the_middle else {}
    with translated_errors():
        rows = await ledger.fetch(query("archives"), key_id_of(public))
    return [
        finding
        for row in rows
        if row["first_position"] >= firsts.get(row["partition"], 0)
        for finding in _compare(row, folder)
    ]


def _compare(row: Row, folder: Path) -> Iterator[ExportFinding]:
    path = manifest_path(folder / row["file"])
    place = row["partition"], row["first_position"]
    if not path.is_file():
        yield ExportFinding(path.name, "it is on record as an archive, and missing", *place)
    elif hashlib.sha256(path.read_bytes()).digest() != row["manifest_digest"]:
        yield ExportFinding(path.name, "it is not the manifest that was put on record", *place)
