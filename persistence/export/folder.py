"""The folder that is exported to: held by one program at a time, and looked at before anything is added."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from persistence.errors import SetupRefused
from persistence.export.manifest import SUFFIX, Manifest, SigningKey, manifest_path, read_manifest
from persistence.export.writing import UNFINISHED, digest_of, finished, sync_folder

_LOCK = ".stakehold-export.lock"


class ExportFolder:
    """The files of one ledger, all signed with one key.

    What an export that was broken off has left is finished where it can be, and else taken away: only what is
    under names of unfinished files, which nobody but an export gives. Raises SetupRefused where the folder
    has anything that nothing may be added to.
    """

    def __init__(self, path: Path, ledger_id: UUID, key: SigningKey) -> None:
        self.path = path
        self.public = key.private.public_key()
        self._ledger_id = str(ledger_id)
        self._files: dict[int, list[Manifest]] = {}
        self._tidy()
        for found in sorted(path.glob(f"*{SUFFIX}")):
            self.add(self._read(found))

    def add(self, manifest: Manifest) -> None:
        """Knows of a file that has been written."""
        files = self._files.setdefault(manifest.partition, [])
        files.append(manifest)
        files.sort(key=lambda file: (file.first, file.end))

    def files(self, partition: int) -> Sequence[Manifest]:
        """The partition's files, in order."""
        return self._files.get(partition, ())

    def ends(self) -> dict[int, int]:
        """Up to where it has each partition that it has anything of."""
        return {partition: max(file.end for file in files) for partition, files in self._files.items()}

    def file_from(self, partition: int, first: int) -> Manifest | None:
        """The file that begins at a place."""
        return next((file for file in self.files(partition) if file.first == first), None)

    def newest(self, partition: int) -> Manifest | None:
        """The file behind which the next one goes. Raises SetupRefused where that is not clear."""
        files = self.files(partition)
        for before, after in pairwise(files):
            if (before.end, before.last_hash) != (after.first, after.previous_hash):
                raise SetupRefused(
                    f"{self.path} has {before.file} and {after.file}, which do not follow one another: say "
                    "--from and --to, or export into a new folder"
                )
        for file in files:
            if not (self.path / file.file).is_file():
                raise SetupRefused(
                    f"{self.path} has no {file.file}, of which it has a manifest: put it back, or export "
                    "into a new folder"
                )
        return files[-1] if files else None

    def require_room(self, partition: int, *, first: int, end: int) -> None:
        """Raises SetupRefused where one of these places is in a file already."""
        for file in self.files(partition):
            if file.first < end and file.end > first:
                raise SetupRefused(
                    f"{self.path} has {file.file}, with places from {first} to {end - 1} of partition "
                    f"{partition}: nothing is written over it. Export into a new folder"
                )

    def _read(self, path: Path) -> Manifest:
        try:
            manifest = read_manifest(path, self.public)
        except ValueError as error:
            raise SetupRefused(
                f"{path}: {error}. Nothing is added to files that this key has not signed: export into a new "
                "folder"
            ) from None
        if manifest.ledger_id != self._ledger_id:
            raise SetupRefused(f"{path} is of ledger {manifest.ledger_id}: export into a new folder")
        return manifest

    def _tidy(self) -> None:
        for path in sorted(self.path.glob(f".{self._ledger_id}-p*{SUFFIX}{UNFINISHED}")):
            self._finish(path)
        for path in self.path.glob(f".{self._ledger_id}-p*.jsonl*{UNFINISHED}"):
            path.unlink()

    def _finish(self, unfinished: Path) -> None:
        """A manifest is whole before its file gets its name: a file that has one needs nothing more."""
        path = finished(unfinished)
        stem = path.name.removesuffix(SUFFIX)
        if path.exists() or not any((self.path / f"{stem}.jsonl{kind}").exists() for kind in ("", ".gz")):
            unfinished.unlink()
            return
        manifest = self._read(unfinished)
        file = self.path / manifest.file
        if manifest_path(file) != path or not file.is_file() or digest_of(file) != manifest.file_digest:
            raise SetupRefused(f"{unfinished} is not the manifest of what lies beside it: look at both")
        unfinished.rename(path)
        sync_folder(self.path)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else exports to it until this is left, or the program gone. Raises SetupRefused and OSError."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupRefused(f"somebody else exports to {folder}: wait until that has ended") from None
        yield
    finally:
        os.close(descriptor)
