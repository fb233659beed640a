"""Writes an exported file: whole and on disk under its name, or not there.

Under the name of an unfinished file first; it gets its own once its manifest is signed and on disk, too. So
whatever has its name can have its manifest, wherever it was broken off.
"""

import gzip
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from persistence.audit.entry_checks import StoredEntry
from persistence.export.lines import write_line

UNFINISHED = ".unfinished"


@dataclass(slots=True)
class Written:
    """What has been written so far."""

    entry_count: int = 0
    posting_count: int = 0
    erased_count: int = 0
    last_hash: bytes = b""
    sums: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def add(self, stored: StoredEntry) -> None:
        self.entry_count += 1
        self.posting_count += len(stored.legs)
        self.erased_count += stored.chained.is_hash_of_erased
        self.last_hash = stored.hash
        for leg in stored.legs:
            self.sums[leg.account.currency][leg.amount < 0] += leg.amount


@dataclass(slots=True)
class EntryFile:
    """A file of lines that is being written."""

    lines: BinaryIO
    with_metadata: bool
    written: Written

    def write(self, stored: StoredEntry) -> None:
        self.lines.write(write_line(stored, with_metadata=self.with_metadata))
        self.written.add(stored)


@contextmanager
def entry_file(path: Path, *, with_metadata: bool) -> Iterator[EntryFile]:
    """The file is on disk once the context is left, still unfinished; left by an exception it is not there.
    What ends with .gz is compressed, the same each time.
    """
    try:
        with unfinished(path).open("wb") as raw:
            lines: BinaryIO = raw
            if path.suffix == ".gz":
                lines = cast("BinaryIO", gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0))
            with lines if lines is not raw else _Unclosed():
                yield EntryFile(lines, with_metadata, Written())
            raw.flush()
            os.fsync(raw.fileno())
    except BaseException:
        unfinished(path).unlink(missing_ok=True)
        raise


class _Unclosed:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def finish(path: Path, manifest: Path, signed: bytes) -> None:
    """Gives an unfinished file its name, and its manifest the other."""
    with unfinished(manifest).open("wb") as raw:
        raw.write(signed)
        raw.flush()
        os.fsync(raw.fileno())
    sync_folder(path.parent)
    for each in (path, manifest):
        unfinished(each).rename(each)
        sync_folder(path.parent)


def unfinished(path: Path) -> Path:
    """Where a file is until it has its name."""
    return path.with_name(f".{path.name}{UNFINISHED}")


def is_unfinished(path: Path) -> bool:
    """Whether it is, or was when an export was broken off."""
    return path.name.startswith(".") and path.name.endswith(UNFINISHED)


def finished(path: Path) -> Path:
    """The name that an unfinished file is to have."""
    return path.with_name(path.name.removeprefix(".").removesuffix(UNFINISHED))


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest = sha256()
    with path.open("rb") as raw:
        while block := raw.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """That a file has its name is on disk, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
