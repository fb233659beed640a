"""Servers and drainers as an operator runs them: by the command line, and started again when they end."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.embedded.children import Child, spawn
from tests.deployment import ROOT

_STOP_GRACE_S = 20.0
_LOOK_EVERY_S = 0.1
_RESTART_AFTER_S = 0.3


@dataclass(slots=True)
class Program:
    """One process of the service. While ``wanted``, it is started again when it ends by itself.

    ``ended_count`` is how often that happened.
    """

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    child: Child | None = None
    wanted: bool = False
    ended_count: int = 0

    def start(self) -> None:
        self.wanted = True
        command = [sys.executable, "-m", "service.cli", *self.words]
        self.child = spawn(self.name, command, log=self.log, env=self.environment, cwd=ROOT)

    async def kill(self) -> None:
        self.wanted = False
        if self.child is not None and self.child.running:
            self.child.process.kill()
            await self.child.exited()

    async def stop(self) -> None:
        self.wanted = False
        if self.child is not None:
            await self.child.stop(ask_with=signal.SIGTERM, grace_s=_STOP_GRACE_S)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def ended_by_itself(self) -> bool:
        return self.wanted and (self.child is None or not self.child.running)

    def _signal(self, number: signal.Signals) -> None:
        if self.child is not None and self.child.running:
            self.child.process.send_signal(number)


@asynccontextmanager
async def supervised(programs: Sequence[Program]) -> AsyncIterator[None]:
    """Starts again what ends by itself, a moment later, as whatever runs the service in production does."""
    task = asyncio.create_task(_supervise(programs), name="supervisor")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _supervise(programs: Sequence[Program]) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        ended = [program for program in programs if program.ended_by_itself]
        if ended:
            await asyncio.sleep(_RESTART_AFTER_S)
        for program in ended:
            if program.ended_by_itself:
                program.ended_count += 1
                program.start()
