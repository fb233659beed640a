"""What the engine leaves behind: versions, positions and times, in the outbox and in the wallets."""

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest_asyncio

from persistence.calls import Call, Step, TransactionState
from persistence.errors import Refused
from persistence.outbox import OutboxEntry
from persistence.transactions import (
    SEPARATOR,
    Buckets,
    EntryId,
    EntryType,
    OutboxPosition,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
)
from persistence.valkey.keys import player_keys
from service.embedded import EmbeddedValkey
from tests.engine_calls import (
    EPOCH,
    EUR,
    GAMES,
    PLAYER,
    USD,
    House,
    bet,
    deposit,
    house,
    rollback,
    win,
)
from tests.hot_path import PATIENCE_S, a_few_turns, moment

KEYS = player_keys(0, PLAYER)


@pytest_asyncio.fixture
async def table(valkey: EmbeddedValkey) -> AsyncIterator[House]:
    """A player with 100 in EUR and an open wallet in USD."""
    async with house(valkey) as made:
        await made.open()
        await made.open(currency=USD)
        await made.play(deposit("start", 100))
        yield made


async def test_a_calls_effect_is_one_record_with_an_entry_for_each_step(table: House) -> None:
    results = await table.play(bet("b1", 10, round_="r1"), win("w1", 25, of="b1"), rollback("u1", "never"))

    record = (await table.records())[-1]
    assert record.player == PLAYER
    assert [(entry.type, entry.transaction_id, entry.version) for entry in record.entries] == [
        (EntryType.APPLIED, "b1", 3),
        (EntryType.APPLIED, "w1", 4),
        (EntryType.NO_MOVEMENT, "u1", None),
        (EntryType.TOMBSTONE, "never", None),
    ]
    assert [result.entry_id for result in results] == [f"0-{record.position}-{index}" for index in range(3)]
    assert {result.booked_ms for result in results} == {record.booked_ms}
    assert [result.outcome for result in results] == [Outcome.APPLIED, Outcome.APPLIED, Outcome.NO_ORIGINAL]


async def test_positions_are_contiguous_from_zero_in_the_partitions_epoch(table: House) -> None:
    for number in range(5):
        await table.play(bet(f"b{number}", 1))
        await table.refused(bet(f"x{number}", 1000))
        await table.play(bet(f"b{number}", 1))

    positions = [record.position for record in await table.records()]
    assert positions == [OutboxPosition(EPOCH, sequence) for sequence in range(len(positions))]
    assert len(positions) == 3 + 2 * 5


async def test_whatever_is_played_the_outbox_tells_it_without_a_gap(table: House) -> None:
    dice = random.Random(20261121)
    players = [PlayerId(f"p{number}") for number in range(3)]
    for player in players[1:]:
        await table.open(player)
        await table.open(player, USD)
    for _ in range(700):
        steps = [chosen(dice) for _ in range(dice.choice((1, 1, 1, 2, 4)))]
        with suppress(Refused):
            await table.play(*steps, player=dice.choice(players))

    told = defaultdict[tuple[PlayerId, str], list[OutboxEntry]](list)
    for record in await table.records():
        for entry in record.entries:
            if entry.version is not None:
                told[record.player, str(entry.currency)].append(entry)
    for (player, currency), entries in told.items():
        assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
        assert all(entry.after == balance for entry, balance in zip(entries, summed(entries), strict=True))
        (now,) = (
            balance
            for balance in (await table.engine.read_player(player, deadline=moment(PATIENCE_S))).balances
            if balance.currency == currency
        )
        assert (now.version, now.buckets) == (entries[-1].version, entries[-1].after)
    assert sum(map(len, told.values())) > 200


def chosen(dice: random.Random) -> Step:
    """A step that may or may not be legal."""
    currency = dice.choice((EUR, USD))
    name, other, round_ = (f"{letter}{dice.randrange(300)}" for letter in "ttr")
    return dice.choice(
        (
            lambda: deposit(name, dice.randrange(500), currency),
            lambda: bet(name, dice.randrange(100), currency, round_=round_),
            lambda: win(name, dice.randrange(100), currency, of=dice.choice((other, ""))),
            lambda: rollback(name, other),
        )
    )()


