"""Slips by the state they are in: what each operation does to them, and which they refuse."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from persistence.calls import ShortfallPolicy, Source, Step, ZeroAmountPolicy
from persistence.drainer import wall_clock_ms
from persistence.errors import Refused
from persistence.slips import SlipState
from persistence.transactions import Operation, PlayerId, SourceId, TransactionKind
from service.embedded import EmbeddedValkey
from tests.engine_calls import EUR, GAMES, PLAYER, House, bet, deposit, house, rollback, win
from tests.hot_path import PATIENCE_S, moment
from tests.slip_steps import (
    capture,
    cash_out,
    expire,
    hold,
    place,
    release,
    reopen,
    resettle,
    settle,
    unsettle,
    void,
)

WITHDRAWAL = TransactionKind.WITHDRAWAL
LONG_AGO_MS = 1_000
LATER_MS = 4_000_000_000_000
START = 100


@pytest_asyncio.fixture
async def table(valkey: EmbeddedValkey) -> AsyncIterator[House]:
    """A player with 100 cents."""
    async with house(valkey) as made:
        await made.open()
        await made.play(deposit("start", START))
        yield made


async def told(table: House, step: Step, source: Source = GAMES) -> str:
    """What became of a step: the slip's state, or why it was refused."""
    try:
        [result] = await table.play(step, source=source)
    except Refused as refusal:
        return refusal.details.reason + (" again" if refusal.details.replayed else "")
    again = " again" if result.replayed else ""
    return (result.slip.state if result.slip else result.outcome) + again


async def amounts(table: House) -> tuple[int, int]:
    """Cash and held."""
    [wallet] = (await table.engine.read_player(PLAYER, deadline=moment(PATIENCE_S))).balances
    return wallet.buckets.cash, wallet.buckets.held


@dataclass(frozen=True, slots=True)
class Play:
    """Steps in their order and what is told of each, then cash and held."""

    steps: Sequence[tuple[Step, str]]
    cash: int
    held: int = 0


HELD = (hold("s", 60), "held")
PLACED = (place("s", 10), "open")
SETTLED = (settle("w", "s", 25), "settled")

