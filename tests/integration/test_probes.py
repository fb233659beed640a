"""Probes are told whether a process has started, whether it may be given work, and whether it lives."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from persistence.errors import SetupRefused
from service.embedded import EmbeddedCluster, EmbeddedValkey
from service.embedded.children import Child, spawn
from service.embedded.ports import LOOPBACK, free_port
from service.health_listener import served_health
from service.readiness import Readiness
from service.server import running_server
from service.servicers.probes import LIVENESS, READINESS, STARTUP
from tests.deployment import ROOT, service_environment
from tests.ledgers import Ledgers
from tests.serving import Grounds
from tests.waiting import until

Status = health_pb2.HealthCheckResponse
ANYWHERE = f"{LOOPBACK}:0"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks as a kubelet does."""

    stub: Any

    async def says(self, service: str) -> bool:
        answer = await self.stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
        return bool(answer.status == Status.SERVING)

    async def told(self) -> dict[str, bool]:
        return {service: await self.says(service) for service in (STARTUP, READINESS, LIVENESS)}

    async def is_ready(self) -> bool:
        try:
            return await self.says(READINESS)
        except grpc.aio.AioRpcError:
            return False

    async def is_not_ready(self) -> bool:
        return not await self.says(READINESS)


@asynccontextmanager
async def probing(address: str) -> AsyncIterator[Probe]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield Probe(health_pb2_grpc.HealthStub(channel))


@asynccontextmanager
async def probed_server(ground: Grounds, **changes: Any) -> AsyncIterator[Probe]:
    """A server in this process, and its probes."""
    readiness = Readiness()
    async with (
        served_health(ANYWHERE, readiness) as address,
        running_server(ground.settings(**changes), readiness=readiness),
        probing(address) as probe,
    ):
        yield probe


STARTING = {STARTUP: False, READINESS: False, LIVENESS: True}
SERVING = {STARTUP: True, READINESS: True, LIVENESS: True}
UNREADY = {STARTUP: True, READINESS: False, LIVENESS: True}


async def test_a_process_is_alive_before_it_has_started_and_ready_until_it_stops() -> None:
    readiness = Readiness()
    async with served_health(ANYWHERE, readiness) as address, probing(address) as probe:
        starting = await probe.told()
        readiness.started()
        serving = await probe.told()
        readiness.stopping()
        stopping = await probe.told()

    assert [starting, serving, stopping] == [STARTING, SERVING, UNREADY]


async def test_whoever_watches_is_told_of_each_change() -> None:
    readiness = Readiness()
    async with served_health(ANYWHERE, readiness) as address, probing(address) as probe:
        watch = probe.stub.Watch(health_pb2.HealthCheckRequest(service=READINESS), timeout=TIMEOUT_S)
        told = [(await watch.read()).status]
        readiness.started()
        told.append((await watch.read()).status)
        watch.cancel()

    assert told == [Status.NOT_SERVING, Status.SERVING]


async def test_an_unknown_service_is_not_found() -> None:
    async with served_health(ANYWHERE, Readiness()) as address, probing(address) as probe:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.says("stakehold.v1.WalletService")

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_an_address_that_is_taken_is_said_with_its_setting() -> None:
    async with served_health(ANYWHERE, Readiness()) as address:
        with pytest.raises(SetupRefused, match="STAKEHOLD_HEALTH_LISTEN"):
            async with served_health(address, Readiness()):
                pass


