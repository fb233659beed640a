"""One server, one data folder: the lock that says so."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service.embedded.errors import FolderInUse

LOCK_NAME = "lock"
POLL_S = 0.05


@asynccontextmanager
async def held(folder: Path, *, patience_s: float = 0.0) -> AsyncIterator[int]:
    """Hold the folder (made when missing) and yield the descriptor of its lock.

    Pass the descriptor on to a child and the folder stays held for as long as that child or one of its own
    children lives, whatever becomes of this process. `patience_s` is how long to wait for a holder that is on
    its way out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _lock(descriptor, folder, patience_s)
        sign(descriptor, os.getpid())
        yield descriptor
    finally:
        os.close(descriptor)


def sign(descriptor: int, pid: int) -> None:
    """Write down who holds the folder, for the message that a second holder gets."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


async def _lock(descriptor: int, folder: Path, patience_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
                raise FolderInUse(
                    f"{folder} is in use by the process with id {holder}: "
                    "stop it, or choose another data folder."
                ) from None
            await asyncio.sleep(POLL_S)
        else:
            return