def summed(entries: list[OutboxEntry]) -> list[Buckets]:
    balances, cash = [], 0
    for entry in entries:
        cash += entry.change.cash
        balances.append(Buckets(cash))
    return balances


async def test_booked_time_never_goes_back_within_a_wallet(table: House) -> None:
    future_ms = (await table.records())[-1].booked_ms + 3_600_000
    text = cast("bytes", await table.store.hget(KEYS.wallets, EUR)).decode()
    await table.store.hset(KEYS.wallets, EUR, f"{text.rpartition(SEPARATOR)[0]}{SEPARATOR}{future_ms}")

    (there,) = await table.play(bet("b1", 10))
    (elsewhere,) = await table.play(deposit("d1", 10, USD))
    both = await table.play(deposit("d2", 10, USD), bet("b2", 10))
    (afterwards,) = await table.play(deposit("d3", 10, USD))
    refusal = await table.refused(bet("b3", 1000))

    assert there.booked_ms == future_ms
    assert elsewhere.booked_ms < future_ms
    assert {result.booked_ms for result in both} == {future_ms}
    assert afterwards.booked_ms == future_ms
    assert refusal.entry_id
    assert (await table.records())[-1].booked_ms == future_ms


async def test_what_was_answered_is_what_is_remembered(table: House) -> None:
    (result,) = await table.play(replace(bet("b1", 10, round_="r1"), metadata='{"k":"v"}', occurred_ms=5))

    view = await table.engine.read_player(
        PLAYER, transaction=(GAMES.source_id, TransactionId("b1")), deadline=moment(PATIENCE_S)
    )

    record = view.transaction
    assert record is not None
    assert (record.state, record.outcome) == (TransactionState.APPLIED, Outcome.APPLIED)
    assert (record.entry_id, record.booked_ms) == (result.entry_id, result.booked_ms)
    assert (record.balance, record.balance_now) == (result.balance_after, result.balance_now)
    assert (record.amount, record.game, record.round) == (10, "g", "r1")
    assert [balance.currency for balance in view.balances] == [EUR, USD]
    (entry,) = (await table.records())[-1].entries
    assert (entry.metadata, entry.occurred_ms, entry.round) == ({"k": "v"}, 5, "r1")
    assert str(EntryId.parse(result.entry_id)) == result.entry_id


async def test_players_and_sources_share_nothing_but_the_outbox(table: House) -> None:
    other = PlayerId("p2")
    await table.open(other)
    await table.play(deposit("start", 50), player=other)
    await table.play(bet("b1", 10))
    before = await table.contents()

    (result,) = await table.play(bet("b1", 20), player=other)

    assert not result.replayed
    after = await table.contents()
    theirs = player_keys(0, other)
    assert {key.decode() for key in after if after[key] != before.get(key)} == {
        theirs.outbox, theirs.wallets, theirs.ids,
    }  # fmt: skip
    call = Call(PLAYER, replace(GAMES, source_id=SourceId("slots")), (bet("b1", 30),))
    (elsewhere,) = await table.engine.transact(call, deadline=moment(PATIENCE_S))
    assert (elsewhere.replayed, elsewhere.balance_now and elsewhere.balance_now.buckets) == (
        False,
        Buckets(60),
    )


async def test_the_retry_of_a_call_that_was_cancelled_after_it_was_sent_replays(
    private_valkey: EmbeddedValkey,
) -> None:
    async with house(private_valkey) as table:
        await table.open()
        await table.play(deposit("start", 100))
        private_valkey.process.send_signal(signal.SIGSTOP)
        given_up = asyncio.create_task(table.play(bet("b1", 10)))
        await a_few_turns()
        given_up.cancel()
        await a_few_turns()
        private_valkey.process.send_signal(signal.SIGCONT)

        (result,) = await table.play(bet("b1", 10))

        assert given_up.cancelled()
        assert result.replayed
        assert result.balance_now is not None
        assert (result.balance_now.buckets, result.balance_now.version) == (Buckets(90), 3)
