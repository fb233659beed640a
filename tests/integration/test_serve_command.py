"""`stakehold serve` as an operator sees it: it starts, it stops, or it says in a sentence why it cannot."""

import json
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from service.embedded import EmbeddedValkey, embedded_postgres
from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import ROOT, START_TIMEOUT_S, service_environment
from tests.ledgers import Ledgers

CANNOT_START = 2
PASSWORD = "hunter2"


def start(folder: Path, environment: Mapping[str, str]) -> Child:
    command = [sys.executable, "-m", "service.cli", "serve"]
    return spawn("serve", command, log=folder / "serve.log", env=environment, cwd=ROOT)


async def refusal(folder: Path, environment: Mapping[str, str]) -> str:
    """What is said by a server that does not start."""
    server = start(folder, environment)
    try:
        status = await server.exited()
    finally:
        await server.stop()
    said = server.log.read_text()
    assert status == CANNOT_START, said
    assert "Traceback" not in said
    assert PASSWORD not in said
    return said


@asynccontextmanager
async def started(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Child]:
    address = environment["STAKEHOLD_LISTEN"]

    async def serves() -> bool:
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.aio.AioRpcError:
                return False
        return True

    server = start(folder, environment)
    try:
        await until_ready(server, serves, timeout_s=START_TIMEOUT_S)
        yield server
    finally:
        await server.stop()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop_and_logs_one_event_a_line(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path, number: signal.Signals
) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    environment = service_environment(private_valkey.url, ledger_dsn, address=address)
    async with started(tmp_path, environment) as server:
        server.process.send_signal(number)

        assert await server.exited() == 0

    events = [json.loads(line) for line in server.log.read_text().splitlines()]
    names = [event["event"] for event in events]
    assert names[-2:] == ["serving", "stopping"]
    assert events[-2]["address"] == address
    assert all({"timestamp", "level"} <= set(event) for event in events)


async def test_missing_settings_are_each_named(tmp_path: Path) -> None:
    environment = service_environment("", "")
    del environment["STAKEHOLD_VALKEY_URL"], environment["STAKEHOLD_POSTGRES_URL"]

    said = await refusal(tmp_path, environment)

    assert "STAKEHOLD_VALKEY_URL: " in said
    assert "STAKEHOLD_POSTGRES_URL: " in said
    assert "stakehold settings" in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"STAKEHOLD_PARTITIONS": "many"}, "STAKEHOLD_PARTITIONS: "),
        ({"STAKEHOLD_PARTITIONS": "8"}, "made with 16 partitions"),
        ({"STAKEHOLD_VALKEY_URL": f"http://:{PASSWORD}@x"}, "STAKEHOLD_VALKEY_URL"),
        ({"STAKEHOLD_VALKEY_URL": f"redis://:{PASSWORD}@{LOOPBACK}:1/0"}, "the store cannot be reached"),
        ({"STAKEHOLD_POSTGRES_URL": f"postgresql://u:{PASSWORD}@{LOOPBACK}:1/x"}, "Postgres"),
        ({"STAKEHOLD_POSTGRES_URL": f"mysql://u:{PASSWORD}@{LOOPBACK}/x"}, "Postgres"),
        ({"STAKEHOLD_LISTEN": "nowhere"}, "cannot listen on nowhere"),
        ({"STAKEHOLD_METRICS_LISTEN": "nowhere"}, "STAKEHOLD_METRICS_LISTEN"),
    ],
)
async def test_a_setting_that_cannot_be_used_is_told_in_a_sentence(
    valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    url = f"redis://{LOOPBACK}:{valkey.port}/11"
    async with Redis.from_url(url) as store:
        await store.flushdb()

    said = await refusal(tmp_path, service_environment(url, ledger_dsn, settings=settings))

    assert says in said
    assert len([line for line in said.splitlines() if not line.startswith("{")]) <= 4


@pytest.mark.parametrize("variable", ["STAKEHOLD_LISTEN", "STAKEHOLD_METRICS_LISTEN"])
async def test_a_taken_port_is_told_with_the_setting_to_change(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path, variable: str
) -> None:
    with taken_port() as port:
        settings = {variable: f"{LOOPBACK}:{port}"}
        said = await refusal(tmp_path, service_environment(private_valkey.url, ledger_dsn, settings=settings))

    assert f"{LOOPBACK}:{port}" in said
    assert variable in said


async def test_an_unsafe_store_is_refused_with_what_to_change(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with Redis.from_url(private_valkey.url) as store:
        await store.config_set("appendfsync", "everysec")

    said = await refusal(tmp_path, service_environment(private_valkey.url, ledger_dsn))

    assert 'set appendfsync to "always" (it is "everysec")' in said


async def test_a_database_that_is_not_migrated_is_told_to_be(
    private_valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    empty = await ledgers.create(f"empty_{uuid.uuid4().hex[:8]}")

    assert "stakehold migrate" in await refusal(tmp_path, service_environment(private_valkey.url, empty))


async def test_a_new_postgres_that_knows_nothing_of_the_ledger_is_told_to_be_migrated(
    private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with embedded_postgres(tmp_path / "postgres", fsync=False) as postgres:
        said = await refusal(tmp_path, service_environment(private_valkey.url, postgres.dsn))

    assert "stakehold migrate" in said
