"""What cannot be applied is kept and stops its partition; nothing is ever skipped."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import asyncpg
import pytest

from persistence.errors import LedgerBroken
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import redrive
from persistence.valkey.keys import epoch_key, outbox_key
from tests.draining import Draining, some_play
from tests.outbox_feed import EntryTexts, FedWallet, entry, record_fields
from tests.waiting import until

PLAYER = "player-1"


async def drain_and_stop(books: Draining, *, batch_records: int = 100) -> str:
    """Drains what can be drained, and returns why the rest cannot."""
    with pytest.raises(LedgerBroken) as broken:
        await books.drain(batch_records=batch_records)
    return str(broken.value)


async def quarantined(books: Draining) -> Sequence[asyncpg.Record]:
    return await books.sql.fetch("SELECT * FROM ledger.quarantine ORDER BY quarantine_id")


async def opened_wallet(books: Draining) -> FedWallet:
    wallet = FedWallet(PLAYER)
    await books.feed.add(PLAYER, wallet.opened())
    await books.feed.add(PLAYER, wallet.applied("deposit", "deposit", cash=100))
    return wallet


async def test_a_gap_in_the_stream_stops_the_partition_and_the_others_go_on(books: Draining) -> None:
    wallet = await opened_wallet(books)
    partition = books.feed.partition_of(PLAYER)
    fields = record_fields(PLAYER, [wallet.applied("bet", "bet", cash=-1)])
    await books.feed.add_raw(partition, fields, stream_id="1-3")
    others = await some_play(books.feed, players=8)

    why = await drain_and_stop(books)

    assert "is drained up to 1-1, and its outbox goes on with 1-3" in why
    (kept,) = await quarantined(books)
    assert (kept["partition"], kept["epoch"], kept["sequence"]) == (partition, 1, 3)
    assert kept["reason"] == "OutboxGap"
    assert [field.decode() for field in kept["fields"]] == fields
    assert kept["resolved_time"] is None
    same_partition = await books.sql.fetchval(
        "SELECT count(*) FROM ledger.entries WHERE partition = $1", partition
    )
    assert same_partition == 2
    assert await books.entry_count() >= others - 40
    assert books.metric("stakehold_quarantined_records_total", reason="OutboxGap") == 1
    assert books.metric("stakehold_drain_stopped", partition=str(partition)) == 1
    await books.require_sound()


GOOD = entry(
    type="refused", operation="debit", source="acme", transaction_id="x", kind="bet", fingerprint="f",
    currency="EUR", amount="1", reason="INSUFFICIENT_FUNDS",
)  # fmt: skip
FIELDS = record_fields(PLAYER, [GOOD])


def with_entry(**texts: str) -> list[str]:
    return record_fields(PLAYER, [{**GOOD, **texts}])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (["format", "2", *FIELDS[2:]], "unknown format"),
        (["a", "b"], "unknown format"),
        (FIELDS[:6], "no entries"),
        ([*FIELDS[:6], "entry", "one field"], "1 entry fields instead of"),
        ([*FIELDS, "later", "field"], "no entries"),
        ([*FIELDS[:6], "entry", "one field", "note:trace", "x"], "1 entry fields instead of"),
        ([*FIELDS[:3], "yesterday", *FIELDS[4:]], "invalid literal"),
        ([*FIELDS[:5], "player-2", *FIELDS[6:]], "player player-2 is of partition"),
        (with_entry(type="rumoured"), "rumoured"),
        (with_entry(amount="1e3"), "invalid literal"),
        (with_entry(metadata="{"), "Expecting property name"),
        (with_entry(occurred_ms=str(10**18)), "is no time that a calendar has"),
        (with_entry(type="applied", cash_change="5", kind="rollback"), "other side of kind rollback"),
        (with_entry(type="applied", version="3"), "lacks its currency, its version or its balances"),
    ],
    ids=str,
)
async def test_a_malformed_record_is_kept_as_it_is(books: Draining, fields: list[str], problem: str) -> None:
    await opened_wallet(books)
    await books.feed.add_raw(books.feed.partition_of(PLAYER), fields)

    why = await drain_and_stop(books)

    assert problem in why
    (kept,) = await quarantined(books)
    assert kept["reason"] == "OutboxRecordMalformed"
    assert [field.decode() for field in kept["fields"]] == fields
    assert await books.entry_count() == 2


async def test_bytes_that_are_no_text_are_kept_as_they_are(books: Draining) -> None:
    await books.feed.add_raw(3, [b"format", b"\xff\x00"])

    await drain_and_stop(books)

    (kept,) = await quarantined(books)
    assert kept["fields"] == [b"format", b"\xff\x00"]


def later_version(wallet: FedWallet) -> EntryTexts:
    wallet.version += 1
    return wallet.applied("late", "bet", cash=-1)


def wrong_balance(wallet: FedWallet) -> EntryTexts:
    wallet.balances["cash"] += 1
    return wallet.applied("wrong", "bet", cash=-1)


def bonus_from_nowhere(wallet: FedWallet) -> EntryTexts:
    wallet.balances["bonus"] += 1
    return wallet.applied("wrong", "bet", cash=-1)


def too_long(wallet: FedWallet) -> EntryTexts:
    return wallet.applied("big", "deposit", cash=10**38)


REFUSED_BY_THE_LEDGER = {
    "a version is left out": (later_version, "VersionGap"),
    "the balances are not what was posted": (wrong_balance, "DriftDetected"),
    "a bonus appears from nowhere": (bonus_from_nowhere, "DriftDetected"),
    "a value is too long for the ledger": (too_long, "EntryRefused"),
}


@pytest.mark.parametrize("case", REFUSED_BY_THE_LEDGER)
@pytest.mark.parametrize("in_one_batch", [True, False], ids=["in one batch", "in a later batch"])
async def test_a_record_that_the_ledger_refuses_is_found_among_good_ones(
    books: Draining, case: str, in_one_batch: bool
) -> None:
    make, reason = REFUSED_BY_THE_LEDGER[case]
    wallet = await opened_wallet(books)
    for number in range(7):
        await books.feed.add(PLAYER, wallet.applied(f"bet-{number}", "bet", cash=-1))
    if not in_one_batch:
        await books.drain()
    broken = await books.feed.add(PLAYER, make(wallet))
    for number in range(5):
        await books.feed.add(PLAYER, wallet.applied(f"after-{number}", "bet", cash=-1))

    await drain_and_stop(books)

    assert await books.entry_count() == 9
    (kept,) = await quarantined(books)
    assert f"{kept['epoch']}-{kept['sequence']}" == broken
    assert kept["reason"] == reason
    assert (await books.feed.lengths())[books.feed.partition_of(PLAYER)] == 6
    await books.require_sound()


async def test_a_stopped_partition_stays_stopped_until_it_is_redriven(books: Draining) -> None:
    wallet = await opened_wallet(books)
    await books.sql.execute(
        "ALTER TABLE ledger.entries ADD CONSTRAINT no_bets_on_sundays CHECK (kind <> 'bet' OR kind IS NULL)"
    )
    await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-1))
    await books.feed.add(PLAYER, wallet.applied("bet-2", "bet", cash=-1))
    assert "no_bets_on_sundays" in await drain_and_stop(books)
    await books.sql.execute("ALTER TABLE ledger.entries DROP CONSTRAINT no_bets_on_sundays")

    await drain_and_stop(books)
    assert await books.entry_count() == 2

    assert await redriven(books)
    await books.drain()

    assert await books.entry_count() == 4
    (kept,) = await quarantined(books)
    assert kept["resolved_time"] is not None
    assert not await redriven(books)
    await books.require_sound()


async def test_a_running_drainer_takes_up_a_redriven_partition(books: Draining) -> None:
    wallet = await opened_wallet(books)
    await books.sql.execute(
        "ALTER TABLE ledger.entries ADD CONSTRAINT no_bets_on_sundays CHECK (kind <> 'bet' OR kind IS NULL)"
    )
    await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-1))

    async def is_quarantined() -> bool:
        return len(await quarantined(books)) == 1

    async with books.draining():
        await until(is_quarantined, what="the bet is in quarantine")
        await books.sql.execute("ALTER TABLE ledger.entries DROP CONSTRAINT no_bets_on_sundays")
        assert await redriven(books)
        await books.until_entries(3)

    assert books.metric("stakehold_drain_stopped", partition=str(books.feed.partition_of(PLAYER))) == 0


async def test_a_record_that_is_refused_again_waits_in_quarantine_once(books: Draining) -> None:
    await books.feed.add_raw(books.feed.partition_of(PLAYER), ["nonsense", "x"])
    await drain_and_stop(books)

    assert await redriven(books)
    await drain_and_stop(books)

    assert len(await quarantined(books)) == 1


@pytest.mark.parametrize(
    "loss", ["everything", "the newest records", "the epoch", "the ledger", "the witness"]
)
async def test_a_store_that_lost_what_was_drained_is_not_followed(books: Draining, loss: str) -> None:
    wallet = await opened_wallet(books)
    await books.drain()
    before = await books.books()
    partition = books.feed.partition_of(PLAYER)
    if loss == "everything":
        await books.feed.client.flushdb()
    elif loss == "the newest records":
        await books.feed.client.delete(outbox_key(partition))
        await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-1))
    else:
        ledger_id = await books.sql.fetchval("SELECT ledger_id FROM ledger.settings")
        other = {"the epoch": f"2 {ledger_id}", "the ledger": f"1 {uuid4()}", "the witness": "x"}
        await books.feed.client.set(epoch_key(partition), other[loss])

    why = await drain_and_stop(books)

    assert f"partition {partition}: the ledger is" in why
    assert await books.books() == before
    assert not await quarantined(books)


async def test_a_store_that_loses_its_data_while_it_is_drained_is_not_followed(books: Draining) -> None:
    await opened_wallet(books)
    stop = asyncio.Event()
    task = asyncio.create_task(books.drainer().run(stop))
    await books.until_entries(2)
    await books.feed.client.flushdb()
    partition = books.feed.partition_of(PLAYER)

    async def waits() -> bool:
        return books.metric("stakehold_drain_waiting", partition=str(partition)) == 1

    await until(waits, what="the partition waits")
    stop.set()
    await task
    assert books.metric("stakehold_drain_stopped", partition=str(partition)) == 0
    assert books.metric("stakehold_drain_owned", partition=str(partition)) == 0


async def redriven(books: Draining) -> bool:
    """Redrives the player's partition; whether it had been stopped."""
    async with ledger_connection(
        books.ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=5.0
    ) as connection:
        return await redrive(connection, books.feed.partition_of(PLAYER))
