"""Many calls that come together, and the lone ones beside them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from persistence.errors import DeadlineExceeded, OutcomeUnknown, Overloaded, StoreUnavailable
from service.embedded import EmbeddedValkey
from tests.hot_path import Counting, counting

BATCH = 20


@pytest_asyncio.fixture
async def runner(private_valkey: EmbeddedValkey) -> AsyncIterator[Counting]:
    async with counting(private_valkey.url, max_waiting=50, max_batch=BATCH) as made:
        yield made


@contextmanager
def frozen(valkey: EmbeddedValkey) -> Iterator[None]:
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        valkey.process.send_signal(signal.SIGCONT)


async def test_calls_in_bulk_go_out_together_and_in_their_order(runner: Counting) -> None:
    counts = await asyncio.gather(*(runner.submit(str(number)) for number in range(8)))

    assert counts == [str(number) for number in range(1, 9)]
    assert runner.batches == [8]


async def test_calls_in_bulk_fill_no_more_than_half_of_a_batch(runner: Counting) -> None:
    await asyncio.gather(*(runner.submit() for _ in range(25)))

    assert runner.batches == [10, 10, 5]


async def test_a_lone_call_goes_before_those_in_bulk_that_came_before_it(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    with frozen(private_valkey):
        first = await runner.start_and_send()
        bulk = [runner.submit(str(number)) for number in range(15)]
        lone = runner.start("lone")
        await asyncio.sleep(0.01)

    assert [await first, await lone] == ["1", "2"]
    assert [await call for call in bulk] == [str(number) for number in range(3, 18)]
    assert runner.batches == [1, 11, 5]


async def test_lone_calls_that_would_fill_every_batch_leave_a_quarter_to_those_in_bulk(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    with frozen(private_valkey):
        first = await runner.start_and_send()
        bulk = [runner.submit() for _ in range(10)]
        lone = [runner.start() for _ in range(40)]
        await asyncio.sleep(0.01)
    await first

    assert [await call for call in bulk[:5]] == [str(number) for number in range(17, 22)]
    await asyncio.gather(*bulk, *lone)
    assert runner.batches[:3] == [1, BATCH, BATCH]


async def test_too_many_in_bulk_are_told_so_at_once_and_lone_calls_are_still_taken(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    with frozen(private_valkey):
        first = await runner.start_and_send()
        bulk = [runner.submit() for _ in range(50)]
        with pytest.raises(Overloaded):
            runner.submit()
        lone = runner.start()
        await asyncio.sleep(0.01)

    await asyncio.gather(first, lone, *bulk)


async def test_a_deadline_tells_those_that_were_sent_from_those_that_were_not(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    with frozen(private_valkey):
        sent = runner.submit(patience_s=0.2)
        await asyncio.sleep(0.05)
        waiting = runner.submit(patience_s=0.1)
        with pytest.raises(DeadlineExceeded):
            await waiting
        with pytest.raises(OutcomeUnknown):
            await sent


async def test_those_that_wait_are_answered_when_the_batcher_stops(
    runner: Counting, private_valkey: EmbeddedValkey
) -> None:
    with frozen(private_valkey):
        await runner.start_and_send()
        waiting = runner.submit()
        await runner.batcher.stop()
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            runner.submit()
