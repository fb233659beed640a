"""Drainers share the partitions; whoever is silent loses its own, and writes nothing when it wakes up."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from persistence.drain_batch import build_batch
from persistence.errors import CursorMoved
from tests.draining import Draining, some_play
from tests.outbox_feed import FedWallet
from tests.waiting import until

ROOT = Path(__file__).parents[2]


async def until_owned(books: Draining, owned: Mapping[str, int], *, deadline_s: float = 20.0) -> None:
    """Each of these drainers has as many partitions."""

    async def are_owned() -> bool:
        return await books.owners() == owned

    await until(are_owned, what=f"partitions are shared as {owned}", deadline_s=deadline_s)


@asynccontextmanager
async def process(*command: str, environment: Mapping[str, str]) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A Python program that is killed at last."""
    started = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.kill()
        started.wait()


async def until_frozen(drainer: subprocess.Popen[bytes]) -> None:
    async def is_frozen() -> bool:
        assert drainer.poll() is None
        return bool(psutil.Process(drainer.pid).status() == psutil.STATUS_STOPPED)

    await until(is_frozen, what="the drainer is frozen")


async def until_ended(drainer: subprocess.Popen[bytes]) -> None:
    async def has_ended() -> bool:
        return drainer.poll() is not None

    await until(has_ended, what="the drainer has ended")


async def test_drainers_share_the_partitions_about_evenly(books: Draining) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(books.draining(books.drainer(drainer_id="a", lease_s=5.0)))
        await until_owned(books, {"a": 16})
        await stack.enter_async_context(books.draining(books.drainer(drainer_id="b", lease_s=5.0)))
        await until_owned(books, {"a": 8, "b": 8})
        async with books.draining(books.drainer(drainer_id="c", lease_s=5.0)):

            async def shared_by_three() -> bool:
                owned = await books.owners()
                return len(owned) == 3 and sum(owned.values()) == 16 and max(owned.values()) == 6

            await until(shared_by_three, what="three drainers share the partitions")
            entries = await some_play(books.feed, players=20)
            await books.until_entries(entries)
        await until_owned(books, {"a": 8, "b": 8}, deadline_s=2.0)

    assert await books.owners() == {}
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.drainers") == 0
    await books.require_sound()


async def test_partitions_change_hands_under_play_without_loss(books: Draining) -> None:
    wallets = [FedWallet(f"player-{number}") for number in range(40)]
    for wallet in wallets:
        books.feed.add_later(wallet.player, wallet.opened())
    await books.feed.flush()
    entries, comings = len(wallets), asyncio.create_task(_come_and_go(books))
    while not comings.done():
        for wallet in wallets:
            books.feed.add_later(wallet.player, wallet.applied(f"in-{entries}", "deposit", cash=1))
            entries += 1
        await books.feed.flush()
        await asyncio.sleep(0)
    await comings
    await books.drain()

    assert await books.entry_count() == entries
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.quarantine") == 0
    await books.require_sound()


async def _come_and_go(books: Draining) -> None:
    async with books.draining(books.drainer(batch_records=5, drainer_id="a")):
        await until_owned(books, {"a": 16})
        for name in ("b", "c", "d"):
            async with books.draining(books.drainer(batch_records=5, drainer_id=name)):
                await until_owned(books, {"a": 8, name: 8})


async def test_the_workers_of_a_process_share_its_partitions(books: Draining) -> None:
    drainer = books.drainer(drainer_id="a", worker_count=4)
    async with books.draining(drainer):
        await until_owned(books, {"a": 16})

        async def evenly() -> bool:
            return [len(worker.leases) for worker in drainer.workers] == [4, 4, 4, 4]

        await until(evenly, what="each worker has four partitions")


async def test_a_lease_is_one_drainers_until_it_runs_out(books: Draining) -> None:
    async with books.claimant("one", lease_s=0.3) as one, books.claimant("other") as other:
        assert len(await one.take(*range(16))) == 16
        assert await other.take(*range(16)) == []
        await one.leases.give_back([7])

        assert [state.partition for state in await other.take(*range(16))] == [7]

        async def run_out() -> bool:
            return len(await other.take(*range(7))) == 7

        await until(run_out, what="the leases have run out")
        await one.leases.renew(range(7))
        assert await books.owners() == {"other": 8}


