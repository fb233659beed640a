"""A call is sent to the life of a primary that it names, and to no other one."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.errors import IncarnationChanged, StoreUnavailable
from service.embedded import EmbeddedValkey, embedded_valkey
from service.embedded.ports import LOOPBACK, free_port
from tests.hot_path import Counting, a_few_turns, ask, counting, moment, runs_of, scripts_sent
from tests.waiting import until


@pytest_asyncio.fixture
async def store(private_valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(private_valkey.url) as client:
        yield client


@pytest_asyncio.fixture
async def runner(private_valkey: EmbeddedValkey) -> AsyncIterator[Counting]:
    """A runner that checks the store before every batch."""
    async with counting(private_valkey.url, check_every_s=0) as made:
        yield made


async def demote(store: Redis) -> None:
    await ask(store, f"REPLICAOF {LOOPBACK} 1")


async def promote(store: Redis) -> None:
    await ask(store, "REPLICAOF NO ONE")


async def told_incarnation(store: Redis) -> str:
    return str((await store.info("replication"))["master_replid"])


async def test_the_incarnation_is_the_primarys_replication_id(runner: Counting, store: Redis) -> None:
    incarnation = await runner.batcher.incarnation()

    assert incarnation == await told_incarnation(store)
    assert await runner.run(incarnation=incarnation) == "1"


async def test_a_call_for_another_incarnation_is_never_sent_and_is_told_which_there_is(
    runner: Counting, store: Redis
) -> None:
    for_another, for_any = runner.start(incarnation="0" * 40), runner.start()

    with pytest.raises(IncarnationChanged) as caught:
        await for_another

    assert caught.value.found == await told_incarnation(store)
    assert await for_any == "1"
    assert await runs_of(store) == await scripts_sent(store) == 1


async def test_a_primary_that_was_a_replica_meanwhile_is_another_incarnation(
    runner: Counting, store: Redis
) -> None:
    before = await runner.batcher.incarnation()
    await demote(store)
    await promote(store)

    with pytest.raises(IncarnationChanged) as caught:
        await runner.run(incarnation=before)

    after = await told_incarnation(store)
    assert caught.value.found == await runner.batcher.incarnation() == after != before
    assert await scripts_sent(store) == 0
    assert await runner.run(incarnation=after) == "1"


async def test_a_node_that_refused_a_write_as_a_replica_is_looked_at_anew_before_it_gets_another(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, check_every_s=3600) as runner:
        before = await runner.batcher.incarnation()
        await demote(store)
        with pytest.raises(StoreUnavailable, match=r"READONLY|read only"):
            await runner.run(incarnation=before)
        with pytest.raises(StoreUnavailable, match="is a replica; nothing was done"):
            await runner.run(incarnation=before)
        await promote(store)

        with pytest.raises(IncarnationChanged):
            await runner.run(incarnation=before)

    assert await runs_of(store) == 0


async def test_a_replica_is_not_connected(private_valkey: EmbeddedValkey, store: Redis) -> None:
    await demote(store)

    async with counting(private_valkey.url, connected=False) as runner:
        with pytest.raises(StoreUnavailable, match="is a replica"):
            await runner.batcher.connect()


async def test_a_primary_that_was_restarted_is_another_incarnation(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://{LOOPBACK}:{port}/0"
    async with counting(url, check_every_s=0, connected=False) as runner:
        async with embedded_valkey(tmp_path, port=port):
            before = await runner.batcher.incarnation()
            assert await runner.run(incarnation=before) == "1"
        async with embedded_valkey(tmp_path, port=port):
            with pytest.raises(IncarnationChanged) as caught:
                await runner.run(incarnation=before)

            assert await runner.run(incarnation=caught.value.found) == "2"


async def test_a_question_for_the_incarnation_that_is_given_up_mixes_up_no_answers(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    private_valkey.process.send_signal(signal.SIGSTOP)
    question = asyncio.create_task(runner.batcher.incarnation())
    await a_few_turns()
    question.cancel()
    call = runner.start("word")
    await a_few_turns()
    private_valkey.process.send_signal(signal.SIGCONT)

    assert await call == "1"


async def test_a_question_for_the_incarnation_waits_for_the_batch_that_is_under_way(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, check_every_s=0.2) as runner:
        check_time = moment(0.2)
        private_valkey.process.send_signal(signal.SIGSTOP)
        call = await runner.start_and_send()
        await until(lambda: passed(check_time), what="a check is due")
        question = asyncio.create_task(runner.batcher.incarnation())
        await a_few_turns()
        private_valkey.process.send_signal(signal.SIGCONT)

        assert await call == "1"
        assert await question == await told_incarnation(store)


async def passed(deadline: float) -> bool:
    return moment(0) > deadline
