"""Everybody in a run: the store, the ledger, servers, drainers, and a line between every two that talk."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded.ports import LOOPBACK
from tests.deployment import WALLET_SERVICE, migrate, service_environment
from tests.faults.clocks import Clock, clock
from tests.faults.ledger_server import LedgerServer
from tests.faults.line import Line, line_to
from tests.faults.ports import lasting_port
from tests.faults.programs import Program, supervised
from tests.faults.schedule import PAIRS
from tests.faults.stores import Store
from tests.faults.varieties import SINGLE, Variety
from tests.waiting import until

IMPATIENT = MappingProxyType({"STAKEHOLD_STORE_TIMEOUT_S": "0.5", "STAKEHOLD_CALL_TIMEOUT_S": "2"})
"""Timeouts short enough that frozen things are noticed within a test."""
CLOCKED = ("store", "drain-0", "serve-0")
_HEALTH_TIMEOUT_S = 1.0
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """A server or a drainer with its own lines. Clients reach a server at ``door``; no line leads to a store
    whose nodes are found one by one.
    """

    program: Program
    to_store: Line | None
    to_ledger: Line
    door: Line | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """``environment`` is for commands past all lines. ``clocks`` are there where they can be stepped."""

    folder: Path
    store: Store
    ledger: LedgerServer
    servers: Sequence[Part]
    drainers: Sequence[Part]
    workers: Sequence[Part]
    environment: Mapping[str, str]
    clocks: Sequence[tuple[str, Clock]] = ()

    @property
    def parts(self) -> Sequence[Part]:
        """Everybody who is a process of the service."""
        return (*self.servers, *self.drainers, *self.workers)

    def lines(self, pair: str) -> list[Line]:
        return {
            "client-server": [part.door for part in self.servers if part.door],
            "server-store": [part.to_store for part in self.servers if part.to_store],
            "drainer-store": [part.to_store for part in self.drainers if part.to_store],
            "server-ledger": [part.to_ledger for part in self.servers],
            "drainer-ledger": [part.to_ledger for part in self.drainers],
            "worker-store": [part.to_store for part in self.workers if part.to_store],
            "worker-ledger": [part.to_ledger for part in self.workers],
        }[pair]

    def addresses(self) -> list[str]:
        """Where clients reach each server."""
        return [f"{LOOPBACK}:{line.port}" for line in self.lines("client-server")]

    async def heal(self) -> None:
        """Makes everything sound again, and starts what is not running."""
        for pair in PAIRS:
            for line in self.lines(pair):
                await line.heal()
        for part in self.parts:
            part.program.thaw()
            if part.program.child is None or not part.program.child.running:
                part.program.start()

    async def until_serving(self) -> None:
        """Waits for all servers."""
        for address in self.addresses():

            async def serves(address: str = address) -> bool:
                return await _serves(address)

            await until(serves, what=f"{address} serves", deadline_s=_START_TIMEOUT_S, poll_s=0.05)

    async def command(self, *words: str) -> tuple[int, str]:
        """Runs a command of the command line past all lines; its exit status and what it said."""
        program = Program(words[0], words, self.environment, self.folder / f"{words[0]}.log")
        program.log.unlink(missing_ok=True)
        program.start()
        assert program.child is not None
        return await program.child.exited(), program.log.read_text()


@asynccontextmanager
async def cast(
    folder: Path,
    variety: Variety = SINGLE,
    *,
    server_count: int = 2,
    drainer_count: int = 1,
    worker_count: int = 0,
    settings: Mapping[str, str] = IMPATIENT,
    steppable_clocks: bool = False,
) -> AsyncIterator[Cast]:
    """All of them running, on an empty store and a new ledger."""
    clocks = {name: clock(folder / f"{name}.clock") for name in CLOCKED} if steppable_clocks else {}
    store = variety.make(folder / "store", clocks.get("store"))
    settings = {**settings, **variety.settings}
    ledger = LedgerServer(folder / "ledger")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ledger.stop)
        stack.push_async_callback(store.stop)
        await asyncio.gather(store.start(), ledger.start())
        await migrate(folder, ledger.dsn)
        stage = _Stage(folder, store, ledger, settings, clocks, stack)
        made = Cast(
            folder,
            store,
            ledger,
            [await stage.server(f"serve-{number}") for number in range(server_count)],
            [await stage.part(f"drain-{number}", {}) for number in range(drainer_count)],
            [await stage.part(f"work-{number}", {}) for number in range(worker_count)],
            service_environment(store.url(None), ledger.dsn, settings=settings),
            [(name, steppable) for name, steppable in clocks.items() if steppable is not None],
        )
        programs = [part.program for part in made.parts]
        for program in programs:
            stack.push_async_callback(program.stop)
        await stack.enter_async_context(supervised(programs))
        await made.heal()
        await made.until_serving()
        yield made


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where parts are made; ``stack`` unmakes their lines."""

    folder: Path
    store: Store
    ledger: LedgerServer
    settings: Mapping[str, str]
    clocks: Mapping[str, Clock | None]
    stack: AsyncExitStack

    async def server(self, name: str) -> Part:
        port = lasting_port()
        door = await self._line(port, f"client {name}")
        return replace(await self.part(name, {"STAKEHOLD_LISTEN": f"{LOOPBACK}:{port}"}), door=door)

    async def part(self, name: str, settings: Mapping[str, str]) -> Part:
        """``name`` is the command and a number."""
        store_port = self.store.port
        to_store = await self._line(store_port, f"{name} store") if store_port else None
        to_ledger = await self._line(self.ledger.port, f"{name} ledger")
        steppable = self.clocks.get(name)
        environment = service_environment(
            self.store.url(to_store.port if to_store else None),
            self.ledger.dsn_by(to_ledger.port),
            settings={**self.settings, **settings, **(steppable.environment if steppable else {})},
        )
        command = name.partition("-")[0]
        program = Program(name, [command], environment, self.folder / f"{name}.log")
        return Part(program, to_store, to_ledger)

    async def _line(self, port: int, name: str) -> Line:
        return await self.stack.enter_async_context(line_to(port, name=name))


async def _serves(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=WALLET_SERVICE)
        try:
            answer = await stub.Check(request, timeout=_HEALTH_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
