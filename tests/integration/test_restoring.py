"""Entries that stand are booked once more, whatever the wallet has by now."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from persistence.calls import RestoreOutcome
from persistence.errors import RefusalReason
from persistence.outbox import OutboxEntry
from persistence.transactions import Buckets, CurrencyCode, Operation, TransactionId
from service.embedded import EmbeddedValkey
from tests.engine_calls import PLAYER, House, bet, deposit, house, rollback
from tests.hot_path import PATIENCE_S, moment


@pytest_asyncio.fixture
async def table(valkey: EmbeddedValkey) -> AsyncIterator[House]:
    """One player with 100 cents."""
    async with house(valkey) as made:
        await made.open()
        await made.play(deposit("start", 100))
        yield made


async def newest(table: House) -> OutboxEntry:
    return (await table.records())[-1].entries[-1]


async def restored(table: House, entry: OutboxEntry) -> RestoreOutcome:
    return await table.engine.restore(PLAYER, entry, deadline=moment(PATIENCE_S))


async def lost_bet(table: House) -> OutboxEntry:
    """A bet of 60 that was answered, and then undone as if it had never been."""
    before = await table.store.dump(TABLE_KEYS[0]), await table.store.dump(TABLE_KEYS[1])
    await table.play(bet("lost", 60))
    entry = await newest(table)
    for key, contents in zip(TABLE_KEYS, before, strict=True):
        await table.store.restore(key, 0, contents or b"", replace=True)
    return entry


TABLE_KEYS = ("{w0}:wallets:p1", "{w0}:ids:p1")


async def cash(table: House) -> tuple[int, int]:
    [wallet] = (await table.engine.read_player(PLAYER, deadline=moment(PATIENCE_S))).balances
    return wallet.buckets.cash, wallet.version


async def test_a_lost_bet_is_booked_with_the_next_version_and_its_own_id(table: House) -> None:
    entry = await lost_bet(table)
    await table.play(bet("b1", 30))

    assert await restored(table, entry) is RestoreOutcome.BOOKED

    assert await cash(table) == (10, 4)
    kept = await newest(table)
    assert kept == replace(entry, version=4, wallet_version=4, after=Buckets(10))
    [replay] = await table.play(bet("lost", 60))
    assert replay.replayed


async def test_it_may_take_the_wallet_below_its_floor(table: House) -> None:
    entry = await lost_bet(table)
    await table.play(bet("b1", 70))

    assert await restored(table, entry) is RestoreOutcome.BOOKED

    assert await cash(table) == (-30, 4)
    assert (await table.refused(bet("b2", 1))).reason is RefusalReason.INSUFFICIENT_FUNDS


async def test_what_is_known_is_not_booked_again(table: House) -> None:
    entry = await lost_bet(table)
    await table.play(bet("lost", 60))
    before = await table.contents()

    assert await restored(table, entry) is RestoreOutcome.KNOWN

    assert await table.contents() == before


async def test_a_rollback_is_not_booked_where_its_original_is_undone_already(table: House) -> None:
    await table.play(bet("b1", 10))
    await table.play(rollback("u1", "b1"))
    entry = replace(await newest(table), transaction_id=TransactionId("u2"))

    assert await restored(table, entry) is RestoreOutcome.ROLLED_BACK
    assert await cash(table) == (100, 4)


async def test_a_restored_rollback_undoes_its_original_for_good(table: House) -> None:
    await table.play(bet("b1", 10))
    entry = await newest(table)
    undoing = replace(
        entry,
        operation=Operation.ROLLBACK,
        transaction_id=TransactionId("u1"),
        reference="b1",
        change=Buckets(10),
    )

    assert await restored(table, undoing) is RestoreOutcome.BOOKED

    assert await cash(table) == (100, 4)
    assert (await table.refused(bet("b1", 10))).reason is RefusalReason.TRANSACTION_ROLLED_BACK


async def test_a_rollback_is_not_booked_where_its_original_never_was(table: House) -> None:
    entry = await lost_bet(table)
    undoing = replace(
        entry,
        operation=Operation.ROLLBACK,
        transaction_id=TransactionId("u1"),
        reference="lost",
        change=Buckets(60),
    )
    before = await table.contents()

    assert await restored(table, undoing) is RestoreOutcome.NO_ORIGINAL

    assert await table.contents() == before


async def test_a_lost_refusal_of_a_rollback_that_names_no_currency_is_given_again(table: House) -> None:
    await table.refused(rollback("u1", "b1"), bet("b2", 1000))
    undone, _ = (await table.records())[-1].entries
    await table.store.delete(TABLE_KEYS[1])

    assert await restored(table, undone) is RestoreOutcome.BOOKED

    assert await newest(table) == undone
    again = await table.refused(rollback("u1", "b1"))
    assert (again.reason, again.replayed) == (RefusalReason.INSUFFICIENT_FUNDS, True)


async def test_a_lost_tombstone_is_remembered_again(table: House) -> None:
    await table.play(rollback("u1", "b1"))
    [undone, tombstone] = (await table.records())[-1].entries
    for key in TABLE_KEYS[1:]:
        await table.store.delete(key)

    for entry in (undone, tombstone):
        assert await restored(table, entry) is RestoreOutcome.BOOKED

    assert (await table.refused(bet("b1", 10))).reason is RefusalReason.TRANSACTION_ROLLED_BACK


async def test_a_lost_refusal_is_given_again(table: House) -> None:
    await table.refused(bet("b1", 1000))
    entry = await newest(table)
    for key in TABLE_KEYS[1:]:
        await table.store.delete(key)

    assert await restored(table, entry) is RestoreOutcome.BOOKED

    again = await table.refused(bet("b1", 1000))
    assert (again.reason, again.replayed) == (RefusalReason.INSUFFICIENT_FUNDS, True)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"currency": CurrencyCode("USD")}, RestoreOutcome.NO_WALLET),
        ({"change": Buckets(10**36 - 1)}, RestoreOutcome.OVERFLOW),
    ],
)
async def test_what_cannot_be_booked_changes_nothing(
    table: House, change: dict[str, object], outcome: RestoreOutcome
) -> None:
    entry = replace(await lost_bet(table), **change)  # type: ignore[arg-type]
    before = await table.contents()

    assert await restored(table, entry) is outcome

    assert await table.contents() == before
