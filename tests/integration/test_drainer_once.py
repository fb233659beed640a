"""Each record reaches the ledger exactly once, in order, whatever happens to the drainer."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from persistence.drain_batch import build_batch
from persistence.errors import CursorMoved
from persistence.postgres.database import ledger_connection
from persistence.valkey.keys import outbox_key
from tests.draining import Draining, some_play
from tests.outbox_feed import FedWallet
from tests.waiting import until

STEPS = (
    "records_read",
    "batches_built",
    "cursors_locked",
    "accounts_resolved",
    "entries_copied",
    "postings_copied",
    "balances_compared",
    "cursors_moved",
    "committed",
    "trimmed",
)


class Killed(BaseException):
    """What a kill is to a task: nothing catches it."""


def at_step(
    step: str, then: Callable[[], Awaitable[None]], *, occurrence: int = 2
) -> Callable[[str], Awaitable[None]]:
    """Does something when a step has been done for the second time: in the middle, not at the start."""
    seen = 0

    async def between_steps(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == occurrence:
            await then()

    return between_steps


async def test_everything_in_the_outbox_is_in_the_ledger_and_trimmed(books: Draining) -> None:
    entries = await some_play(books.feed)

    await books.drain()

    assert await books.entry_count() == entries
    assert sum(await books.feed.lengths()) == 0
    await books.require_sound()
    balances = await books.balances()
    assert balances["player player-0 cash EUR"] == 1000 - 5 * 7
    assert balances["source acme clearing EUR"] == -12 * 1000
    assert balances["source acme settlement EUR"] == 12 * 5 * 7
    assert books.metric("stakehold_drained_entries_total") == entries


async def test_the_steps_between_which_the_drainer_is_killed_are_all_that_there_are(books: Draining) -> None:
    await some_play(books.feed, players=1)
    steps: list[str] = []

    async def note(step: str) -> None:
        steps.append(step)

    await books.drainer(between_steps=note).run(asyncio.Event(), until_empty=True)

    assert tuple(steps) == STEPS


@pytest.mark.parametrize("step", STEPS)
async def test_a_drainer_that_is_killed_between_two_steps_loses_and_doubles_nothing(
    books: Draining, step: str
) -> None:
    entries = await some_play(books.feed)

    async def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        await books.drainer(batch_records=3, between_steps=at_step(step, die)).run(
            asyncio.Event(), until_empty=True
        )
    assert await books.entry_count() < entries
    await books.drain(batch_records=3)

    assert await books.entry_count() == entries
    assert sum(await books.feed.lengths()) == 0
    await books.require_sound()


@pytest.mark.parametrize("step", STEPS)
async def test_a_drainer_that_is_cancelled_between_two_steps_loses_and_doubles_nothing(
    books: Draining, step: str
) -> None:
    entries = await some_play(books.feed)
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(
        books.drainer(batch_records=3, between_steps=at_step(step, hang)).run(asyncio.Event())
    )
    await asyncio.wait_for(reached.wait(), 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await books.drain(batch_records=3)

    assert await books.entry_count() == entries
    await books.require_sound()


@pytest.mark.parametrize("step", STEPS)
async def test_a_connection_that_is_cut_between_two_steps_loses_and_doubles_nothing(
    books: Draining, step: str
) -> None:
    entries = await some_play(books.feed)
    drainer = books.drainer(
        batch_records=3, between_steps=at_step(step, lambda: cut_connections(books.ledger_dsn))
    )

    async with books.draining(drainer):
        await books.until_entries(entries)

    assert await books.entry_count() == entries
    assert books.metric("stakehold_drain_retries_total") >= 1
    await books.require_sound()


async def test_a_stream_that_is_replayed_from_zero_changes_nothing(books: Draining) -> None:
    await some_play(books.feed)
    raw = await books.raw_records()
    await books.drain()
    before = await books.books()

    for partition, records in raw.items():
        await books.feed.client.delete(outbox_key(partition))
        for record in records:
            await books.feed.add_raw(partition, record.fields, stream_id=record.stream_id)
    assert sum(await books.feed.lengths()) == sum(map(len, raw.values())) > 0
    await books.drain()

    assert await books.books() == before
    assert sum(await books.feed.lengths()) == 0


async def test_a_batch_that_is_written_twice_is_refused_the_second_time(books: Draining) -> None:
    wallet = FedWallet("player-1")
    await books.feed.add(wallet.player, wallet.opened())
    partition = books.feed.partition_of(wallet.player)
    records = (await books.raw_records())[partition]

    async with books.claimant("anybody") as claimant:
        (state,) = await claimant.take(partition)
        batch = build_batch(state, records, partition_count=16)
        await claimant.writer.write([batch])
        before = await books.books()
        with pytest.raises(CursorMoved):
            await claimant.writer.write([batch])

    assert await books.books() == before


async def test_two_drainers_at_once_write_everything_once(books: Draining) -> None:
    first, second = books.drainer(batch_records=2), books.drainer(batch_records=2)

    async with books.draining(first), books.draining(second):
        entries = await some_play(books.feed, players=20)
        await books.until_entries(entries)

    assert await books.entry_count() == entries
    await books.require_sound()


async def test_a_drainer_that_waits_takes_over_when_the_owner_dies(books: Draining) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    entries = await some_play(books.feed)
    owner = asyncio.create_task(
        books.drainer(between_steps=at_step("entries_copied", hang, occurrence=1)).run(asyncio.Event())
    )
    await asyncio.wait_for(reached.wait(), 10.0)
    async with books.draining():
        owner.cancel()
        await asyncio.gather(owner, return_exceptions=True)
        await books.until_entries(entries)

    assert await books.entry_count() == entries
    await books.require_sound()


async def test_records_that_come_later_are_drained_as_they_come(books: Draining) -> None:
    wallet = FedWallet("player-1")
    async with books.draining():
        await books.feed.add(wallet.player, wallet.opened())
        await books.until_entries(1)
        for number in range(5):
            await books.feed.add(wallet.player, wallet.applied(f"in-{number}", "deposit", cash=1))
            await books.until_entries(2 + number)

    times = await books.sql.fetch("SELECT recorded_time FROM ledger.entries ORDER BY chain_position")
    assert all(earlier <= later for (earlier,), (later,) in pairwise(times))


async def test_an_idle_drainer_stops_when_it_is_told_to(books: Draining) -> None:
    async with books.draining():

        async def all_owned() -> bool:
            return sum((await books.owners()).values()) == 16

        await until(all_owned, what="all partitions are owned")

    assert await books.owners() == {}


async def cut_connections(ledger_dsn: str) -> None:
    """Ends all drainers' sessions on the server's side, and waits until they are gone."""
    async with ledger_connection(ledger_dsn, role=None, statement_timeout_s=10.0) as sql:
        await sql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name LIKE 'stakehold drain%' AND datname = current_database()"
        )
