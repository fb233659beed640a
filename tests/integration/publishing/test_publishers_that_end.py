"""Whatever ends meanwhile, a publisher or its broker: nothing is left out, and nothing overtakes."""

import asyncio
import signal
from functools import partial
from pathlib import Path
from random import Random

import pytest

from service.embedded.children import Child
from tests.brokers import Broker
from tests.draining import Draining, some_play
from tests.event_stream import ids_of_ledger
from tests.integration.publishing.consuming import require_all_in_order
from tests.integration.publishing.publishers import (
    DEADLINE_S,
    Killed,
    environment,
    made_publisher,
    more_play,
    progress,
    publishing,
    spawned,
    until_published,
)
from tests.waiting import until


async def test_a_publisher_that_is_killed_again_and_again_leaves_nothing_out(
    books: Draining, sink: Broker, tmp_path: Path
) -> None:
    random = Random(7)
    variables = environment(books, sink, PAGE_EVENTS="8")
    await some_play(books.feed, players=24, bets=10)
    await books.drain()
    for number in range(4):
        child = spawned(tmp_path, variables)
        before = await progress(books, sink.kind)

        async def has_moved(before: int = before) -> bool:
            return await progress(books, sink.kind) > before

        await until(has_moved, what="something is published", deadline_s=DEADLINE_S)
        await asyncio.sleep(random.random() * 0.05)
        child.process.kill()
        await child.exited()
        await more_play(books, number)
        await books.drain()

    async with publishing(tmp_path, variables) as child:
        await until_published(books, sink.kind, child=child)

    require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )


@pytest.mark.parametrize("step", ["read", "confirmed", "noted"])
async def test_wherever_a_publisher_ends_the_next_one_goes_on(
    books: Draining, sink: Broker, step: str
) -> None:
    steps = 0

    async def end(done: str) -> None:
        nonlocal steps
        steps += done == step
        if done == step and steps % 2 == 0:
            raise Killed

    count = await some_play(books.feed, players=8, bets=2)
    await books.drain()
    ended = 0
    while await progress(books, sink.kind) < count:
        async with made_publisher(books, sink, between_steps=end, page_events=8) as (publisher, _):
            stop = asyncio.Event()
            running = asyncio.create_task(publisher.run(stop))
            published = asyncio.create_task(until_published(books, sink.kind))
            await asyncio.wait({running, published}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            published.cancel()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            assert outcome is None or isinstance(outcome, Killed)
            ended += isinstance(outcome, Killed)

    assert ended >= 2
    repeated = require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )
    if sink.kind == "nats":
        assert repeated == 0, "JetStream knows the ids"
    elif step == "confirmed":
        assert repeated > 0, "what was confirmed and not noted comes again"


async def test_what_the_broker_has_not_confirmed_is_sent_when_it_is_back(
    books: Draining, sink: Broker, tmp_path: Path
) -> None:
    await some_play(books.feed)
    await books.drain()

    async with publishing(tmp_path, environment(books, sink)) as child:
        await until_published(books, sink.kind, child=child)
        for number in range(3):
            sink.child.process.send_signal(signal.SIGSTOP)
            await more_play(books, number)
            await books.drain()
            before = await progress(books, sink.kind)
            await until(partial(_says, child, number + 1), what="it says that the broker is away")
            assert await progress(books, sink.kind) == before
            sink.child.process.send_signal(signal.SIGCONT)
            await until_published(books, sink.kind, child=child)

    require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )


async def _says(child: Child, count: int, event: str = "publish_interrupted") -> bool:
    return child.log.read_text().count(event) >= count


async def test_a_broker_that_is_killed_and_started_again_has_everything(
    books: Draining, jetstream: Broker, tmp_path: Path
) -> None:
    await some_play(books.feed)
    async with (
        publishing(tmp_path, environment(books, jetstream, PAGE_EVENTS="10")) as child,
        books.draining(books.drainer(batch_records=5)),
    ):
        for number in range(4):
            await more_play(books, number)
            await until(partial(_moved, books, 20 * (number + 1)), what="something is published")
            await jetstream.kill()
            await more_play(books, 10 + number)
            await jetstream.start()
        await books.until_entries(144 + 8 * 60)
        await until_published(books, "nats", child=child)

    repeated = require_all_in_order(
        await jetstream.messages(), await ids_of_ledger(books.sql), by_player=False
    )
    assert repeated == 0


async def _moved(books: Draining, count: int) -> bool:
    return await progress(books, "nats") >= count


async def test_publishers_share_the_partitions_and_take_over_from_one_that_dies(
    books: Draining, sink: Broker, tmp_path: Path
) -> None:
    variables = environment(books, sink)
    await some_play(books.feed)
    async with (
        publishing(tmp_path, variables, name="first"),
        books.draining(),
    ):
        doomed = spawned(tmp_path, variables, name="second")
        await until(partial(_shares, books, [8, 8]), what="each has half", deadline_s=DEADLINE_S)
        await more_play(books, 1)
        await until(partial(_moved_at_all, books, sink.kind), what="something is published")
        doomed.process.kill()
        await doomed.exited()
        await more_play(books, 2)
        await until(partial(_shares, books, [16]), what="one has all", deadline_s=DEADLINE_S)
        await books.until_entries(144 + 120)
        await until_published(books, sink.kind)

    require_all_in_order(
        await sink.messages(), await ids_of_ledger(books.sql), by_player=sink.kind == "kafka"
    )
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.publishers") <= 1
    assert await books.sql.fetchval("SELECT count(leased_by) FROM ledger.publications") == 0


async def _shares(books: Draining, wanted: list[int]) -> bool:
    rows = await books.sql.fetch(
        "SELECT count(*) FROM ledger.publications "
        "WHERE leased_by IS NOT NULL AND leased_until > clock_timestamp() GROUP BY leased_by"
    )
    return [row["count"] for row in rows] == wanted


async def _moved_at_all(books: Draining, sink: str) -> bool:
    return await progress(books, sink) > 0


async def test_a_publisher_that_slept_through_its_lease_notes_nothing(
    books: Draining, jetstream: Broker
) -> None:
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def sleep(step: str) -> None:
        if step == "confirmed" and not awake.is_set():
            asleep.set()
            await awake.wait()

    count = await some_play(books.feed)
    await books.drain()
    async with (
        made_publisher(books, jetstream, between_steps=sleep) as (sleeper, _),
        made_publisher(books, jetstream) as (other, _),
    ):
        stop = asyncio.Event()
        sleeping = asyncio.create_task(sleeper.run(stop))
        await asleep.wait()
        going_on = asyncio.create_task(other.run(stop))
        await until_published(books, "nats")
        awake.set()
        await asyncio.sleep(0)
        stop.set()
        await asyncio.gather(sleeping, going_on)

    assert await progress(books, "nats") == count
    assert (
        require_all_in_order(await jetstream.messages(), await ids_of_ledger(books.sql), by_player=False) == 0
    )
