"""A Valkey of our own: append-only, fsync before every answer, nothing evicted."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.embedded.binaries import valkey_server
from service.embedded.children import Child, spawn, until_ready
from service.embedded.folders import held, sign
from service.embedded.ports import LOOPBACK
from service.embedded.starting import Recipe

START_TIMEOUT_S = 60.0
STOP_GRACE_S = 20.0
DYING_PATIENCE_S = 5.0
PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """A running server; `process` is there for tests to stop, freeze or kill."""

    port: int
    child: Child

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.child.process


@asynccontextmanager
async def embedded_valkey(
    folder: Path, *, port: int = 0, append_fsync: str = "always", extra: Sequence[str] = ()
) -> AsyncIterator[EmbeddedValkey]:
    """Run a server whose data lie in `folder` and survive it; port 0 takes any free one.

    `extra` are further words of the command line, as `("--maxmemory", "64mb")`. Leaving the context stops the
    server, also one that a test froze or killed.
    """
    folder = folder.absolute()
    options = ["--appendfsync", append_fsync, *extra]
    async with held(folder, patience_s=DYING_PATIENCE_S) as lock:
        recipe = Recipe(
            name="Valkey",
            spawn=lambda port: _spawn(folder, port, options, lock),
            ready=_answers,
            stop=_stop,
            port_lost="Failed listening",
            timeout_s=START_TIMEOUT_S,
        )
        child, port = await recipe.start(port)
        try:
            yield EmbeddedValkey(port, child)
        finally:
            await _stop(child)


@asynccontextmanager
async def embedded_replica(
    folder: Path, primary: EmbeddedValkey, *, append_fsync: str = "always", extra: Sequence[str] = ()
) -> AsyncIterator[EmbeddedValkey]:
    """Run a replica that has everything that `primary` has when the context is entered."""
    options = ("--replicaof", LOOPBACK, str(primary.port), *extra)
    async with embedded_valkey(folder, append_fsync=append_fsync, extra=options) as replica:
        await until_ready(replica.child, lambda: _follows(replica.port), timeout_s=START_TIMEOUT_S)
        yield replica


def _spawn(folder: Path, port: int, options: Sequence[str], lock: int) -> Child:
    words = ["--port", str(port), "--bind", LOOPBACK, "--dir", str(folder), "--daemonize", "no", "--save", ""]
    words += ["--appendonly", "yes", "--no-appendfsync-on-rewrite", "no", "--maxmemory-policy", "noeviction"]
    child = spawn(
        "valkey",
        [valkey_server().path, *words, *options],
        log=folder / "valkey.log",
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        keep_open=[lock],
    )
    sign(lock, child.process.pid)
    return child


async def _stop(child: Child) -> None:
    await child.stop(grace_s=STOP_GRACE_S)


async def _answers(child: Child, port: int) -> bool:
    """Whether our process, and no stranger that won the port, answers and has read its data back."""
    answer = await answers(port, b"INFO server\r\nPING\r\n")
    process_id = re.search(rb"^process_id:(\d+)\r$", answer, re.MULTILINE)
    return process_id is not None and int(process_id[1]) == child.process.pid and b"+PONG\r\n" in answer


async def _follows(port: int) -> bool:
    """Whether a replica has synchronised with its primary."""
    return b"\r\nmaster_link_status:up\r\n" in await answers(port, b"INFO replication\r\n")


async def answers(port: int, commands: bytes) -> bytes:
    """The answers to inline commands; none where nobody answers."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(commands + b"QUIT\r\n")
                return await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
