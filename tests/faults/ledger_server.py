"""The ledger's Postgres: it can be killed as a whole or in part, frozen, and started again on its data."""

import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from service.embedded import EmbeddedPostgres, embedded_postgres
from service.embedded.ports import LOOPBACK
from tests.faults.ports import lasting_port


@dataclass(slots=True)
class LedgerServer:
    """Commits are on disk. ``port`` stays the same."""

    folder: Path
    port: int = field(default_factory=lasting_port)
    _server: EmbeddedPostgres | None = None
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        await self._running.aclose()
        server = embedded_postgres(self.folder, port=self.port, fsync=True)
        self._server = await self._running.enter_async_context(server)

    async def kill(self) -> None:
        """All of its processes at once, as when the machine is lost."""
        server = self._running_server()
        for process in [psutil.Process(server.process.pid), *self._backends()]:
            _signal(process, signal.SIGKILL)
        await server.child.exited()
        await self._running.aclose()

    def kill_one_backend(self) -> None:
        """The postmaster then ends all others and recovers by itself."""
        clients = [process for process in self._backends() if _serves_a_client(process)]
        for process in clients[:1]:
            _signal(process, signal.SIGKILL)

    async def stop(self) -> None:
        self.thaw()
        await self._running.aclose()

    def freeze(self) -> None:
        for process in [psutil.Process(self._running_server().process.pid), *self._backends()]:
            _signal(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._backends():
            _signal(process, signal.SIGCONT)
        if self.running:
            self._running_server().process.send_signal(signal.SIGCONT)

    @property
    def dsn(self) -> str:
        """Straight to it, past all lines."""
        return self._running_server().dsn

    def dsn_by(self, port: int) -> str:
        """The same over a line."""
        return self.dsn.replace(f"@{LOOPBACK}:{self.port}/", f"@{LOOPBACK}:{port}/")

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.child.running

    def _backends(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._running_server().process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _running_server(self) -> EmbeddedPostgres:
        assert self._server is not None
        return self._server


def _serves_a_client(process: psutil.Process) -> bool:
    try:
        return any("stakehold" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