PLAYS = {
    "held money cannot be bet": Play([HELD, (bet("b", 50), "INSUFFICIENT_FUNDS")], 40, 60),
    "captured and released": Play(
        [
            HELD,
            (capture("c1", "s", 45, is_final=True), "open"),
            (capture("c2", "s", 5), "HOLD_CLOSED"),
            (release("r", "s"), "HOLD_CLOSED"),
        ],
        55,
    ),
    "captured bit by bit": Play(
        [
            (hold("s", 20), "held"),
            (capture("c1", "s", 12), "held"),
            (capture("c2", "s", 9), "HOLD_EXCEEDED"),
            (capture("c3", "s", 8), "open"),
        ],
        80,
    ),
    "reserve, debits, commit": Play(
        [
            (hold("s", 20), "held"),
            (capture("c1", "s", 12), "held"),
            (release("commit", "s"), "open"),
            (settle("w", "s", 30), "settled"),
        ],
        118,
    ),
    "cancel before the reserve": Play(
        [(rollback("cancel", "s"), "no_original"), (hold("s", 20), "TRANSACTION_ROLLED_BACK")], 100
    ),
    "cancel": Play(
        [
            HELD,
            (rollback("cancel", "s"), "cancelled"),
            (capture("c", "s", 1), "BET_ROLLED_BACK"),
            (rollback("cancel2", "s"), "already_rolled_back"),
        ],
        100,
    ),
    "no cancel after a debit": Play(
        [HELD, (capture("c", "s", 10), "held"), (rollback("cancel", "s"), "SLIP_MOVED_ON")], 40, 50
    ),
    "released wholly": Play(
        [HELD, (release("r", "s"), "released"), (settle("w", "s", 5), "HOLD_RELEASED")], 100
    ),
    "released in part": Play(
        [HELD, (release("r", "s", 50), "held"), (release("r2", "s", 11), "HOLD_EXCEEDED")], 90, 10
    ),
    "expired": Play(
        [
            (hold("s", 60, expires_ms=LONG_AGO_MS), "held"),
            (capture("c", "s", 10), "HOLD_EXPIRED"),
            (expire("e", "s"), "expired"),
            (expire("e", "s"), "expired again"),
            (expire("e2", "s"), "HOLD_NOT_DUE"),
            (capture("c", "s", 10), "HOLD_EXPIRED again"),
            (capture("c3", "s", 10), "HOLD_EXPIRED"),
        ],
        100,
    ),
    "not due": Play(
        [
            (hold("s", 60, expires_ms=LATER_MS), "held"),
            (expire("e", "s"), "HOLD_NOT_DUE"),
            (capture("c", "s", 60), "open"),
        ],
        40,
    ),
    "a hold without a deadline is never due": Play([HELD, (expire("e", "s"), "HOLD_NOT_DUE")], 40, 60),
    "settled before it is placed": Play(
        [
            HELD,
            (settle("w", "s", 25), "SLIP_NOT_PLACED"),
            (capture("c", "s", 10, is_final=True), "open"),
            (settle("w", "s", 25), "settled"),
        ],
        115,
    ),
    "absolute resettlements": Play(
        [
            PLACED,
            SETTLED,
            (resettle("x1", "s", 40), "settled"),
            (resettle("x2", "s", 0), "settled"),
            (resettle("x3", "s", 0), "settled"),
        ],
        90,
    ),
    "settled twice": Play([PLACED, SETTLED, (settle("w2", "s", 5), "SLIP_SETTLED")], 115),
    "several partial settlements": Play(
        [
            PLACED,
            (settle("w1", "s", 5, is_final=False), "open"),
            (settle("w2", "s", 7, is_final=False), "open"),
            (void("v", "s"), "SLIP_SETTLED"),
            (resettle("x", "s", 1), "SLIP_NOT_SETTLED"),
            (settle("w3", "s", 0), "settled"),
            (resettle("x2", "s", 20), "settled"),
        ],
        110,
    ),
    "unsettled": Play(
        [PLACED, SETTLED, (unsettle("u", "s"), "open"), (unsettle("u2", "s"), "SLIP_NOT_SETTLED")], 90
    ),
    "void and reopened": Play(
        [
            PLACED,
            (reopen("o", "s"), "SLIP_NOT_VOIDED"),
            (void("v", "s"), "voided"),
            (void("v2", "s"), "SLIP_VOIDED"),
            (settle("w", "s", 1), "SLIP_VOIDED"),
            (reopen("o2", "s"), "open"),
            (settle("w2", "s", 25), "settled"),
        ],
        115,
    ),
    "void after settlement": Play([PLACED, SETTLED, (void("v", "s"), "SLIP_SETTLED")], 115),
    "reopened after settlement": Play([PLACED, SETTLED, (reopen("o", "s"), "SLIP_NOT_VOIDED")], 115),
    "cashed out in part": Play(
        [
            PLACED,
            (cash_out("x", "s", 6, stake=4), "open"),
            (cash_out("x2", "s", 9, stake=7), "STAKE_EXCEEDED"),
            (void("v", "s"), "voided"),
        ],
        102,
    ),
    "cashed out": Play(
        [
            PLACED,
            (cash_out("x", "s", 15), "cashed_out"),
            (settle("w", "s", 1), "SLIP_CASHED_OUT"),
            (resettle("x2", "s", 1), "SLIP_CASHED_OUT"),
            (reopen("o", "s"), "SLIP_NOT_VOIDED"),
        ],
        105,
    ),
    "rollback of a settlement": Play([PLACED, SETTLED, (rollback("r", "w"), "open")], 90),
    "rollback of a rollback": Play(
        [
            PLACED,
            SETTLED,
            (rollback("r", "w"), "open"),
            (rollback("rr", "r"), "settled"),
            (rollback("rrr", "rr"), "NOT_REVERSIBLE"),
            (settle("w", "s", 25), "settled again"),
            (rollback("r2", "w"), "open"),
        ],
        90,
    ),
    "rollbacks one after the other": Play(
        [
            PLACED,
            (settle("w1", "s", 5, is_final=False), "open"),
            (settle("w2", "s", 7), "settled"),
            (rollback("r0", "w1"), "SLIP_MOVED_ON"),
            (rollback("r2", "w2"), "open"),
            (rollback("r1", "w1"), "open"),
            (rollback("rr2", "r2"), "SLIP_MOVED_ON"),
            (rollback("rr1", "r1"), "open"),
            (rollback("rs", "s"), "SLIP_MOVED_ON"),
        ],
        95,
    ),
    "rollback of a placed stake": Play(
        [PLACED, (rollback("r", "s"), "cancelled"), (settle("w", "s", 5), "BET_ROLLED_BACK")], 100
    ),
    "a rolled-back stake stays so": Play(
        [PLACED, (rollback("r", "s"), "cancelled"), (rollback("rr", "r"), "NOT_REVERSIBLE")], 100
    ),
    "rollback of a capture holds again": Play(
        [HELD, (capture("c", "s", 45, is_final=True), "open"), (rollback("r", "c"), "held")], 40, 60
    ),
    "rollback of a void": Play([PLACED, (void("v", "s"), "voided"), (rollback("r", "v"), "open")], 90),
    "a withdrawal": Play(
        [
            (hold("s", 60, kind=WITHDRAWAL), "held"),
            (settle("w", "s", 5), "REFERENCE_MISMATCH"),
            (capture("paid", "s", 60), "captured"),
            (capture("paid", "s", 60), "captured again"),
            (release("failed", "s"), "HOLD_CLOSED"),
        ],
        40,
    ),
    "a failed withdrawal": Play(
        [
            (hold("s", 60, kind=WITHDRAWAL), "held"),
            (release("failed", "s"), "released"),
            (release("failed", "s"), "released again"),
            (capture("paid", "s", 60), "HOLD_RELEASED"),
        ],
        100,
    ),
    "an unknown slip": Play([(settle("w", "s", 25), "REFERENCE_NOT_FOUND"), PLACED, SETTLED], 115),
    "a bet is no slip": Play([(bet("s", 10), "applied"), (settle("w", "s", 5), "REFERENCE_MISMATCH")], 90),
    "a slip is no bet": Play([PLACED, (win("w", 5, of="s"), "REFERENCE_MISMATCH")], 90),
    "a settlement is no slip": Play([PLACED, SETTLED, (settle("w2", "w", 5), "REFERENCE_MISMATCH")], 115),
    "a refused slip": Play(
        [(place("s", 101), "INSUFFICIENT_FUNDS"), (settle("w", "s", 5), "BET_REFUSED")], 100
    ),
}


@pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS)
async def test_a_slip_allows_what_its_state_does(table: House, play: Play) -> None:
    said = [(step, await told(table, step)) for step, _ in play.steps]
    assert [word for _, word in said] == [word for _, word in play.steps]
    assert await amounts(table) == (play.cash, play.held)


OPENERS = {
    SlipState.HELD: [hold("s", 60)],
    SlipState.OPEN: [place("s", 60)],
    SlipState.SETTLED: [place("s", 60), settle("w", "s", 25)],
    SlipState.VOIDED: [place("s", 60), void("v", "s")],
    SlipState.CASHED_OUT: [place("s", 60), cash_out("co", "s", 25)],
    SlipState.CAPTURED: [hold("s", 60, kind=WITHDRAWAL), capture("c", "s", 60)],
    SlipState.RELEASED: [hold("s", 60), release("r", "s")],
    SlipState.EXPIRED: [hold("s", 60, expires_ms=LONG_AGO_MS), expire("e", "s")],
    SlipState.CANCELLED: [hold("s", 60), rollback("x", "s")],
}
OPERATIONS = {
    Operation.CAPTURE: capture("t", "s", 1),
    Operation.RELEASE: release("t", "s"),
    Operation.EXPIRE: expire("t", "s"),
    Operation.SETTLE: settle("t", "s", 1),
    Operation.RESETTLE: resettle("t", "s", 1),
    Operation.UNSETTLE: unsettle("t", "s"),
    Operation.VOID: void("t", "s"),
    Operation.REOPEN: reopen("t", "s"),
    Operation.CASH_OUT: cash_out("t", "s", 1),
}
SETTLED_ALREADY = "SLIP_SETTLED"
HOLDS, BETS = ["HOLD_CLOSED", "HOLD_CLOSED", "HOLD_NOT_DUE"], ["SLIP_NOT_PLACED"] * 6
TRANSITIONS = {
    SlipState.HELD: ["held", "released", "HOLD_NOT_DUE", *BETS],
    SlipState.OPEN: [
        *HOLDS,
        "settled",
        "SLIP_NOT_SETTLED",
        "SLIP_NOT_SETTLED",
        "voided",
        "SLIP_NOT_VOIDED",
        "cashed_out",
    ],
    SlipState.SETTLED: [
        *HOLDS,
        "SLIP_SETTLED",
        "settled",
        "open",
        "SLIP_SETTLED",
        "SLIP_NOT_VOIDED",
        "SLIP_SETTLED",
    ],
    SlipState.VOIDED: [*HOLDS, *["SLIP_VOIDED"] * 4, "open", "SLIP_VOIDED"],
    SlipState.CASHED_OUT: [*HOLDS, *["SLIP_CASHED_OUT"] * 4, "SLIP_NOT_VOIDED", "SLIP_CASHED_OUT"],
    SlipState.CAPTURED: [*HOLDS, *["REFERENCE_MISMATCH"] * 6],
    SlipState.RELEASED: ["HOLD_RELEASED", "HOLD_RELEASED", "HOLD_NOT_DUE", *["HOLD_RELEASED"] * 6],
    SlipState.EXPIRED: ["HOLD_EXPIRED", "HOLD_EXPIRED", "HOLD_NOT_DUE", *["HOLD_EXPIRED"] * 6],
    SlipState.CANCELLED: ["BET_ROLLED_BACK"] * 9,
}


