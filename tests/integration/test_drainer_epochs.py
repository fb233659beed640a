"""The drainer goes from epoch to epoch as the ledger says, and records nothing that was forked off."""

import asyncio

import pytest

from persistence.drain_batch import build_batch
from persistence.errors import CursorMoved, LedgerBroken
from tests.draining import Draining
from tests.outbox_feed import FedWallet
from tests.waiting import until

PLAYER = "player-1"


async def opened_wallet(books: Draining) -> FedWallet:
    """Two records: 1-0 and 1-1."""
    wallet = FedWallet(PLAYER)
    await books.feed.add(PLAYER, wallet.opened())
    await books.feed.add(PLAYER, wallet.applied("deposit", "deposit", cash=100))
    return wallet


async def bet(books: Draining, wallet: FedWallet, transaction_id: str, *, epoch: int) -> str:
    books.feed.epoch = epoch
    return await books.feed.add(PLAYER, wallet.applied(transaction_id, "bet", cash=-1))


async def cursor(books: Draining) -> str:
    row = await books.sql.fetchrow(
        "SELECT cursor_epoch || '-' || cursor_sequence AS cursor FROM ledger.partitions WHERE partition = $1",
        books.feed.partition_of(PLAYER),
    )
    assert row is not None
    return str(row["cursor"])


async def quarantined(books: Draining) -> list[tuple[str, str]]:
    rows = await books.sql.fetch("SELECT epoch || '-' || sequence AS record, reason FROM ledger.quarantine")
    return [(row["record"], row["reason"]) for row in rows]


async def test_records_of_several_epochs_are_drained_in_order(books: Draining) -> None:
    wallet, partition = await opened_wallet(books), books.feed.partition_of(PLAYER)
    await books.adopt(partition, 2, follows="1-1")
    await bet(books, wallet, "bet-1", epoch=2)
    await bet(books, wallet, "bet-2", epoch=2)
    await books.adopt(partition, 3, follows="2-1")
    await books.adopt(partition, 4, follows="2-1")
    await bet(books, wallet, "bet-3", epoch=4)

    await books.drain(batch_records=2)

    assert await cursor(books) == "4-0"
    assert await books.entry_count() == 5
    assert sum(await books.feed.lengths()) == 0
    await books.require_sound()


async def test_a_first_record_is_found_where_the_records_before_it_are_lost(books: Draining) -> None:
    wallet, partition = await opened_wallet(books), books.feed.partition_of(PLAYER)
    await books.drain()
    await books.adopt(partition, 2, follows="1-1")
    await bet(books, wallet, "bet-1", epoch=2)

    await books.drain()

    assert await cursor(books) == "2-0"
    await books.require_sound()


async def test_an_epoch_that_follows_a_lost_record_is_a_gap(books: Draining) -> None:
    wallet, partition = await opened_wallet(books), books.feed.partition_of(PLAYER)
    await books.adopt(partition, 2, follows="1-5")
    await bet(books, wallet, "bet-1", epoch=2)

    with pytest.raises(LedgerBroken, match="drained up to 1-1, and its outbox goes on with 2-0"):
        await books.drain()

    assert await quarantined(books) == [("2-0", "OutboxGap")]
    assert await cursor(books) == "1-1"


async def test_what_was_forked_off_is_never_recorded(books: Draining) -> None:
    wallet, partition = await opened_wallet(books), books.feed.partition_of(PLAYER)
    await bet(books, wallet, "forked", epoch=1)
    await books.adopt(partition, 2, follows="1-1")

    with pytest.raises(LedgerBroken, match=r"record 1-2 of partition .* is not of its history"):
        await books.drain()

    assert await quarantined(books) == [("1-2", "HistoryForked")]
    assert await books.entry_count() == 2
    await books.require_sound()


async def test_an_adoption_by_anybody_makes_the_next_write_fail(books: Draining) -> None:
    await opened_wallet(books)
    partition = books.feed.partition_of(PLAYER)
    records = (await books.raw_records())[partition]
    before = await books.books()

    async with books.claimant("anybody") as claimant:
        (state,) = await claimant.take(partition)
        await books.adopt(partition, 2, follows="1-0")
        with pytest.raises(CursorMoved):
            await claimant.writer.write([build_batch(state, records, partition_count=16)])

    assert await books.books() == before


async def test_after_an_adoption_draining_goes_on_at_once(books: Draining) -> None:
    wallet, partition = await opened_wallet(books), books.feed.partition_of(PLAYER)
    adopted = False

    async def adopt(step: str) -> None:
        nonlocal adopted
        if step == "batches_built" and not adopted:
            adopted = True
            await books.adopt(partition, 2, follows="1-1")

    drainer = books.drainer(between_steps=adopt, claim_interval_s=60.0)
    async with books.draining(drainer):
        await books.until_entries(2)
        await bet(books, wallet, "bet-1", epoch=2)
        await books.until_entries(3)

    assert await cursor(books) == "2-0"
    assert await quarantined(books) == []
    await books.require_sound()


async def test_a_drainer_that_waits_for_an_adoption_goes_on_after_it(books: Draining) -> None:
    wallet, partition = await opened_wallet(books), books.feed.partition_of(PLAYER)

    async def waits() -> bool:
        waiting = books.metric("stakehold_drain_waiting", partition=str(partition))
        return waiting == 1 and not books.metric("stakehold_drain_owned", partition=str(partition))

    async with books.draining():
        await books.until_entries(2)
        await books.plant(partition, 7)
        await until(waits, what="the partition waits and nobody has it")
        await books.adopt(partition, 2, follows="1-1")
        await bet(books, wallet, "bet-1", epoch=2)
        await books.until_entries(3)

    assert books.metric("stakehold_drain_waiting", partition=str(partition)) == 0
    assert await quarantined(books) == []
    await books.require_sound()


async def test_what_waits_for_an_adoption_is_not_empty(books: Draining) -> None:
    await opened_wallet(books)
    partition = books.feed.partition_of(PLAYER)
    await books.adopt(partition, 2, follows="1-1", planted=False)

    with pytest.raises(LedgerBroken, match=rf"1 partitions wait .* partition {partition}: the ledger is"):
        await books.drain()

    stop = asyncio.Event()
    task = asyncio.create_task(books.drainer().run(stop))
    await asyncio.sleep(0)
    stop.set()
    await task
    assert await books.entry_count() == 0
