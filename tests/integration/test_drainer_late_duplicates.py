"""A transaction that the ledger had already is recorded under another name, told, and owed back."""

import asyncio
import json
from collections.abc import Callable, Sequence

import asyncpg
import pytest

from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from tests.draining import Draining
from tests.integration.test_drainer_once import Killed, at_step
from tests.outbox_feed import EntryTexts, FedWallet, entry

PLAYER = "player-1"


async def played_wallet(books: Draining) -> FedWallet:
    """In the ledger: records 1-0 to 1-2."""
    wallet = FedWallet(PLAYER)
    await books.feed.add(PLAYER, wallet.opened())
    await books.feed.add(PLAYER, wallet.applied("deposit", "deposit", cash=1000))
    await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-10))
    await books.drain()
    return wallet


async def entries(books: Draining) -> Sequence[asyncpg.Record]:
    return await books.sql.fetch("SELECT * FROM ledger.entries ORDER BY chain_position")


async def incidents(books: Draining) -> Sequence[asyncpg.Record]:
    return await books.sql.fetch("SELECT * FROM ledger.incidents ORDER BY incident_id")


async def repairs(books: Draining) -> Sequence[asyncpg.Record]:
    return await books.sql.fetch("SELECT * FROM ledger.repairs ORDER BY incident_id")


async def require_clean(books: Draining) -> None:
    """Sound in SQL, and to the audit."""
    await books.require_sound()
    audit = Audit(books.ledger_dsn, valkey_url=None)
    findings = [found async for found in audit.run() if isinstance(found, Finding)]
    assert not findings
    assert await books.sql.fetchval("SELECT count(*) FROM ledger.quarantine") == 0


async def test_a_late_duplicate_is_recorded_under_another_name(books: Draining) -> None:
    wallet = await played_wallet(books)
    await books.feed.add(PLAYER, {**wallet.applied("bet-1", "bet", cash=-10), "metadata": '{"table":"7"}'})
    await books.feed.add(PLAYER, wallet.applied("bet-2", "bet", cash=-20))
    before = await books.balances()

    await books.drain()

    partition = books.feed.partition_of(PLAYER)
    *_, duplicate, later = await entries(books)
    assert (duplicate["source_id"], duplicate["transaction_id"]) == (
        "stakehold",
        f"duplicate-{partition}-1-3-0",
    )
    assert duplicate["related_transaction_id"] == "bet-1"
    assert (duplicate["version"], duplicate["kind"], duplicate["cash_change"]) == (4, "bet", -10)
    assert json.loads(duplicate["metadata"]) == {"table": "7", "stakehold.source": "acme"}
    assert later["transaction_id"] == "bet-2"
    balances = await books.balances()
    assert balances["source acme settlement EUR"] == before["source acme settlement EUR"] + 30
    assert balances[f"player {PLAYER} cash EUR"] == 1000 - 10 - 10 - 20
    assert books.metric("stakehold_late_duplicates_total") == 1
    await require_clean(books)


async def test_a_late_duplicate_is_an_incident_and_its_reversal_is_owed(books: Draining) -> None:
    wallet = await played_wallet(books)
    bet = wallet.applied("bet-1", "bet", cash=-10, bonus=3, held=2, receivable=1)
    await books.feed.add(PLAYER, {**bet, "game": "slots", "round": "r1", "amount": "10"})

    await books.drain()

    entry_id = f"{books.feed.partition_of(PLAYER)}-1-3-0"
    (incident,) = await incidents(books)
    assert incident["incident_key"] == f"late_duplicate {entry_id}"
    assert incident["kind"] == "late_duplicate"
    assert (incident["player_id"], incident["source_id"]) == (PLAYER, "acme")
    assert (incident["transaction_id"], incident["entry_id"]) == ("bet-1", entry_id)
    assert "with the same payload" in incident["description"]
    assert f"reversal-{entry_id} undoes that" in incident["description"]
    (repair,) = await repairs(books)
    assert dict(repair) == {
        "player_id": PLAYER,
        "source_id": "stakehold",
        "transaction_id": f"reversal-{entry_id}",
        "partition": books.feed.partition_of(PLAYER),
        "incident_id": incident["incident_id"],
        "operation": "rollback",
        "kind": "bet",
        "fingerprint": repair["fingerprint"],
        "currency": "EUR",
        "amount": 10,
        "cash_change": 10,
        "bonus_change": -3,
        "held_change": -2,
        "receivable_change": -1,
        "game_id": "slots",
        "round_id": "r1",
        "reference_transaction_id": f"duplicate-{entry_id}",
        "metadata": '{"stakehold.source": "acme"}',
        "conversion": None,
    }
    assert len(repair["fingerprint"]) == 22
    await require_clean(books)


