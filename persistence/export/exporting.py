"""Exports stretches of partitions' chains: read in one snapshot, checked on the way, signed at the end."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from persistence.audit.entry_checks import ChainCheck, check_postings
from persistence.audit.entry_walk import UnreadableEntry, walk
from persistence.errors import StakeholdError
from persistence.export.manifest import SUFFIX, Manifest, SigningKey, read_unverified
from persistence.export.writing import EntryFile, digest_of, entry_file, write_whole
from persistence.hash_chain import FIRST_PREVIOUS_HASH
from persistence.postgres.database import Connection, LedgerRole, ledger_connection, translated_errors
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.queries import query

_STATEMENT_TIMEOUT_S = 3600.0
_BATCH_SIZE = 1000


class ChainUnsound(StakeholdError):
    """What is to be exported does not verify, and is not signed. ``position`` is the first that is wrong."""

    def __init__(self, partition: int, position: int, problem: str) -> None:
        super().__init__(
            f"partition {partition} is not exported from chain position {position} on: {problem}. See "
            "`stakehold verify`"
        )
        self.partition = partition
        self.position = position


@dataclass(frozen=True, slots=True)
class Stretch:
    """The entries of a partition from ``first`` up to, and without, ``end``."""

    partition: int
    first: int
    end: int


class Exporter:
    """Exports from one snapshot of the ledger. Raises LedgerUnavailable."""

    def __init__(self, snapshot: Connection, ledger_id: UUID, folder: Path, key: SigningKey) -> None:
        self._snapshot = snapshot
        self._ledger_id = ledger_id
        self._folder = folder
        self._key = key

    async def ends(self) -> dict[int, int]:
        """How many entries each partition has."""
        with translated_errors():
            rows = await self._snapshot.fetch(query("audit_partitions"))
        return {row["partition"]: row["entry_count"] for row in rows}

    async def end_before(self, partition: int, moment: datetime) -> int:
        """Behind the last entry that was booked before a moment. Clocks may have gone back in between: what
        is before it in the chain belongs to it.
        """
        with translated_errors():
            last = await self._snapshot.fetchval(query("last_position_before"), partition, moment)
        return 0 if last is None else int(last) + 1

    def exported(self, partition: int) -> int:
        """Up to which place the folder has files of a partition, from its beginning on without a gap."""
        end = 0
        for manifest in manifests_in(self._folder).get((str(self._ledger_id), partition), ()):
            if manifest.first == end and (self._folder / manifest.file).is_file():
                end = manifest.end
        return end

    async def export(
        self, stretch: Stretch, *, compressed: bool = True, with_metadata: bool = False
    ) -> Manifest:
        """Writes a file and its manifest, whole or not at all. Raises ChainUnsound, and OSError."""
        name = (
            f"{self._ledger_id}-p{stretch.partition:04}-{stretch.first:012}-{stretch.end:012}.jsonl"
            f"{'.gz' if compressed else ''}"
        )
        path = self._folder / name
        previous = await self._hash_before(stretch)
        with entry_file(path, with_metadata=with_metadata) as file:
            await self._write(stretch, previous, file)
            written = file.written
        manifest = Manifest(
            ledger_id=str(self._ledger_id),
            partition=stretch.partition,
            first=stretch.first,
            end=stretch.end,
            previous_hash=previous.hex(),
            last_hash=(written.last_hash or previous).hex(),
            entry_count=written.entry_count,
            posting_count=written.posting_count,
            erased_count=written.erased_count,
            sums={code: (str(plus), str(minus)) for code, (plus, minus) in sorted(written.sums.items())},
            file=name,
            file_digest=digest_of(path),
            file_bytes=path.stat().st_size,
            created_time=datetime.now(UTC).isoformat(timespec="seconds"),
            key_id=self._key.key_id,
        )
        write_whole(manifest_path(path), self._key.sign(manifest))
        return manifest

    async def _hash_before(self, stretch: Stretch) -> bytes:
        if stretch.first == 0:
            return FIRST_PREVIOUS_HASH
        with translated_errors():
            hash_ = await self._snapshot.fetchval(
                query("hash_at_position"), stretch.partition, stretch.first - 1
            )
        if hash_ is None:
            raise ChainUnsound(stretch.partition, stretch.first - 1, "the entry is missing")
        return bytes(hash_)

    async def _write(self, stretch: Stretch, previous: bytes, file: EntryFile) -> None:
        chain = ChainCheck(stretch.partition, next_position=stretch.first, previous_hash=previous)
        position = stretch.first
        with translated_errors():
            async for batch in walk(
                self._snapshot,
                query("export_chain"),
                stretch.partition,
                stretch.first,
                stretch.end,
                batch_size=_BATCH_SIZE,
            ):
                for stored in batch:
                    if isinstance(stored, UnreadableEntry):
                        raise ChainUnsound(stretch.partition, position, stored.problem)
                    for finding in (*chain.check(stored), *check_postings(stored)):
                        raise ChainUnsound(stretch.partition, position, finding.description)
                    file.write(stored)
                    position += 1
        if position != stretch.end:
            raise ChainUnsound(stretch.partition, position, f"the chain ends there, before {stretch.end}")


def manifests_in(folder: Path) -> Mapping[tuple[str, int], list[Manifest]]:
    """What a folder says that it has, by ledger and partition, in order. Signatures are not looked at."""
    found: dict[tuple[str, int], list[Manifest]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if manifest := read_unverified(path):
            found.setdefault((manifest.ledger_id, manifest.partition), []).append(manifest)
    for manifests in found.values():
        manifests.sort(key=lambda manifest: (manifest.first, manifest.end))
    return found


def manifest_path(file: Path) -> Path:
    return file.with_name(file.name.partition(".jsonl")[0] + SUFFIX)


def stretches(ends: Mapping[int, int], firsts: Mapping[int, int], partitions: Iterable[int]) -> list[Stretch]:
    """What is not exported yet of these partitions; those with nothing new are left out."""
    return [
        Stretch(partition, firsts.get(partition, 0), ends[partition])
        for partition in partitions
        if firsts.get(partition, 0) < ends[partition]
    ]


@asynccontextmanager
async def exporter(postgres_url: str, folder: Path, key: SigningKey) -> AsyncIterator[Exporter]:
    """One snapshot for all that is exported to a folder. Raises LedgerUnavailable and SetupRefused."""
    async with ledger_connection(
        postgres_url,
        role=LedgerRole.READER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application="stakehold export",
    ) as connection:
        ledger_id = (await read_settings(connection)).ledger_id
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield Exporter(connection, ledger_id, folder, key)
