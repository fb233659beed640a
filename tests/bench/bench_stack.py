"""The servers that are measured: all with fsync, the drainer started and stopped at will."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedPostgres, EmbeddedValkey, embedded_postgres, embedded_valkey
from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class BenchStack:
    """What runs. ``environment`` has the settings of the service and the drainer."""

    folder: Path
    address: str
    valkey: EmbeddedValkey
    postgres: EmbeddedPostgres
    server: Child
    environment: Mapping[str, str]

    def cpu_s(self) -> tuple[float, float]:
        """Processor time that the server and Valkey have used so far."""
        server, store = (
            psutil.Process(child.process.pid).cpu_times() for child in (self.server, self.valkey.child)
        )
        return float(server.user + server.system), float(store.user + store.system)

    @asynccontextmanager
    async def draining(self) -> AsyncIterator[None]:
        """Runs `stakehold drain` inside the context."""
        async with self._command("drain"):
            yield

    @asynccontextmanager
    async def working(self, *options: str) -> AsyncIterator[None]:
        """Runs `stakehold work` inside the context."""
        async with self._command("work", *options):
            yield

    @asynccontextmanager
    async def another_server(self, name: str, settings: Mapping[str, str]) -> AsyncIterator["BenchStack"]:
        """The same stores behind another server, with settings of its own, inside the context."""
        address = f"{LOOPBACK}:{free_port()}"
        environment = {**self.environment, "STAKEHOLD_LISTEN": address, **settings}
        server = _python(name, self.folder, environment, "tests.bench.server")
        try:
            await until_ready(server, lambda: _is_serving(address), timeout_s=START_TIMEOUT_S)
            yield replace(self, address=address, server=server, environment=environment)
        finally:
            await _stop(server)

    @asynccontextmanager
    async def _command(self, name: str, *options: str) -> AsyncIterator[None]:
        child = _python(name, self.folder, self.environment, "service.cli", name, *options)
        try:
            yield
            if not child.running:
                raise RuntimeError(f"{name} ended:\n{child.log_tail()}")
        finally:
            await child.stop(ask_with=signal.SIGTERM, grace_s=STOP_GRACE_S)


@asynccontextmanager
async def bench_stack(folder: Path, *, profile: Path | None = None) -> AsyncIterator[BenchStack]:
    """Starts all but the drainer. With ``profile``, the server leaves its profile there when it stops."""
    async with AsyncExitStack() as running:
        postgres = await running.enter_async_context(embedded_postgres(folder / "postgres", fsync=True))
        valkey = await running.enter_async_context(embedded_valkey(folder / "valkey", append_fsync="always"))
        address = f"{LOOPBACK}:{free_port()}"
        environment = {
            **os.environ,
            "STAKEHOLD_VALKEY_URL": valkey.url,
            "STAKEHOLD_POSTGRES_URL": postgres.dsn,
            "STAKEHOLD_LISTEN": address,
            "STAKEHOLD_INSECURE_DEVELOPMENT": "true",
            "STAKEHOLD_LOG_LEVEL": "warning",
            **({"BENCH_PROFILE": str(profile)} if profile else {}),
        }
        migration = _python("migrate", folder, environment, "service.cli", "migrate")
        if await migration.exited():
            raise RuntimeError(f"the migration failed:\n{migration.log_tail()}")
        server = _python("serve", folder, environment, "tests.bench.server")
        running.push_async_callback(_stop, server)
        await until_ready(server, lambda: _is_serving(address), timeout_s=START_TIMEOUT_S)
        yield BenchStack(folder, address, valkey, postgres, server, environment)


def _python(name: str, folder: Path, environment: Mapping[str, str], *words: str) -> Child:
    log = folder / f"{name}.log"
    return spawn(name, [sys.executable, "-m", *words], log=log, env=environment, cwd=ROOT)


async def verify(stack: BenchStack) -> bool:
    """Whether `stakehold verify` finds nothing wrong."""
    audit = _python("verify", stack.folder, stack.environment, "service.cli", "verify")
    return await audit.exited() == 0


async def _stop(child: Child) -> None:
    await child.stop(ask_with=signal.SIGTERM, grace_s=STOP_GRACE_S)


async def _is_serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=2.0
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def load_process(
    address: str, *, module: str = "tests.bench.load"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process that sends the load, ended with the context."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        address,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
