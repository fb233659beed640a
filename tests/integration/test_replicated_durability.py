"""With the durability ``replicated`` an answer leaves once the replicas have on disk what it tells."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from persistence.errors import OutcomeUnknown, StoreUnavailable
from service.embedded import EmbeddedValkey, embedded_replica, embedded_valkey
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from tests.hot_path import Counting, ask, counting, runs_of
from tests.trace_collector import trace_collector
from tests.waiting import until

AT_ONCE = ("--repl-diskless-sync-delay", "0")
TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its replica."""

    primary: EmbeddedValkey
    replica: EmbeddedValkey

    def freeze(self) -> None:
        self.replica.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.replica.process.send_signal(signal.SIGCONT)


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with (
        embedded_valkey(tmp_path / "primary", extra=AT_ONCE) as primary,
        embedded_replica(tmp_path / "replica", primary) as replica,
    ):
        yield Pair(primary, replica)


@pytest_asyncio.fixture
async def runner(pair: Pair) -> AsyncIterator[Counting]:
    async with counting(pair.primary.url, timeout_s=TIMEOUT_S, replicas=1) as made:
        yield made


async def runs_at(server: EmbeddedValkey) -> int:
    async with Redis.from_url(server.url) as client:
        return await runs_of(client)


async def test_an_answer_means_that_the_replica_has_it(pair: Pair, runner: Counting) -> None:
    counts = await asyncio.gather(*(runner.run() for _ in range(20)))

    assert counts == [str(number) for number in range(1, 21)]
    assert await runs_at(pair.replica) == 20
    assert runner.unconfirmed == 0


async def test_the_trace_of_a_batch_says_what_its_confirmation_took(pair: Pair, runner: Counting) -> None:
    async with trace_collector() as collector:
        settings = TraceSettings(traces_endpoint=collector.endpoint, traces_ratio=1.0)
        async with open_traces(settings, CollectorRegistry(), role="tests") as traces:
            with traces.incoming("confirmed"):
                await runner.run()
            pair.freeze()
            with pytest.raises(OutcomeUnknown), traces.incoming("unconfirmed"):
                await runner.run()
            pair.thaw()

    confirmed, unconfirmed = sorted(collector.named("store.batch"), key=lambda span: span.is_error)
    steps = collector.named("store.batch.confirmation")
    assert {step.parent_id for step in steps} == {confirmed.span_id, unconfirmed.span_id}
    assert (confirmed.is_error, unconfirmed.attributes["error.type"]) == (False, "unconfirmed")
    [call] = collector.named("unconfirmed")
    assert call.attributes["error.type"] == "OutcomeUnknown"
    assert unconfirmed.links == (call.span_id,)


async def test_an_answer_is_on_the_replicas_disk(pair: Pair, runner: Counting) -> None:
    for _ in range(5):
        await runner.run()
    pair.replica.process.kill()
    await pair.replica.child.exited()

    logged = b"".join(file.read_bytes() for file in (pair.replica.child.log.parent).rglob("*.incr.aof"))

    assert logged.count(b"INCR") == 5


async def test_what_the_replica_did_not_confirm_has_an_unknown_outcome_until_it_is_back(
    pair: Pair, runner: Counting
) -> None:
    assert await runner.run() == "1"
    pair.freeze()

    with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
        await runner.run()
    with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
        await runner.replay()
    assert runner.unconfirmed == 2
    assert await runs_at(pair.primary) == 2

    pair.thaw()
    assert await runner.replay() == "2"
    assert runner.unconfirmed == 2


async def test_a_replay_over_a_new_connection_is_not_acknowledged_before_the_original_is_replicated(
    pair: Pair, runner: Counting
) -> None:
    pair.freeze()
    with pytest.raises(OutcomeUnknown):
        await runner.run()

    async with counting(pair.primary.url, timeout_s=TIMEOUT_S, replicas=1) as another:
        with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
            await another.replay()
        pair.thaw()
        assert await another.replay() == "1"


async def test_a_replay_of_what_another_server_wrote_is_not_acknowledged_before_it_is_replicated(
    pair: Pair, runner: Counting
) -> None:
    async with counting(pair.primary.url, timeout_s=TIMEOUT_S, replicas=1) as another:
        assert await another.run() == "1"
        pair.freeze()
        with pytest.raises(OutcomeUnknown):
            await runner.run()

        with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
            await another.replay()

        pair.thaw()
        assert await another.replay() == "2"


async def test_the_connection_is_kept_when_a_batch_is_not_confirmed(pair: Pair, runner: Counting) -> None:
    async with Redis.from_url(pair.primary.url) as store:
        await runner.run()
        connected = (await store.info("stats"))["total_connections_received"]
        pair.freeze()
        with pytest.raises(OutcomeUnknown):
            await runner.run()
        pair.thaw()
        await runner.run()

        assert (await store.info("stats"))["total_connections_received"] == connected


async def test_two_are_not_confirmed_by_one(pair: Pair) -> None:
    async with counting(pair.primary.url, timeout_s=TIMEOUT_S, replicas=2) as runner:
        with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
            await runner.run()


async def test_a_replica_that_keeps_no_file_confirms_nothing(tmp_path: Path) -> None:
    async with (
        embedded_valkey(tmp_path / "primary", extra=AT_ONCE) as primary,
        embedded_replica(tmp_path / "replica", primary, extra=("--appendonly", "no")),
        counting(primary.url, timeout_s=TIMEOUT_S, replicas=1) as runner,
    ):
        with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
            await runner.run()


async def test_a_server_without_waitaof_is_asked_by_wait(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extra = (*AT_ONCE, "--rename-command", "WAITAOF", "")
    async with (
        embedded_valkey(tmp_path / "primary", extra=extra) as primary,
        embedded_replica(tmp_path / "replica", primary) as replica,
        counting(primary.url, timeout_s=TIMEOUT_S, replicas=1) as runner,
    ):
        assert await runner.run() == "1"
        replica.process.send_signal(signal.SIGSTOP)
        with pytest.raises(OutcomeUnknown, match="durability was not confirmed"):
            await runner.run()
        replica.process.send_signal(signal.SIGCONT)
        assert await runner.replay() == "2"


async def test_with_fewer_replicas_than_the_store_wants_nothing_is_done(pair: Pair, runner: Counting) -> None:
    async with Redis.from_url(pair.primary.url) as store:
        await ask(store, "CONFIG SET min-replicas-to-write 2")
        with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
            await runner.run()
        assert await runs_of(store) == 0
    assert runner.unconfirmed == 0


async def test_scripts_that_the_store_forgot_are_confirmed_too(pair: Pair, runner: Counting) -> None:
    async with Redis.from_url(pair.primary.url) as store:
        await store.script_flush()

    assert await runner.run() == "1"
    assert await runs_at(pair.replica) == 1


async def test_a_primary_that_is_demoted_while_it_waits_for_its_replicas_has_confirmed_nothing(
    pair: Pair,
) -> None:
    async with (
        Redis.from_url(pair.primary.url) as store,
        counting(pair.primary.url, timeout_s=20.0, replicas=1) as runner,
    ):
        pair.freeze()
        call = await runner.start_and_send()
        await until(lambda: is_blocked(store), what="the batch waits for the replica")
        await ask(store, f"REPLICAOF 127.0.0.1 {pair.replica.port}")

        with pytest.raises(OutcomeUnknown):
            await call
        with pytest.raises(StoreUnavailable, match="is a replica"):
            await runner.run()


async def is_blocked(store: Redis) -> bool:
    return bool((await store.info("clients"))["blocked_clients"])
