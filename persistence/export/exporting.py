"""Exports stretches of partitions' chains: read in one snapshot, checked on the way, signed at the end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from persistence.audit.entry_checks import ChainCheck, check_postings
from persistence.audit.entry_walk import UnreadableEntry, walk
from persistence.errors import SetupRefused, StakeholdError
from persistence.export.folder import ExportFolder, held
from persistence.export.manifest import Manifest, SigningKey, manifest_path
from persistence.export.verifying import Verified, verify_file
from persistence.export.writing import EntryFile, digest_of, entry_file, finish, unfinished
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
    """Exports from one snapshot of the ledger to one folder. Raises LedgerUnavailable, and SetupRefused where
    what is in the folder is of another history than the ledger, as after a restore: nothing is added to that.
    """

    def __init__(self, snapshot: Connection, ledger_id: UUID, folder: ExportFolder, key: SigningKey) -> None:
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

    async def exported(self, partition: int) -> int:
        """Up to which place the folder has files of a partition."""
        newest = self._folder.newest(partition)
        if newest is None:
            return 0
        await self._require_this_history(newest)
        return newest.end

    async def file_from(self, partition: int, first: int) -> Manifest | None:
        """The folder's file that begins at a place, verified and compared with the ledger."""
        file = self._folder.file_from(partition, first)
        if file is None:
            return None
        path = manifest_path(self._folder.path / file.file)
        for finding in verify_file(path, self._folder.public, Verified()):
            raise SetupRefused(f"{self._folder.path} has a file that does not verify: {finding}")
        await self._require_this_history(file)
        return file

    async def done(self, stretch: Stretch) -> Manifest | None:
        """The file that has this stretch already; None where there is room for one."""
        there = await self.file_from(stretch.partition, stretch.first)
        if there is not None and there.end == stretch.end:
            return there
        self._folder.require_room(stretch.partition, first=stretch.first, end=stretch.end)
        files = self._folder.files(stretch.partition)
        for file in (
            *[file for file in files if file.end <= stretch.first][-1:],
            *[file for file in files if file.first >= stretch.end][:1],
        ):
            await self._require_this_history(file)
        return None

    async def export(
        self,
        stretch: Stretch,
        *,
        run: Sequence[Stretch] = (),
        compressed: bool = True,
        with_metadata: bool = False,
    ) -> Manifest:
        """Writes a file and its manifest, whole or not at all; what is there already is left as it is. The
        manifest tells of the whole ``run``, so that files that are missing later are missed.

        Raises ChainUnsound, and OSError.
        """
        if there := await self.done(stretch):
            return there
        name = (
            f"{self._ledger_id}-p{stretch.partition:04}-{stretch.first:012}-{stretch.end:012}.jsonl"
            f"{'.gz' if compressed else ''}"
        )
        path = self._folder.path / name
        if path.exists():
            raise SetupRefused(f"{path} is there, and no manifest says what it is: take it away")
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
            file_digest=digest_of(unfinished(path)),
            file_bytes=unfinished(path).stat().st_size,
            created_time=datetime.now(UTC).isoformat(timespec="seconds"),
            key_id=self._key.key_id,
            folder_ends=self._ends_after((stretch, *run)),
        )
        finish(path, manifest_path(path), self._key.sign(manifest))
        self._folder.add(manifest)
        return manifest

    def _ends_after(self, run: Sequence[Stretch]) -> dict[str, int]:
        ends = self._folder.ends()
        for stretch in run:
            ends[stretch.partition] = max(stretch.end, ends.get(stretch.partition, 0))
        return {str(partition): end for partition, end in sorted(ends.items())}

    async def _require_this_history(self, file: Manifest) -> None:
        if await self._has(file):
            return
        shared = [other.end for other in self._folder.files(file.partition) if await self._has(other)]
        start = max(shared, default=0)
        raise SetupRefused(
            f"{self._folder.path / file.file} ends with chain position {file.end - 1} of partition "
            f"{file.partition} and a hash that the ledger does not have there: this folder is of another "
            f"history than the ledger, as after a restore. Keep it, and export into a new one, from {start} "
            f"on (--partition {file.partition} --from {start})"
        )

    async def _has(self, file: Manifest) -> bool:
        """Whether the ledger has what a file ends with."""
        if file.end == 0:
            return file.last_hash == FIRST_PREVIOUS_HASH.hex()
        hash_ = await self._hash_at(file.partition, file.end - 1)
        return hash_ is not None and hash_.hex() == file.last_hash

    async def _hash_before(self, stretch: Stretch) -> bytes:
        if stretch.first == 0:
            return FIRST_PREVIOUS_HASH
        hash_ = await self._hash_at(stretch.partition, stretch.first - 1)
        if hash_ is None:
            raise ChainUnsound(stretch.partition, stretch.first - 1, "the entry is missing")
        return hash_

    async def _hash_at(self, partition: int, position: int) -> bytes | None:
        with translated_errors():
            hash_ = await self._snapshot.fetchval(query("hash_at_position"), partition, position)
        return None if hash_ is None else bytes(hash_)

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


@asynccontextmanager
async def exporter(postgres_url: str, folder: Path, key: SigningKey) -> AsyncIterator[Exporter]:
    """One snapshot for all that goes to a folder. Raises LedgerUnavailable, SetupRefused and OSError."""
    with held(folder):
        async with ledger_connection(
            postgres_url,
            role=LedgerRole.READER,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
            application="stakehold export",
        ) as connection:
            ledger_id = (await read_settings(connection)).ledger_id
            looked_at = ExportFolder(folder, ledger_id, key)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield Exporter(connection, ledger_id, looked_at, key)
