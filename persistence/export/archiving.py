"""Archives finished months: each exported, signed, verified from its file, and on record.

A month of a partition is what stands in its chain up to the last entry that was booked in it, behind the
month before. What reaches the ledger later than that (an outbox that was drained after the month had been
archived) is in the next month's file: nothing is in two, and nothing in none.

A file that was written and not recorded, because the program ended in between, is recorded the next time as
it is. So what came late meanwhile is in the next month's file, too.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from persistence.errors import SetupRefused, StakeholdError
from persistence.export.exporting import Exporter, Stretch
from persistence.export.manifest import Manifest, SigningKey, manifest_path
from persistence.export.verifying import Verified, verify_file
from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query


class ArchiveUnsound(StakeholdError):
    """What was written does not verify, and is not on record as an archive."""


@dataclass(frozen=True, slots=True)
class Archived:
    """A month of a partition that is on record now."""

    month: date
    manifest: Manifest


class Archiver:
    """``ledger`` needs LedgerRole.WRITER; what it records is there whatever comes after. Raises
    LedgerUnavailable.
    """

    def __init__(self, exporter: Exporter, ledger: Connection, folder: Path, key: SigningKey) -> None:
        self._exporter = exporter
        self._ledger = ledger
        self._folder = folder
        self._key = key

    async def archive(self, before: date) -> AsyncIterator[Archived]:
        """All months before that one which are not archived yet. Raises ChainUnsound, ArchiveUnsound, and
        SetupRefused where the folder has a file there that is none of it, as after a restore; what was
        archived until then stays so.
        """
        with translated_errors():
            rows = await self._ledger.fetch(query("archived_up_to"))
        known = {row["partition"]: (row["end_position"], row["month"]) for row in rows}
        for partition, entry_count in (await self._exporter.ends()).items():
            end, last_month = known.get(partition, (0, None))
            month = await self._first_month(partition, end, last_month)
            while month is not None and month < before and end < entry_count:
                following = next_month(month)
                until = max(end, await self._exporter.end_before(partition, _start_of(following)))
                if until > end:
                    archived = await self._archive(Stretch(partition, end, until), month)
                    yield archived
                    end = archived.manifest.end
                month = following

    async def _first_month(self, partition: int, end: int, last: date | None) -> date | None:
        with translated_errors():
            booked = await self._ledger.fetchval(query("booked_at_position"), partition, end)
        if booked is None:
            return None
        month = date(booked.year, booked.month, 1)
        return month if last is None else max(month, next_month(last))

    async def _archive(self, stretch: Stretch, month: date) -> Archived:
        manifest = await self._left_by_another_run(stretch) or await self._exporter.export(stretch)
        path = manifest_path(self._folder / manifest.file)
        findings = list(verify_file(path, self._key.private.public_key(), Verified()))
        if findings:
            raise ArchiveUnsound(f"{findings[0]}: it is not recorded as an archive")
        with translated_errors():
            await self._ledger.execute(
                query("record_archive"),
                manifest.partition,
                manifest.first,
                manifest.end,
                month,
                manifest.file,
                hashlib.sha256(path.read_bytes()).digest(),
                bytes.fromhex(manifest.last_hash),
                manifest.key_id,
            )
        return Archived(month, manifest)

    async def _left_by_another_run(self, stretch: Stretch) -> Manifest | None:
        """The file from there on that is not on record, but verified and of this history."""
        there = await self._exporter.file_from(stretch.partition, stretch.first)
        if there is not None and there.end > stretch.end:
            raise SetupRefused(
                f"{self._folder / there.file} is no archive of a month: it goes up to {there.end}, and the "
                f"month to {stretch.end}. Archive into a folder that nothing else is exported to"
            )
        return there


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _start_of(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)
