"""Everything on this machine, started and stopped in order: the servers, the service, drainer and worker."""

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded.children import Child, spawn, until_ready
from service.embedded.errors import ChildDied, StartFailed
from service.embedded.folders import held
from service.embedded.ports import LOOPBACK, free_port, require_free
from service.embedded.postgres import EmbeddedPostgres, embedded_postgres
from service.embedded.valkey import EmbeddedValkey, embedded_valkey

START_TIMEOUT_S = 60.0
STOP_GRACE_S = 30.0
PROBE_TIMEOUT_S = 2.0
SETTINGS_NAME = "settings.sh"
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EmbeddedStack:
    """A running whole; `settings` are the environment variables with which another command finds it."""

    valkey: EmbeddedValkey
    postgres: EmbeddedPostgres
    serve: Child
    drain: Child
    work: Child
    address: str
    serve_metrics_address: str
    drain_metrics_address: str
    work_metrics_address: str
    settings: Mapping[str, str]

    async def until_one_dies(self) -> None:
        """Return never; raise ChildDied, with the log's end, as soon as one of the five ends by itself."""
        children = (self.work, self.serve, self.drain, self.valkey.child, self.postgres.child)
        ends = [asyncio.create_task(child.exited(), name=child.name) for child in children]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        # The stores first: when one of them is gone, the others may follow.
        dead = next(child for child in reversed(children) if not child.running)
        status = dead.process.returncode
        raise ChildDied(f"{dead.name} ended with status {status}. The end of {dead.log}:\n{dead.log_tail()}")


@asynccontextmanager
async def embedded_stack(
    folder: Path,
    *,
    grpc_port: int = 0,
    metrics_ports: tuple[int, int, int] = (0, 0, 0),
    fsync: bool = True,
    settings: Mapping[str, str] = NO_SETTINGS,
    tell: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[EmbeddedStack]:
    """Run the whole on `folder`, whose data survive; leaving stops it all in order, the worker first.

    `metrics_ports` are serve's, drain's and work's; a port 0 takes any free one. `settings` are further
    STAKEHOLD_… variables. Entered when the service says SERVING. `tell` hears what is going on, a phrase at
    a time.
    """
    folder = folder.absolute()
    async with AsyncExitStack() as running:
        await running.enter_async_context(held(folder))
        tell("starting Postgres")
        postgres = await running.enter_async_context(embedded_postgres(folder / "postgres", fsync=fsync))
        tell("starting Valkey")
        valkey = await running.enter_async_context(embedded_valkey(folder / "valkey"))
        urls = {"STAKEHOLD_VALKEY_URL": valkey.url, "STAKEHOLD_POSTGRES_URL": postgres.dsn}
        environment = {**settings, **urls}
        tell("migrating the ledger")
        await _migrate(folder, environment)
        tell("starting the drainer, the service and the worker")
        serve_metrics, drain_metrics, work_metrics = (
            _address(port, server="metrics") for port in metrics_ports
        )
        address = _address(grpc_port, server="gRPC")
        environment |= {
            "STAKEHOLD_LISTEN": address,
            "STAKEHOLD_ADDRESS": address,
            "STAKEHOLD_INSECURE_DEVELOPMENT": "true",
        }
        drain = await running.enter_async_context(_command("drain", folder, environment, drain_metrics))
        serve = await running.enter_async_context(_command("serve", folder, environment, serve_metrics))
        await until_ready(serve, lambda: _is_serving(address), timeout_s=START_TIMEOUT_S)
        work = await running.enter_async_context(_command("work", folder, environment, work_metrics))
        _write_settings(folder / SETTINGS_NAME, environment)
        yield EmbeddedStack(
            valkey,
            postgres,
            serve,
            drain,
            work,
            address,
            serve_metrics,
            drain_metrics,
            work_metrics,
            settings=environment,
        )


def _write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """For a shell to source; only its owner may read the ledger's password."""
    unfinished = path.with_suffix(".new")
    unfinished.touch(mode=0o600)
    unfinished.write_text("".join(f"export {name}={shlex.quote(text)}\n" for name, text in settings.items()))
    unfinished.rename(path)


def _address(port: int, *, server: str) -> str:
    if port:
        require_free(port, server=server)
    return f"{LOOPBACK}:{port or free_port()}"


async def _migrate(folder: Path, settings: Mapping[str, str]) -> None:
    child = _spawn("migrate", folder, settings)
    try:
        status = await child.exited()
    finally:
        await child.stop()
    if status != 0:
        raise StartFailed(f"The migration failed. The end of {child.log}:\n{child.log_tail()}")


@asynccontextmanager
async def _command(
    name: str, folder: Path, settings: Mapping[str, str], metrics_address: str
) -> AsyncIterator[Child]:
    own = {**settings, "STAKEHOLD_METRICS_LISTEN": metrics_address}
    if name != "serve":
        own["STAKEHOLD_HEALTH_LISTEN"] = ""  # one address cannot be three processes'
    child = _spawn(name, folder, own)
    try:
        yield child
    finally:
        await child.stop(grace_s=STOP_GRACE_S)


def _spawn(name: str, folder: Path, settings: Mapping[str, str]) -> Child:
    return spawn(
        name,
        [sys.executable, "-P", "-m", "service.cli", name],
        log=folder / f"{name}.log",
        env={**os.environ, "PYTHONUNBUFFERED": "1", **settings},
    )


async def _is_serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