async def test_a_lease_that_somebody_else_had_in_between_writes_nothing(books: Draining) -> None:
    wallet = FedWallet("player-1")
    await books.feed.add(wallet.player, wallet.opened())
    partition = books.feed.partition_of(wallet.player)
    records = (await books.raw_records())[partition]

    async with books.claimant("one") as one, books.claimant("other") as other:
        (old,) = await one.take(partition)
        await one.leases.give_back([partition])
        (others,) = await other.take(partition)
        with pytest.raises(CursorMoved, match="under lease 2 of other"):
            await one.writer.write([build_batch(old, records, partition_count=16)])
        with pytest.raises(CursorMoved, match="under lease 2 of other"):
            await one.writer.write([build_batch(others, records, partition_count=16)])
        await other.leases.give_back([partition])
        (new,) = await one.take(partition)
        with pytest.raises(CursorMoved, match="under lease 3 of one"):
            await one.writer.write([build_batch(old, records, partition_count=16)])
        assert await books.entry_count() == 0

        await one.writer.write([build_batch(new, records, partition_count=16)])

    assert await books.entry_count() == 1


async def test_a_batch_renews_its_leases(books: Draining) -> None:
    wallet = FedWallet("player-1")
    await books.feed.add(wallet.player, wallet.opened())
    partition = books.feed.partition_of(wallet.player)
    records = (await books.raw_records())[partition]

    async with books.claimant("one", lease_s=0.01) as one, books.claimant("one") as same:
        (state,) = await one.take(partition)
        await until_owned(books, {})
        await same.writer.write([build_batch(state, records, partition_count=16)])

    assert await books.owners() == {"one": 1}


async def test_a_killed_drainer_loses_its_partitions(books: Draining) -> None:
    entries = await some_play(books.feed, players=4)
    environment = {
        "STAKEHOLD_POSTGRES_URL": books.ledger_dsn,
        "STAKEHOLD_VALKEY_URL": books.valkey_url,
        "STAKEHOLD_METRICS_LISTEN": "",
    }
    async with process("-m", "service.cli", "drain", environment=environment) as killed:
        await books.until_entries(entries)
        (name,) = await books.owners()
        async with books.draining(books.drainer(drainer_id="b", lease_s=5.0)):
            await until_owned(books, {name: 8, "b": 8})
            killed.kill()
            await some_play_again(books)
            await until_owned(books, {"b": 16}, deadline_s=10.0)
            await books.until_entries(entries + 16)

    assert await books.entry_count() == entries + 16
    await books.require_sound()


@pytest.mark.parametrize(
    "step",
    ["records_read", "batches_built", "cursors_locked", "entries_copied", "cursors_moved", "committed"],
)
async def test_a_frozen_drainer_loses_its_partitions_and_writes_nothing_when_it_wakes_up(
    books: Draining, step: str
) -> None:
    entries = await some_play(books.feed)
    command = ("-m", "tests.frozen_drainer", books.ledger_dsn, books.valkey_url, "frozen", step)
    async with process(*command, environment={}) as frozen:
        await until_frozen(frozen)
        async with books.draining(books.drainer(drainer_id="b", batch_records=3)):
            await until_owned(books, {"b": 16})
            await books.until_entries(entries)
            before = await books.books()
            frozen.send_signal(signal.SIGCONT)
            await until_owned(books, {"b": 8, "frozen": 8})
            assert await books.books() == before
            await some_play_again(books)
            await books.until_entries(entries + 16)
        frozen.send_signal(signal.SIGTERM)
        await until_ended(frozen)

    assert frozen.returncode == 0
    assert await books.entry_count() == entries + 16
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.quarantine") == 0
    await books.require_sound()


async def some_play_again(books: Draining) -> None:
    """One more entry in each partition."""
    left, number = set(range(16)), 0
    while left:
        wallet = FedWallet(f"late-player-{number}")
        if (partition := books.feed.partition_of(wallet.player)) in left:
            left.remove(partition)
            books.feed.add_later(wallet.player, wallet.opened())
        number += 1
    await books.feed.flush()
