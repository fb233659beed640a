"""A small disk of one's own, to be filled to the last byte. For root, where mounting is allowed."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = "256m"
_FILLER = "filler"
_PIECE = b"\0" * (1 << 20)
_TIMEOUT_S = 10.0


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mounts a disk in memory on the folder; whether that was possible."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = os.geteuid() == 0 and _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            _run("umount", "--lazy", str(folder))


def fill_disk(folder: Path) -> None:
    """To the last byte. Only a small disk of our own: never one that others write to."""
    if not folder.is_mount():
        raise RuntimeError(f"{folder} is not a disk of its own")
    descriptor = os.open(folder / _FILLER, os.O_WRONLY | os.O_CREAT)
    piece = _PIECE
    try:
        while piece:
            try:
                written = os.write(descriptor, piece)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                written = 0
            if written < len(piece):
                piece = piece[: len(piece) // 2]
    finally:
        os.close(descriptor)


def free_disk(folder: Path) -> None:
    (folder / _FILLER).unlink(missing_ok=True)


def _run(*words: str) -> bool:
    try:
        done = subprocess.run(words, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except OSError:
        return False
    return done.returncode == 0