@pytest.mark.parametrize("state", TRANSITIONS, ids=str)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
async def test_every_transition_leads_to_a_state_or_is_a_named_refusal(
    table: House, state: SlipState, operation: Operation
) -> None:
    for step in OPENERS[state]:
        await table.play(step)
    before = await amounts(table)
    expected = TRANSITIONS[state][list(OPERATIONS).index(operation)]
    assert await told(table, OPERATIONS[operation]) == expected
    if expected.isupper():
        assert await amounts(table) == before


async def test_all_or_nothing_over_several_steps_of_a_slip(table: House) -> None:
    results = await table.play(hold("s", 20), capture("c", "s", 12), release("r", "s"), settle("w", "s", 30))
    assert [result.slip.state for result in results if result.slip] == [SlipState.SETTLED] * 4
    assert await amounts(table) == (118, 0)
    refused = await table.refused(hold("s2", 20), capture("c2", "s2", 21))
    assert refused.reason == "HOLD_EXCEEDED"
    assert refused.step_index == 1
    assert await amounts(table) == (118, 0)


async def test_a_refusal_for_good_is_given_again_and_one_for_now_is_not(table: House) -> None:
    await table.play(hold("s", 60))
    assert await told(table, capture("c", "s", 61)) == "HOLD_EXCEEDED"
    assert await told(table, capture("c", "s", 61)) == "HOLD_EXCEEDED again"
    assert await told(table, settle("w", "s", 5)) == "SLIP_NOT_PLACED"
    assert await told(table, settle("w", "s", 5)) == "SLIP_NOT_PLACED"


