"""How calls gather into batches, and which of them are never sent."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.errors import DeadlineExceeded, OutcomeUnknown, Overloaded, StoreUnavailable
from service.embedded import EmbeddedValkey
from tests.hot_path import PATIENCE_S, Counting, a_few_turns, counting, moment, runs_of, scripts_sent
from tests.waiting import until


@pytest_asyncio.fixture
async def store(private_valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(private_valkey.url) as client:
        yield client


@pytest_asyncio.fixture
async def runner(private_valkey: EmbeddedValkey) -> AsyncIterator[Counting]:
    async with counting(private_valkey.url, max_waiting=30, max_batch=10) as made:
        yield made


def freeze(valkey: EmbeddedValkey) -> None:
    valkey.process.send_signal(signal.SIGSTOP)


def thaw(valkey: EmbeddedValkey) -> None:
    valkey.process.send_signal(signal.SIGCONT)


async def passed(deadline: float) -> bool:
    return moment(0) > deadline


async def test_a_lone_call_goes_out_at_once(runner: Counting) -> None:
    call = runner.start()

    await a_few_turns()

    assert runner.batches == [1]
    assert await call == "1"


async def test_calls_one_after_another_each_go_out_at_once(runner: Counting) -> None:
    assert [await runner.run() for _ in range(3)] == ["1", "2", "3"]
    assert runner.batches == [1, 1, 1]


async def test_calls_that_come_together_go_out_together(runner: Counting) -> None:
    counts = await asyncio.gather(*(runner.run() for _ in range(8)))

    assert counts == [str(number) for number in range(1, 9)]
    assert runner.batches == [8]


async def test_calls_that_come_while_a_batch_is_under_way_go_out_together_after_it(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    freeze(private_valkey)
    first = await runner.start_and_send()
    others = [runner.start() for _ in range(7)]
    await a_few_turns()
    assert runner.batches == [1]
    thaw(private_valkey)

    counts = await asyncio.gather(first, *others)

    assert runner.batches == [1, 7]
    assert counts == [str(number) for number in range(1, 9)]


async def test_a_batch_is_bounded(runner: Counting) -> None:
    await asyncio.gather(*(runner.run() for _ in range(25)))

    assert runner.batches == [10, 10, 5]


async def test_each_of_many_calls_runs_once_and_gets_its_own_answer(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    async with counting(private_valkey.url, max_waiting=2000, max_batch=64) as runner:
        await asyncio.gather(*(runner.run(f"word {number}") for number in range(2000)))

    assert await runs_of(store) == await scripts_sent(store) == sum(runner.batches) == 2000


async def test_a_call_too_many_is_shed_with_a_delay_and_never_sent(
    runner: Counting, private_valkey: EmbeddedValkey, store: Redis
) -> None:
    freeze(private_valkey)
    calls = [await runner.start_and_send(), *(runner.start() for _ in range(30))]
    await a_few_turns()
    assert runner.batcher.waiting_count == 30

    with pytest.raises(Overloaded) as shed:
        await runner.run()

    assert shed.value.retry_delay_ms > 0
    thaw(private_valkey)
    await asyncio.gather(*calls)
    assert await runs_of(store) == await scripts_sent(store) == 31
    assert await runner.run() == "32"


async def test_a_call_whose_deadline_has_passed_is_never_sent(runner: Counting, store: Redis) -> None:
    with pytest.raises(DeadlineExceeded):
        await runner.run(patience_s=-1.0)

    assert (await runs_of(store), runner.batches) == (0, [])


async def test_a_call_whose_deadline_passes_while_it_waits_is_never_sent(
    runner: Counting, private_valkey: EmbeddedValkey, store: Redis
) -> None:
    freeze(private_valkey)
    first = await runner.start_and_send()
    deadline = moment(0.05)
    hasty, patient = runner.start(patience_s=0.05), runner.start()
    await until(lambda: passed(deadline), what="the deadline passes")
    thaw(private_valkey)

    with pytest.raises(DeadlineExceeded):
        await hasty

    assert (await first, await patient) == ("1", "2")
    assert await runs_of(store) == await scripts_sent(store) == 2


async def test_a_call_whose_deadline_passes_while_the_store_is_being_connected_is_never_sent(
    private_valkey: EmbeddedValkey, store: Redis
) -> None:
    freeze(private_valkey)
    async with counting(private_valkey.url, connected=False) as runner:
        deadline = moment(0.05)
        hasty, patient = runner.start(patience_s=0.05), runner.start()
        await until(lambda: passed(deadline), what="the deadline passes")
        thaw(private_valkey)

        with pytest.raises(DeadlineExceeded):
            await hasty

        assert await patient == "1"
        assert await runs_of(store) == await scripts_sent(store) == 1


async def test_a_call_that_is_cancelled_while_it_waits_is_never_sent(
    runner: Counting, private_valkey: EmbeddedValkey, store: Redis
) -> None:
    freeze(private_valkey)
    first = await runner.start_and_send()
    given_up, other = runner.start(), runner.start()
    await a_few_turns()
    given_up.cancel()
    await a_few_turns()
    thaw(private_valkey)

    assert (await first, await other) == ("1", "2")
    assert given_up.cancelled()
    assert await runs_of(store) == await scripts_sent(store) == 2


async def test_a_call_that_is_cancelled_after_it_was_sent_still_runs_and_holds_up_nobody(
    runner: Counting, private_valkey: EmbeddedValkey, store: Redis
) -> None:
    freeze(private_valkey)
    sent = await runner.start_and_send()
    sent.cancel()
    other = runner.start()
    await a_few_turns()
    thaw(private_valkey)

    assert await other == "2"
    assert await runs_of(store) == await scripts_sent(store) == 2


async def test_stopping_answers_every_call_that_is_under_way_or_waits(
    private_valkey: EmbeddedValkey,
) -> None:
    async with counting(private_valkey.url) as runner:
        freeze(private_valkey)
        sent = await runner.start_and_send()
        waiting = [runner.start() for _ in range(3)]
        await a_few_turns()

    with pytest.raises(OutcomeUnknown):
        await sent
    for call in waiting:
        with pytest.raises(StoreUnavailable):
            await call


async def test_stopping_answers_calls_that_wait_for_the_store_to_be_connected(
    private_valkey: EmbeddedValkey,
) -> None:
    freeze(private_valkey)
    async with counting(private_valkey.url, connected=False) as runner:
        call = runner.start()
        await a_few_turns()

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreUnavailable):
            await call


async def test_a_call_after_stopping_is_told_so(private_valkey: EmbeddedValkey) -> None:
    async with counting(private_valkey.url) as runner:
        pass

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreUnavailable, match="stopping"):
            await runner.run()


async def test_calls_are_answered_even_if_the_worker_is_cancelled_in_the_middle_of_a_batch(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    freeze(private_valkey)
    sent = await runner.start_and_send()
    waiting = runner.start()
    await a_few_turns()
    (worker,) = (task for task in asyncio.all_tasks() if task.get_name() == "script-batcher")
    worker.cancel()

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(OutcomeUnknown):
            await sent
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await runner.run()


async def test_an_observer_that_fails_leaves_no_call_without_an_answer(runner: Counting) -> None:
    observe = runner.batcher.on_batch

    def fail(size: int) -> None:
        raise ZeroDivisionError(size)

    runner.batcher.on_batch = fail

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(OutcomeUnknown):
            await runner.run()
        runner.batcher.on_batch = observe
        assert await runner.run() == "1"
