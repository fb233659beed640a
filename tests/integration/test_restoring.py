"""Entries that stand are booked once more, whatever the wallet has by now."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from persistence.calls import RestoreOutcome, Step
from persistence.errors import RefusalReason
from persistence.outbox import OutboxEntry
from persistence.slips import Slip, SlipState
from persistence.transactions import Buckets, CurrencyCode, Operation, TransactionId
from service.embedded import EmbeddedValkey
from tests.engine_calls import PLAYER, House, bet, deposit, house, rollback
from tests.hot_path import PATIENCE_S, moment
from tests.slip_steps import capture, hold, release, resettle, settle


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


SLIP = hold("s", 60)


async def lost(table: House, *steps: Step) -> list[OutboxEntry]:
    """Steps on slips that were answered, each by itself, and then undone as if they had never been."""
    before = await table.store.dump(TABLE_KEYS[0]), await table.store.dump(TABLE_KEYS[1])
    entries = []
    for step in steps:
        await table.play(step)
        entries.append(await newest(table))
    for key, contents in zip(TABLE_KEYS, before, strict=True):
        await table.store.restore(key, 0, contents or b"", replace=True)
    return entries


async def all_restored(table: House, entries: list[OutboxEntry]) -> list[RestoreOutcome]:
    return [await restored(table, entry) for entry in entries]


async def slip_now(table: House) -> Slip:
    [replay] = await table.play(SLIP)
    assert replay.slip is not None
    return replay.slip


async def test_lost_answers_on_a_slip_are_booked_again_one_after_the_other(table: House) -> None:
    await table.play(SLIP)
    steps = [
        capture("c1", "s", 10),
        capture("c2", "s", 20, is_final=True),
        settle("w", "s", 45),
        rollback("x", "w"),
        rollback("xx", "x"),
        resettle("w2", "s", 50),
    ]
    entries = await lost(table, *steps)
    await table.play(bet("b1", 30))

    assert await all_restored(table, entries) == [RestoreOutcome.BOOKED] * len(steps)

    slip = await slip_now(table)
    assert (slip.state, slip.held, slip.staked, slip.paid, slip.last) == (SlipState.SETTLED, 0, 30, 50, "w2")
    assert await cash(table) == (90, 10)
    assert await all_restored(table, entries) == [RestoreOutcome.KNOWN] * len(steps)
    await table.play(rollback("y", "w2"), rollback("y2", "w"))
    assert (await slip_now(table)).state is SlipState.OPEN


async def test_a_lost_slip_is_booked_again_with_all_that_was_done_on_it(table: House) -> None:
    entries = await lost(table, SLIP, capture("c1", "s", 10), release("r", "s"))

    assert await all_restored(table, entries) == [RestoreOutcome.BOOKED] * 3

    slip = await slip_now(table)
    assert (slip.state, slip.held, slip.staked) == (SlipState.OPEN, 0, 10)
    assert await cash(table) == (90, 5)


FORKS = {
    "captures": ([capture("c1", "s", 5), capture("c2", "s", 5)], [release("r", "s", 40)]),
    "a rollback": ([capture("c1", "s", 5), rollback("x1", "c1")], [release("r", "s", 40)]),
    "several": (
        [capture("c1", "s", 5), capture("c2", "s", 5), capture("c3", "s", 5)],
        [release("r", "s", 30), release("r2", "s", 10)],
    ),
    "settlements": (
        [
            capture("c1", "s", 60),
            settle("w1", "s", 7, is_final=False),
            settle("w2", "s", 3),
        ],
        [capture("k1", "s", 60), settle("w3", "s", 5, is_final=False)],
    ),
}


@pytest.mark.parametrize(("cut_off", "since"), FORKS.values(), ids=FORKS)
async def test_nothing_is_booked_again_on_a_slip_that_has_changed_otherwise_since(
    table: House, cut_off: list[Step], since: list[Step]
) -> None:
    """Not even what would be the next version: it is built on what was not booked."""
    await table.play(SLIP)
    entries = await lost(table, *cut_off)
    for step in since:
        await table.play(step)
    before = await slip_now(table), await cash(table)

    told = await all_restored(table, entries)

    assert set(told) <= {RestoreOutcome.SLIP_MOVED_ON, RestoreOutcome.NO_ORIGINAL}
    assert (await slip_now(table), await cash(table)) == before


async def test_nothing_is_booked_again_on_a_slip_that_was_cancelled_since(table: House) -> None:
    await table.play(SLIP)
    entries = await lost(table, capture("c1", "s", 5))
    await table.play(rollback("x", "s"))

    assert await all_restored(table, entries) == [RestoreOutcome.ROLLED_BACK]
    assert await cash(table) == (100, 4)
