"""Rounds by the state they are in: what each call does to them, and what they do to each call."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from persistence.calls import (
    RestoreOutcome,
    SettledRollbackPolicy,
    Source,
    Step,
    TransactionState,
    UnknownBetPolicy,
)
from persistence.errors import RefusalReason, Refused
from persistence.transactions import (
    EntryType,
    Operation,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
)
from persistence.valkey.keys import player_keys
from service.embedded import EmbeddedValkey
from tests.engine_calls import GAMES, PLAYER, House, bet, close_round, deposit, house, rollback, win
from tests.hot_path import PATIENCE_S, moment

OTHERS = Source(SourceId("others"))
TRUSTING = replace(GAMES, unknown_bet=UnknownBetPolicy.ACCEPT, settled_rollback=SettledRollbackPolicy.ALLOW)
KEYS = player_keys(0, PLAYER)


@pytest_asyncio.fixture
async def table(valkey: EmbeddedValkey) -> AsyncIterator[House]:
    """A player with 100 cents."""
    async with house(valkey) as made:
        await made.open()
        await made.play(deposit("start", 100))
        yield made


def sweep(name: str, of: str) -> Step:
    return replace(rollback(name, of), operation=Operation.SWEEP)


def win_of_round(name: str, amount: int, round_: str = "r1") -> Step:
    return replace(win(name, amount), game="g", round=round_)


async def told(table: House, step: Step, source: Source = GAMES) -> str:
    """What became of a step, in a few words."""
    try:
        [result] = await table.play(step, source=source)
    except Refused as refusal:
        return refusal.details.reason + (" again" if refusal.details.replayed else "")
    return result.outcome + (" late" if result.late else "") + (" again" if result.replayed else "")


async def cash(table: House) -> int:
    [wallet] = (await table.engine.read_player(PLAYER, deadline=moment(PATIENCE_S))).balances
    return wallet.buckets.cash


@dataclass(frozen=True, slots=True)
class Turn:
    """A step and what becomes of it."""

    step: Step
    told: str
    source: Source = GAMES


B1 = bet("b1", 10, round_="r1")
PLAYED = Turn(B1, "applied")
CLOSED = Turn(close_round("c1", "r1"), "applied")

TURNS = {
    "a bet on a closed round": (PLAYED, CLOSED, Turn(bet("b2", 10, round_="r1"), "ROUND_CLOSED")),
    "the same bet again after that": (
        PLAYED,
        CLOSED,
        Turn(bet("b2", 10, round_="r1"), "ROUND_CLOSED"),
        Turn(bet("b2", 10, round_="r1"), "ROUND_CLOSED again"),
    ),
    "a bet of before replays": (PLAYED, CLOSED, Turn(B1, "applied again")),
    "a win on a closed round": (PLAYED, CLOSED, Turn(win("w1", 5, of="b1"), "applied late")),
    "a win on a closed round, by the round alone": (
        PLAYED,
        CLOSED,
        Turn(win_of_round("w1", 5), "applied late"),
    ),
    "a win of before is not late when it is asked for again": (
        PLAYED,
        Turn(win("w1", 5, of="b1"), "applied"),
        CLOSED,
        Turn(win("w1", 5, of="b1"), "applied again"),
    ),
    "a bet of a closed round is rolled back": (PLAYED, CLOSED, Turn(rollback("x1", "b1"), "applied")),
    "a round that nobody knows": (CLOSED, Turn(B1, "ROUND_CLOSED")),
    "a win in a round that nobody played": (CLOSED, Turn(win_of_round("w1", 5), "REFERENCE_NOT_FOUND")),
    "the same, where unknown bets are accepted": (
        CLOSED,
        Turn(win_of_round("w1", 5), "applied late", TRUSTING),
    ),
    "closed twice by two ids": (PLAYED, CLOSED, Turn(close_round("c2", "r1"), "already_closed")),
    "closed twice by two ids, and asked for again": (
        PLAYED,
        CLOSED,
        Turn(close_round("c2", "r1"), "already_closed"),
        Turn(close_round("c1", "r1"), "applied again"),
        Turn(close_round("c2", "r1"), "already_closed again"),
    ),
    "closed by a win, and then by itself": (
        PLAYED,
        Turn(replace(win_of_round("w1", 0), closes_round=True), "applied"),
        Turn(close_round("c2", "r1"), "already_closed"),
    ),
    "closed again under one id": (PLAYED, CLOSED, Turn(close_round("c1", "r1"), "applied again")),
    "an id that closed another round": (CLOSED, Turn(close_round("c1", "r2"), "TRANSACTION_ID_CONFLICT")),
    "an id that closed a round of another game": (
        CLOSED,
        Turn(close_round("c1", "r1", game="h"), "TRANSACTION_ID_CONFLICT"),
    ),
    "an id that was a bet's": (PLAYED, Turn(close_round("b1", "r1"), "TRANSACTION_ID_CONFLICT")),
    "a bet under an id that closed": (CLOSED, Turn(bet("c1", 10), "TRANSACTION_ID_CONFLICT")),
    "another source's round of the same name": (
        PLAYED,
        Turn(close_round("c1", "r1"), "applied", OTHERS),
        Turn(bet("b2", 10, round_="r1"), "applied"),
    ),
    "another game's round of the same name": (
        PLAYED,
        Turn(close_round("c1", "r1", game="h"), "applied"),
        Turn(bet("b2", 10, round_="r1"), "applied"),
    ),
    "a round of no game": (
        PLAYED,
        Turn(close_round("c1", "r1", game=""), "applied"),
        Turn(bet("b2", 10, round_="r1"), "applied"),
    ),
    "a closing is not rolled back": (PLAYED, CLOSED, Turn(rollback("x1", "c1"), "NOT_REVERSIBLE")),
    "a closing that was given up before it came": (
        PLAYED,
        Turn(rollback("x1", "c1"), "no_original"),
        Turn(close_round("c1", "r1"), "TRANSACTION_ROLLED_BACK"),
        Turn(bet("b2", 10, round_="r1"), "applied"),
    ),
    "a win that names a closing": (PLAYED, CLOSED, Turn(win("w1", 5, of="c1"), "REFERENCE_MISMATCH")),
    # Sweeps.
    "a bet without any settlement is swept": (PLAYED, Turn(sweep("s1", "b1"), "applied")),
    "a sweep that is asked for again": (
        PLAYED,
        Turn(sweep("s1", "b1"), "applied"),
        Turn(sweep("s1", "b1"), "already_rolled_back again"),
    ),
    "a bet that was swept comes again": (
        PLAYED,
        Turn(sweep("s1", "b1"), "applied"),
        Turn(B1, "TRANSACTION_ROLLED_BACK"),
    ),
    "a win for a bet that was swept": (
        PLAYED,
        Turn(sweep("s1", "b1"), "applied"),
        Turn(win("w1", 5, of="b1"), "BET_ROLLED_BACK"),
    ),
    "the caller's own rollback of a bet that was swept": (
        PLAYED,
        Turn(sweep("s1", "b1"), "applied"),
        Turn(rollback("x1", "b1"), "already_rolled_back"),
    ),
    "a bet that was won is not swept, whatever the policy": (
        PLAYED,
        Turn(win("w1", 5, of="b1"), "applied"),
        Turn(sweep("s1", "b1"), "BET_SETTLED", TRUSTING),
    ),
    "a bet in a round where another one was won is not swept": (
        PLAYED,
        Turn(bet("b2", 10, round_="r1"), "applied"),
        Turn(win("w1", 5, of="b1"), "applied"),
        Turn(sweep("s2", "b2"), "BET_SETTLED"),
    ),
    "a bet whose round was won is not swept": (
        PLAYED,
        Turn(win_of_round("w1", 5), "applied"),
        Turn(sweep("s1", "b1"), "BET_SETTLED"),
    ),
    "a bet that was lost, as its round is closed, is not swept": (
        PLAYED,
        CLOSED,
        Turn(sweep("s1", "b1"), "ROUND_CLOSED"),
    ),
    "a bet that was rolled back is not swept": (
        PLAYED,
        Turn(rollback("x1", "b1"), "applied"),
        Turn(sweep("s1", "b1"), "BET_ROLLED_BACK"),
    ),
    "a bet without a round is not swept": (
        Turn(bet("b1", 10), "applied"),
        Turn(sweep("s1", "b1"), "ROUND_CLOSED"),
    ),
    "what is unknown is not swept, and not forestalled": (
        Turn(sweep("s1", "b1"), "REFERENCE_NOT_FOUND"),
        PLAYED,
    ),
    "a bet that was left alone again after it was not swept": (
        PLAYED,
        Turn(win("w1", 5, of="b1"), "applied"),
        Turn(sweep("s1", "b1"), "BET_SETTLED"),
        Turn(rollback("x1", "w1"), "applied"),
        Turn(sweep("s1", "b1"), "applied"),
    ),
}


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS.keys())
async def test_each_state_of_a_round_takes_each_call_as_it_should(
    table: House, turns: tuple[Turn, ...]
) -> None:
    assert [await told(table, turn.step, turn.source) for turn in turns] == [turn.told for turn in turns]


async def test_closing_moves_nothing_and_is_recorded_without_a_version(table: House) -> None:
    await table.play(B1)
    before = await table.store.hget(KEYS.wallets, "EUR")

    [result] = await table.play(close_round("c1", "r1"))

    assert await table.store.hget(KEYS.wallets, "EUR") == before
    record = (await table.records())[-1]
    [entry] = record.entries
    assert (entry.type, entry.operation, entry.outcome) == (
        EntryType.ROUND_CLOSED,
        Operation.CLOSE_ROUND,
        Outcome.APPLIED,
    )
    assert (entry.game, entry.round, entry.closes_round) == ("g", "r1", True)
    assert (entry.version, entry.currency, entry.amount) == (None, None, None)
    assert result.entry_id == f"0-{record.position}-0"
    assert (result.balance_after, result.balance_now) == (None, None)


async def test_a_closing_that_is_asked_for_again_gets_the_first_answer_and_writes_nothing(
    table: House,
) -> None:
    [first] = await table.play(close_round("c1", "r1"))
    before = await table.contents()

    [again] = await table.play(close_round("c1", "r1"))

    assert again == replace(first, replayed=True)
    assert await table.contents() == before


async def test_a_closing_can_be_looked_up(table: House) -> None:
    await table.play(close_round("c1", "r1"))

    view = await table.engine.read_player(
        PLAYER, transaction=(GAMES.source_id, TransactionId("c1")), deadline=moment(PATIENCE_S)
    )

    assert view.transaction is not None
    assert (view.transaction.state, view.transaction.round) == (TransactionState.ROUND_CLOSED, "r1")


async def test_a_call_that_bets_and_closes_is_refused_whole_where_its_bet_is(table: House) -> None:
    refusal = await table.refused(close_round("c1", "r1"), bet("b9", 101, round_="r2"))

    assert refusal.reason is RefusalReason.INSUFFICIENT_FUNDS
    assert await told(table, B1) == "applied"
    assert await told(table, close_round("c1", "r1")) == "INSUFFICIENT_FUNDS again"


async def test_a_player_without_a_wallet_has_rounds_too(table: House) -> None:
    [result] = await table.play(close_round("c1", "r1"), player=PlayerId("stranger"))

    assert result.outcome is Outcome.APPLIED


async def test_a_closing_that_was_lost_is_booked_again(table: House) -> None:
    await table.play(B1)
    before = await table.store.dump(KEYS.ids), await table.store.dump(KEYS.rounds)
    await table.play(close_round("c1", "r1"))
    entry = (await table.records())[-1].entries[0]
    for key, contents in zip((KEYS.ids, KEYS.rounds), before, strict=True):
        await table.store.restore(key, 0, contents or b"", replace=True)

    assert await table.engine.restore(PLAYER, entry, deadline=moment(PATIENCE_S)) is RestoreOutcome.BOOKED
    assert await table.engine.restore(PLAYER, entry, deadline=moment(PATIENCE_S)) is RestoreOutcome.KNOWN

    assert (await table.records())[-1].entries[0] == entry
    assert await told(table, bet("b2", 1, round_="r1")) == "ROUND_CLOSED"
    assert await told(table, close_round("c1", "r1")) == "applied again"


async def test_a_sweep_is_recorded_as_the_rollback_that_it_is(table: House) -> None:
    await table.play(B1)
    await table.play(replace(sweep("§sweep:b1", "b1"), metadata='{"why":"nothing came"}'))

    assert await cash(table) == 100
    [entry] = (await table.records())[-1].entries
    assert (entry.type, entry.operation, entry.transaction_id) == (
        EntryType.APPLIED,
        Operation.ROLLBACK,
        "§sweep:b1",
    )
    assert (entry.reference, dict(entry.metadata)) == ("b1", {"why": "nothing came"})


async def test_what_was_not_swept_is_not_remembered(table: House) -> None:
    await table.play(B1)
    await table.play(win("w1", 5, of="b1"))
    before = await table.contents()

    assert await told(table, sweep("s1", "b1")) == "BET_SETTLED"

    assert await table.contents() == before