async def test_a_reversal_gives_the_source_back_what_the_duplicate_took(books: Draining) -> None:
    wallet = await played_wallet(books)
    before = await books.balances()
    await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-10))
    await books.drain()
    (repair,) = await repairs(books)

    wallet.source = "stakehold"
    reversal = wallet.applied(repair["transaction_id"], "bet", operation="rollback", amount=10, cash=10)
    await books.feed.add(
        PLAYER,
        {**reversal, "metadata": repair["metadata"], "reference": repair["reference_transaction_id"]},
    )
    await books.drain()

    assert await books.balances() == before
    await require_clean(books)


@pytest.mark.parametrize("batch_records", [1, 100])
async def test_duplicates_of_duplicates_in_one_outbox_are_all_found(
    books: Draining, batch_records: int
) -> None:
    wallet = await played_wallet(books)
    await books.feed.add(PLAYER, wallet.applied("bet-2", "bet", cash=-1))
    await books.feed.add(
        PLAYER,
        wallet.applied("bet-2", "bet", cash=-1),
        wallet.applied("win-2", "win", cash=5),
        wallet.applied("bet-1", "bet", cash=-10),
    )
    await books.feed.add(PLAYER, wallet.applied("bet-2", "bet", cash=-2))
    await books.feed.add(PLAYER, wallet.applied("win-2", "win", cash=5))
    await books.feed.add(PLAYER, wallet.applied("bet-3", "bet", cash=-1))

    await books.drain(batch_records=batch_records)

    names = [row["transaction_id"] for row in await entries(books)][3:]
    partition = books.feed.partition_of(PLAYER)
    assert names == [
        "bet-2",
        f"duplicate-{partition}-1-4-0",
        "win-2",
        f"duplicate-{partition}-1-4-2",
        f"duplicate-{partition}-1-5-0",
        f"duplicate-{partition}-1-6-0",
        "bet-3",
    ]
    told = [row["description"] for row in await incidents(books)]
    assert len(told) == len(await repairs(books)) == 4
    assert all(f"as entry {partition}-1-3-0, was" in told[index] for index in (0, 2))
    await require_clean(books)


def refusal(wallet: FedWallet) -> EntryTexts:
    return wallet.refused("bet-1", "bet", reason="INSUFFICIENT_FUNDS", amount=99)


def no_movement(wallet: FedWallet) -> EntryTexts:
    return entry(
        type="no_movement", operation="rollback", source="acme", transaction_id="bet-1", kind="rollback",
        fingerprint="f", reference="bet-0", outcome="no_original",
    )  # fmt: skip


def tombstone(wallet: FedWallet) -> EntryTexts:
    return entry(
        type="tombstone", operation="debit", source="acme", transaction_id="bet-1", fingerprint="f",
        related="rollback-1",
    )  # fmt: skip


@pytest.mark.parametrize("make", [refusal, no_movement, tombstone])
async def test_a_late_duplicate_that_moved_nothing_owes_nothing(
    books: Draining, make: Callable[[FedWallet], EntryTexts]
) -> None:
    wallet = await played_wallet(books)
    await books.feed.add(PLAYER, make(wallet))

    await books.drain()

    (incident,) = await incidents(books)
    assert "with another payload" in incident["description"] or make is refusal
    assert "which moved nothing" in incident["description"]
    assert await repairs(books) == []
    await require_clean(books)


async def test_late_duplicates_are_displaced_beside_a_record_that_is_refused(books: Draining) -> None:
    wallet = await played_wallet(books)
    await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-10))
    wallet.version += 1
    await books.feed.add(PLAYER, wallet.applied("bet-2", "bet", cash=-1))

    with pytest.raises(Exception, match="VersionGap"):
        await books.drain()

    assert len(await incidents(books)) == len(await repairs(books)) == 1
    await books.require_sound()


async def test_what_is_rolled_back_leaves_neither_incident_nor_repair(books: Draining) -> None:
    wallet = await played_wallet(books)
    await books.feed.add(PLAYER, wallet.applied("bet-1", "bet", cash=-10))

    async def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        await books.drainer(between_steps=at_step("cursors_moved", die, occurrence=1)).run(
            asyncio.Event(), until_empty=True
        )
    assert await incidents(books) == []

    await books.drain()

    assert len(await incidents(books)) == len(await repairs(books)) == 1
    await require_clean(books)
