"""Child processes that die with this one and leave a log to read when they end by themselves."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.embedded.errors import StartFailed

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_S = 0.02
LOG_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a child runs as when this process is root; `capability` is the one it may keep."""

    uid: int
    gid: int
    capability: int | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A running (or ended) child; tests may signal `process` as they like."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        """The log's last lines, of this run and perhaps of one before."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    async def exited(self) -> int:
        """Wait for the end; the exit status, negative for the signal that killed it."""
        while (status := self.process.poll()) is None:
            await _readable(os.pidfd_open(self.process.pid))
        return status

    async def stop(self, *, ask_with: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
        """Ask, wait for `grace_s`, kill. A child stopped by SIGSTOP is woken so that it can hear."""
        if not self.running:
            return
        self.process.send_signal(ask_with)
        self.process.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(grace_s):
                await self.exited()
        except TimeoutError:
            pass
        finally:
            if self.running:
                self.process.kill()
                self.process.wait()


def spawn(
    name: str,
    command: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str],
    death_signal: signal.Signals = signal.SIGKILL,
    account: Account | None = None,
    keep_open: Sequence[int] = (),
    cwd: Path = Path("/"),
) -> Child:
    """Start a child in a session of its own, so that a terminal's Ctrl-C reaches only this process.

    The kernel sends `death_signal` when the thread that called this function ends, so call it from a thread
    that lives as long as the child should: the one that runs the event loop.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            launch_command(command, death_signal=death_signal, account=account),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            pass_fds=keep_open,
            start_new_session=True,
        )
    return Child(name, process, log)


def launch_command(
    command: Sequence[str | os.PathLike[str]], *, death_signal: signal.Signals, account: Account | None
) -> list[str]:
    """The command line that runs `command` through launch.py."""
    uid, gid, capability = (account.uid, account.gid, account.capability) if account else (-1, -1, None)
    settings = (os.getpid(), int(death_signal), uid, gid, -1 if capability is None else capability)
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), *map(str, settings)]
    return launcher + [os.fspath(word) for word in command]


async def until_ready(child: Child, ready: Callable[[], Awaitable[bool]], *, timeout_s: float) -> None:
    """Ask `ready` until it says yes; StartFailed, with the log's end, when child or time ends first."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not await ready():
        if not child.running:
            raise StartFailed(
                f"{child.name} ended while starting. The end of {child.log}:\n{child.log_tail()}"
            )
        if asyncio.get_running_loop().time() > deadline:
            raise StartFailed(
                f"{child.name} is not ready after {timeout_s:.0f} s. "
                f"The end of {child.log}:\n{child.log_tail()}"
            )
        await asyncio.sleep(POLL_S)


async def _readable(descriptor: int) -> None:
    """Wait until the pidfd is readable, which is when its process has ended; closes it."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
