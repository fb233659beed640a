"""A primary with one replica, behind an address that is led to whichever of them is the primary."""

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import ResponseError

from persistence.transactions import OutboxPosition
from service.embedded import EmbeddedValkey, embedded_valkey
from service.embedded.ports import LOOPBACK
from tests.faults.line import Line
from tests.faults.ports import lasting_port
from tests.faults.stores import client_at, positions, url_at
from tests.waiting import until

_TOGETHER_WITHIN_S = 30.0


@dataclass(slots=True, eq=False)
class Node:
    """One of the two. What it keeps lies in ``folder``."""

    folder: Path
    port: int = field(default_factory=lasting_port)
    server: EmbeddedValkey | None = None
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def running(self) -> bool:
        return self.server is not None and self.server.child.running

    async def start(self, *, primary_port: int | None) -> None:
        """As a replica of whatever is reached there, or as a primary."""
        await self._running.aclose()
        role = ("--replicaof", LOOPBACK, str(primary_port)) if primary_port else ()
        extra = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "10", "--shutdown-timeout", "0", *role)
        server = embedded_valkey(self.folder, port=self.port, extra=extra)
        self.server = await self._running.enter_async_context(server)

    async def kill(self) -> None:
        assert self.server is not None
        self.server.process.kill()
        await self.server.child.exited()
        await self._running.aclose()

    async def stop(self) -> None:
        await self._running.aclose()

    def signal(self, number: signal.Signals) -> None:
        assert self.server is not None
        self.server.process.send_signal(number)

    async def replication(self) -> dict[str, str]:
        async with client_at(self.port) as client:
            return {name: str(said) for name, said in (await client.info("replication")).items()}

    async def ask(self, *words: str) -> None:
        async with client_at(self.port) as client:
            await client.execute_command(*words)  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class ReplicatedStore:
    """Each appends to a file, with fsync before every answer.

    ``address`` leads to the primary, and whoever was connected to another one stays there: nobody tells them.
    ``between`` leads the replica to its primary.
    """

    folder: Path
    nodes: list[Node] = field(default_factory=list)
    address: Line = field(default_factory=lambda: Line("store", 0))
    between: Line = field(default_factory=lambda: Line("replica", 0))
    _primary_number: int = 0

    def __post_init__(self) -> None:
        self.nodes = [Node(self.folder / f"node{number}") for number in range(2)]
        self._lead()

    @property
    def port(self) -> int:
        return self.address.port

    @property
    def primary(self) -> Node:
        return self.nodes[self._primary_number]

    @property
    def replica(self) -> Node:
        return self.nodes[1 - self._primary_number]

    def url(self, port: int | None) -> str:
        return url_at(port or self.port)

    async def start(self) -> None:
        """Starts whichever does not run, and waits until the replica has everything."""
        for line in (self.address, self.between):
            await line.heal()
        if not self.primary.running:
            await self.primary.start(primary_port=None)
        if not self.replica.running:
            await self.replica.start(primary_port=self.between.port)
        await self.until_together()

    async def stop(self) -> None:
        for node in self.nodes:
            await node.stop()
        for line in (self.address, self.between):
            await line.close()

    async def kill(self) -> None:
        await self.primary.kill()

    def freeze(self) -> None:
        self.primary.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.primary.signal(signal.SIGCONT)

    def freeze_replica(self) -> None:
        self.replica.signal(signal.SIGSTOP)

    def thaw_replica(self) -> None:
        self.replica.signal(signal.SIGCONT)

    async def promote(self) -> None:
        """The replica becomes the primary, whatever the primary says; callers are led to it from now on."""
        await self.replica.ask("REPLICAOF", "NO", "ONE")
        self._change_over()

    async def hand_over(self) -> None:
        """The primary waits until its replica has everything, and changes places with it."""
        await until(self._handed_over, what="the primary handed over", deadline_s=_TOGETHER_WITHIN_S)
        self._change_over()

    async def rejoin(self) -> None:
        """The one that was primary before becomes the replica, with the data of the other."""
        if not self.replica.running:
            await self.replica.start(primary_port=self.between.port)
        else:
            await self.replica.ask("REPLICAOF", LOOPBACK, str(self.between.port))
        await self.until_together()

    async def until_together(self) -> None:
        await until(self._is_together, what="the replica follows", deadline_s=_TOGETHER_WITHIN_S)

    async def last_positions(self, partition_count: int) -> dict[int, OutboxPosition]:
        async with client_at(self.primary.port) as client:
            return await positions(client, range(partition_count))

    def _change_over(self) -> None:
        self._primary_number = 1 - self._primary_number
        self._lead()

    def _lead(self) -> None:
        for line in (self.address, self.between):
            line.lead(self.primary.port)

    async def _handed_over(self) -> bool:
        """Asks again where it was given up: the replica was not there, or late."""
        said = await self.primary.replication()
        if said["role"] == "slave":
            return (await self.replica.replication())["role"] == "master"
        if said.get("master_failover_state") == "no-failover":
            try:
                await self.primary.ask("FAILOVER", "TO", LOOPBACK, str(self.replica.port), "TIMEOUT", "3000")
            except ResponseError:
                await asyncio.sleep(0.1)
        return False

    async def _is_together(self) -> bool:
        said = await self.replica.replication()
        return said["role"] == "slave" and said.get("master_link_status") == "up"