async def test_a_store_that_hangs_takes_readiness_away_and_not_life(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    ground = Grounds(f"{private_valkey.url}", ledger_dsn)
    async with probed_server(ground, store_timeout_s=0.3) as probe:
        before = await probe.told()

        private_valkey.process.send_signal(signal.SIGSTOP)
        try:
            await until(probe.is_not_ready, what="it is not ready without its store")
            hanging = await probe.told()
        finally:
            private_valkey.process.send_signal(signal.SIGCONT)

        await until(probe.is_ready, what="it is ready again")
    assert [before, hanging] == [SERVING, UNREADY]


async def test_fenced_partitions_take_readiness_away_until_somebody_takes_them_over(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    ground = Grounds(f"{private_valkey.url}", ledger_dsn)
    async with probed_server(ground, recovery="automatic"):
        pass
    async with probed_server(ground, recovery="manual") as probe:
        assert await probe.told() == SERVING

        async with Redis.from_url(private_valkey.url) as store:
            await store.flushall()
        await until(probe.is_not_ready, what="all partitions are fenced")

        assert await probe.told() == UNREADY
        async with probed_server(ground, recovery="automatic"):
            await until(probe.is_ready, what="the partitions were taken over")


async def test_a_server_that_stops_is_not_ready_while_it_answers_what_is_under_way(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    came, may_end = asyncio.Event(), asyncio.Event()

    async def wait(request: bytes, context: object) -> bytes:
        came.set()
        await may_end.wait()
        return request

    handler = grpc.method_handlers_generic_handler(
        "test.Waiting",
        {
            "Wait": grpc.unary_unary_rpc_method_handler(
                wait, request_deserializer=bytes, response_serializer=bytes
            )
        },
    )
    readiness = Readiness()
    settings = Grounds(private_valkey.url, ledger_dsn).settings(shutdown_grace_s=20.0)
    async with (
        served_health(ANYWHERE, readiness) as address,
        probing(address) as probe,
        AsyncExitStack() as running,
    ):
        server = await running.enter_async_context(
            running_server(settings, extra_handlers=[handler], readiness=readiness)
        )
        async with grpc.aio.insecure_channel(server.address) as channel:
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.Waiting/Wait")
            call = asyncio.ensure_future(ask(b"waiting"))
            await asyncio.wait_for(came.wait(), TIMEOUT_S)

            stopping = asyncio.create_task(running.pop_all().aclose())
            await until(probe.is_not_ready, what="it says that it stops")

            assert await probe.told() == UNREADY
            assert not stopping.done()
            may_end.set()
            assert await call == b"waiting"
            await stopping


async def test_a_ledger_that_is_away_takes_no_readiness_away(
    private_valkey: EmbeddedValkey, ledgers: Ledgers
) -> None:
    async with ledgers.fresh() as dsn, probed_server(Grounds(private_valkey.url, dsn)) as probe:
        await ledgers.cut_off(dsn)
        try:
            for _ in range(30):
                assert await probe.told() == SERVING
                await asyncio.sleep(0.05)
        finally:
            await ledgers.let_in_again(dsn)


async def test_a_shard_that_hangs_takes_no_readiness_away(cluster: EmbeddedCluster, ledger_dsn: str) -> None:
    async with probed_server(Grounds(cluster.url, ledger_dsn), store_timeout_s=0.3) as probe:
        assert await probe.told() == SERVING
        primary = cluster.nodes[0]

        primary.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(20):
                assert await probe.told() == SERVING
                await asyncio.sleep(0.05)
        finally:
            primary.process.send_signal(signal.SIGCONT)
            await cluster.heal()


@pytest.mark.parametrize("command", ["serve", "drain", "work"])
async def test_a_process_waits_unready_for_migrations_and_then_starts(
    private_valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path, command: str
) -> None:
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            kept = await connection.fetchrow(
                "DELETE FROM ledger.migrations WHERE number = (SELECT max(number) FROM ledger.migrations)"
                " RETURNING *"
            )
            assert kept is not None
            async with commanded(tmp_path, command, private_valkey, dsn) as (child, probe):
                await until(lambda: says(probe, LIVENESS), what="it answers probes", deadline_s=60.0)
                for _ in range(20):
                    assert await probe.told() == STARTING
                    assert child.running
                    await asyncio.sleep(0.05)

                await connection.execute(
                    "INSERT INTO ledger.migrations SELECT ($1::ledger.migrations).*", kept
                )

                await until(probe.is_ready, what="it has started", deadline_s=60.0)
                assert await probe.told() == SERVING
        finally:
            await connection.close()


@pytest.mark.parametrize("command", ["serve", "drain", "work"])
async def test_a_process_that_starts_while_the_ledger_is_away_waits_for_it(
    private_valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path, command: str
) -> None:
    async with ledgers.fresh() as dsn:
        await ledgers.cut_off(dsn)
        async with commanded(tmp_path, command, private_valkey, dsn) as (child, probe):
            await until(lambda: says(probe, LIVENESS), what="it answers probes", deadline_s=60.0)
            for _ in range(20):
                assert await probe.told() == STARTING
                assert child.running
                await asyncio.sleep(0.05)

            await ledgers.let_in_again(dsn)

            await until(probe.is_ready, what="it has started", deadline_s=60.0)


@pytest.mark.parametrize("command", ["serve", "work"])
async def test_who_writes_notes_waits_for_drainers_that_read_them(
    private_valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path, command: str
) -> None:
    """A drainer of the first release says nothing of what it reads, and would stop at a note."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("INSERT INTO ledger.drainers (drainer_id) VALUES ('old')")
            await connection.execute("INSERT INTO ledger.drainers (drainer_id, reads) VALUES ('new', 2)")
            traced = {"STAKEHOLD_TRACES_ENDPOINT": f"http://{LOOPBACK}:{free_port()}/v1/traces"}
            async with commanded(tmp_path, command, private_valkey, dsn, traced) as (child, probe):
                await until(lambda: says(probe, LIVENESS), what="it answers probes", deadline_s=60.0)
                for _ in range(20):
                    assert await probe.told() == STARTING
                    assert child.running
                    await asyncio.sleep(0.05)

                await connection.execute("DELETE FROM ledger.drainers WHERE drainer_id = 'old'")

                await until(probe.is_ready, what="it has started", deadline_s=60.0)
        finally:
            await connection.close()


async def test_a_process_that_waits_for_migrations_stops_when_it_is_told_to(
    private_valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    async with (
        ledgers.fresh(template="template1") as dsn,
        commanded(tmp_path, "serve", private_valkey, dsn) as (child, probe),
    ):
        await until(lambda: says(probe, LIVENESS), what="it answers probes", deadline_s=60.0)

        child.process.send_signal(signal.SIGTERM)

        assert await child.exited() == 0, child.log_tail()


async def says(probe: Probe, service: str) -> bool:
    try:
        return await probe.says(service)
    except grpc.aio.AioRpcError:
        return False


@asynccontextmanager
async def commanded(
    folder: Path, command: str, valkey: EmbeddedValkey, dsn: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Child, Probe]]:
    """A process as Kubernetes starts it."""
    health = f"{LOOPBACK}:{free_port()}"
    wanted = {"STAKEHOLD_HEALTH_LISTEN": health, "STAKEHOLD_MIGRATION_WAIT_S": "120", **(settings or {})}
    environment = {**os.environ, **service_environment(valkey.url, dsn, settings=wanted)}
    words = [sys.executable, "-m", "service.cli", command]
    child = spawn(command, words, log=folder / f"{command}.log", env=environment, cwd=ROOT)
    try:
        async with probing(health) as probe:
            yield child, probe
    finally:
        await child.stop()