async def test_what_a_retry_says_otherwise_is_a_conflict_but_for_the_deadline(table: House) -> None:
    await table.play(hold("s", 60, expires_ms=LATER_MS))
    assert await told(table, hold("s", 60, expires_ms=LATER_MS + 1)) == "held again"
    await table.play(capture("c", "s", 10))
    assert await told(table, capture("c", "s", 10, is_final=True)) == "TRANSACTION_ID_CONFLICT"
    await table.play(release("r", "s"), cash_out("x", "s", 3, stake=4))
    assert await told(table, cash_out("x", "s", 3, stake=5)) == "TRANSACTION_ID_CONFLICT"


SHORTFALLS = {
    ShortfallPolicy.NEGATIVE: ("open", -25, 0),
    ShortfallPolicy.CLAMP: ("open", 0, 25),
    ShortfallPolicy.REJECT: ("INSUFFICIENT_FUNDS", 0, 0),
}


@pytest.mark.parametrize("policy", SHORTFALLS, ids=str)
async def test_what_is_taken_back_and_gone_follows_the_source_s_policy(
    table: House, policy: ShortfallPolicy
) -> None:
    source = replace(GAMES, shortfall=policy)
    await table.play(place("s", 100), settle("w", "s", 25), bet("b", 25), source=source)
    expected, cash, owed = SHORTFALLS[policy]
    assert await told(table, unsettle("u", "s"), source) == expected
    [wallet] = (await table.engine.read_player(PLAYER, deadline=moment(PATIENCE_S))).balances
    assert (wallet.buckets.cash, wallet.buckets.receivable) == (cash, owed)
    if policy is ShortfallPolicy.CLAMP:
        await table.play(settle("w2", "s", 30), source=source)
        [wallet] = (await table.engine.read_player(PLAYER, deadline=moment(PATIENCE_S))).balances
        assert (wallet.buckets.cash, wallet.buckets.receivable) == (5, 0)


@pytest.mark.parametrize("taken", [unsettle("u", "s"), rollback("u", "w")], ids=["unsettled", "rolled back"])
async def test_a_debt_that_was_paid_before_what_caused_it_is_undone_is_given_back_as_cash(
    table: House, taken: Step
) -> None:
    source = replace(GAMES, shortfall=ShortfallPolicy.CLAMP)
    await table.play(place("s", 100), settle("w", "s", 25), bet("b", 25), taken, source=source)
    await table.play(deposit("d", 15))

    await table.play(rollback("r", "u"), source=source)

    [wallet] = (await table.engine.read_player(PLAYER, deadline=moment(PATIENCE_S))).balances
    assert (wallet.buckets.cash, wallet.buckets.receivable) == (15, 0)


async def test_a_slip_is_of_its_source_alone(table: House) -> None:
    await table.play(place("s", 10))
    assert await told(table, settle("w", "s", 5), Source(SourceId("others"))) == "REFERENCE_NOT_FOUND"


async def test_only_cash_is_withdrawn_whatever_the_credit_line(table: House) -> None:
    player = PlayerId("p2")
    await table.engine.open_wallet(player, EUR, credit_line=50, deadline=moment(PATIENCE_S))
    refused = await table.refused(hold("s", 10, kind=WITHDRAWAL), player=player)
    assert refused.reason == "INSUFFICIENT_FUNDS"
    [result] = await table.play(hold("s2", 10), player=player)
    assert result.slip is not None


async def test_the_expiry_is_by_the_store_s_clock(table: House) -> None:
    soon_ms = wall_clock_ms() + 60_000
    await table.play(hold("s", 10, expires_ms=soon_ms))
    assert await told(table, expire("e", "s")) == "HOLD_NOT_DUE"
    assert await told(table, capture("c", "s", 5)) == "held"


async def test_a_source_that_refuses_zero_can_still_correct_a_result_to_nothing(table: House) -> None:
    source = replace(GAMES, zero_amount=ZeroAmountPolicy.REFUSE)
    await table.play(place("s", 10), settle("w", "s", 25), source=source)
    assert await told(table, settle("w0", "s", 0), source) == "ZERO_AMOUNT_REFUSED"
    assert await told(table, resettle("x", "s", 0), source) == "settled"
    assert await amounts(table) == (90, 0)
