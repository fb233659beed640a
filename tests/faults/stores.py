"""The hot path's store as a run knows it, and its simplest variety."""

import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from persistence.transactions import OutboxPosition
from persistence.valkey.keys import outbox_key
from service.embedded import EmbeddedValkey, embedded_valkey
from service.embedded.ports import LOOPBACK
from tests.faults.clocks import Clock
from tests.faults.files import cut_file, empty_folder
from tests.faults.ports import lasting_port

_ASK_TIMEOUT_S = 5.0


class Store(Protocol):
    """What every variety can do. ``port`` is where lines lead, whatever becomes of the store; None where
    callers find its nodes by themselves.
    """

    folder: Path

    @property
    def port(self) -> int | None: ...

    def url(self, port: int | None) -> str:
        """Its address by way of a line's port; None: past all lines."""

    async def start(self) -> None:
        """On what its disks have: whatever does not run."""

    async def stop(self) -> None: ...

    async def last_positions(self, partition_count: int) -> dict[int, OutboxPosition]:
        """The newest record of each partition that has one."""


class PrimaryStore(Store, Protocol):
    """A store with one primary at a time."""

    async def kill(self) -> None:
        """SIGKILL of the primary: no goodbye, nothing is flushed."""

    def freeze(self) -> None:
        """The primary takes connections and answers nothing, until it is thawed."""

    def thaw(self) -> None: ...


@dataclass(slots=True)
class SingleStore:
    """One Valkey, append-only, fsync before every answer."""

    folder: Path
    port: int = field(default_factory=lasting_port)
    clock: Clock | None = None
    _server: EmbeddedValkey | None = None
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    def url(self, port: int | None) -> str:
        return url_at(port or self.port)

    async def start(self) -> None:
        """On what its disk has."""
        await self._running.aclose()
        server = embedded_valkey(self.folder, port=self.port, extra=("--aof-load-truncated", "yes"))
        with self.clock.wrapping_valkey() if self.clock else nullcontext():
            self._server = await self._running.enter_async_context(server)

    async def start_again_if_ended(self) -> None:
        """Where it ended by itself."""
        if not self._running_server().child.running:
            await self.start()

    async def kill(self) -> None:
        server = self._running_server()
        server.process.kill()
        await server.child.exited()
        await self._running.aclose()

    async def stop(self) -> None:
        await self._running.aclose()

    def freeze(self) -> None:
        self._running_server().process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running_server().process.send_signal(signal.SIGCONT)

    async def empty(self) -> None:
        """FLUSHALL: whoever did that."""
        async with self._client() as client:
            await client.flushall()

    def lose_tail(self, share: float) -> int:
        """While it is down: cuts its newest file after that share of its bytes; how many bytes are gone."""
        files = self.folder.glob("appendonlydir/*.incr.aof")
        newest = max(files, key=lambda file: int(file.name.split(".")[-3]))
        return cut_file(newest, share)

    def lose_disk(self) -> None:
        """While it is down: nothing is left."""
        empty_folder(self.folder / "appendonlydir")

    async def last_positions(self, partition_count: int) -> dict[int, OutboxPosition]:
        async with self._client() as client:
            return await positions(client, range(partition_count))

    def _client(self) -> Redis:
        return client_at(self.port)

    def _running_server(self) -> EmbeddedValkey:
        assert self._server is not None
        return self._server


def url_at(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def client_at(port: int) -> Redis:
    return Redis(host=LOOPBACK, port=port, socket_timeout=_ASK_TIMEOUT_S)


async def positions(client: Redis, partitions: Iterable[int]) -> dict[int, OutboxPosition]:
    """The newest record of each partition that has one, on this node."""
    found = {}
    for partition in partitions:
        if await client.exists(outbox_key(partition)):
            stream = await client.xinfo_stream(outbox_key(partition))
            found[partition] = OutboxPosition.parse(stream["last-generated-id"].decode())
    return found
