"""The checker finds each breach that is planted in an honest play with slips, and none in the play itself."""

from dataclasses import replace

import pytest

from persistence.expiring import expiry_id
from persistence.slips import Slip, SlipState
from persistence.transactions import CurrencyCode, TransactionId
from tests.answers import Balance
from tests.faults.books import Amounts, SlipName
from tests.faults.checker import violations
from tests.faults.checks.case import Breach, Case
from tests.faults.checks.slips import EXPIRED_WITHIN_MS
from tests.faults.history import Answered
from tests.faults.honest import DEPOSIT, ENTRIES, Honest, attempt_of, done, entry, shown
from tests.reference import Money, SlipChange, SlipOpening, Step
from tests.steps import rollback

DUE_S = 100
DUE_MS = DUE_S * 1000
HOLD = SlipOpening("s1", "HOLD", "BET", Money("EUR", "20"), expires_s=DUE_S)
CAPTURE = SlipChange("c1", "CAPTURE", "s1", Money("EUR", "12"))
SETTLE = SlipChange("w1", "SETTLE", "s1", Money("EUR", "30"), is_last=True)
UNDO = rollback("x1", "w1")
REDO = rollback("xx1", "x1")
EXPIRY = str(expiry_id(TransactionId("s1")))
HELD = Slip(
    version=1,
    state=SlipState.HELD,
    currency=CurrencyCode("EUR"),
    held=2000,
    staked=0,
    live=0,
    paid=0,
    cashed=0,
    held_worth=2000,
    live_worth=0,
    paid_worth=0,
    expires_ms=DUE_MS,
    last=TransactionId("s1"),
    undone="",
    slip_id=TransactionId("s1"),
)
CAPTURED = replace(HELD, version=2, held=800, staked=1200, live=1200, last=TransactionId("c1"))
OPEN = replace(CAPTURED, version=3, state=SlipState.OPEN, held=0, last=TransactionId(EXPIRY))
SETTLED = replace(OPEN, version=4, state=SlipState.SETTLED, paid=3000, last=TransactionId("w1"))
UNDONE = replace(OPEN, version=5, undone="x1")
REDONE = replace(SETTLED, version=6)


def holding(version: int, cash: int, held: int) -> Balance:
    """Ada's wallet with so many cents, some of them held."""
    return replace(shown(version, cash), held=f"{held // 100}.{held % 100:02}")


def on_slip(
    place: int, name: str, operation: str, slip: Slip, cash: int, held: int, balance: Amounts, **more: object
) -> object:
    fields = {"kind": "bet", "outcome": "applied", "reference": "s1", **more}
    return entry(
        place,
        name,
        operation=operation,
        version=place + 1,
        change=Amounts(cash, 0, held),
        after=balance,
        slip=str(slip),
        booked_ms=DUE_MS - 5000 if place < 4 else DUE_MS + 500,
        **fields,
    )


ON_SLIPS = (
    on_slip(2, "s1", "hold", HELD, -2000, 2000, Amounts(8000, 0, 2000), amount=2000, reference=""),
    on_slip(3, "c1", "capture", CAPTURED, 0, -1200, Amounts(8000, 0, 800), amount=1200),
    on_slip(4, EXPIRY, "expire", OPEN, 800, -800, Amounts(8800), amount=800),
    on_slip(5, "w1", "settle", SETTLED, 3000, 0, Amounts(11800), amount=3000, kind="win"),
    on_slip(6, "x1", "rollback", UNDONE, -3000, 0, Amounts(8800), amount=3000, kind="win", reference="w1"),
    on_slip(7, "xx1", "rollback", REDONE, 3000, 0, Amounts(11800), amount=3000, kind="win", reference="x1"),
)
ASKED: tuple[tuple[Step, int, Balance], ...] = (
    (DEPOSIT, 1, shown(2, 10000)),
    (HOLD, 2, holding(3, 8000, 2000)),
    (CAPTURE, 3, holding(4, 8000, 800)),
    (SETTLE, 5, shown(6, 11800)),
    (UNDO, 6, shown(7, 8800)),
    (REDO, 7, shown(8, 11800)),
)


@pytest.fixture
def play() -> Honest:
    attempts = [
        attempt_of(step, place, Answered((done(step, place, balance),))) for step, place, balance in ASKED
    ]
    return Honest(attempts, [*ENTRIES[:2], *ON_SLIPS])  # type: ignore[list-item]


def found(play: Honest) -> set[Breach]:
    return found_in(play.case())


def found_in(case: Case) -> set[Breach]:
    return {violation.breach for violation in violations(case)}


def test_an_honest_play_with_slips_breaks_nothing(play: Honest) -> None:
    assert list(violations(play.case())) == []


def test_an_acknowledged_capture_that_is_not_in_the_ledger_is_lost(play: Honest) -> None:
    play.drop_entry("c1")
    assert {Breach.LOST, Breach.VERSION_GAP} <= found(play)


def test_a_capture_of_another_amount_than_was_asked_differs(play: Honest) -> None:
    play.change_entry("c1", amount=1100)
    assert Breach.ENTRY_DIFFERS in found(play)


def test_a_wallet_that_holds_more_than_its_slips_is_found(play: Honest) -> None:
    play.change_entry("s1", after=Amounts(8000, 0, 2100))
    assert Breach.HELD_DIFFERS in found(play)


@pytest.mark.parametrize(
    "slip",
    [
        replace(SETTLED, paid=2999),
        replace(SETTLED, cashed=1),
        replace(SETTLED, staked=1300),
        replace(SETTLED, state=SlipState.VOIDED),
    ],
)
def test_a_slip_that_says_otherwise_than_was_moved_is_unbalanced(play: Honest, slip: Slip) -> None:
    play.change_entry("w1", slip=str(slip))
    assert found(play) == {Breach.SLIP_UNBALANCED}


def test_a_slip_s_version_that_is_missing_is_a_gap(play: Honest) -> None:
    play.change_entry("w1", slip=str(replace(SETTLED, version=5)))
    assert found(play) == {Breach.VERSION_GAP}


def test_a_hold_that_is_given_back_before_its_time_is_found(play: Honest) -> None:
    play.change_entry(EXPIRY, booked_ms=DUE_MS - 1)
    assert found(play) == {Breach.EXPIRED_WRONGLY}


def test_a_hold_that_is_given_back_twice_is_found(play: Honest) -> None:
    again = replace(OPEN, version=7)
    second = on_slip(8, EXPIRY + "again", "expire", again, 800, -800, Amounts(12600, 0, -800), amount=800)
    play.entries.append(second)  # type: ignore[arg-type]
    assert {Breach.EXPIRED_WRONGLY, Breach.HELD_DIFFERS, Breach.SLIP_UNBALANCED, Breach.RULES} <= found(play)


def test_an_expiry_of_what_was_held_for_ever_was_asked_for_by_nobody(play: Honest) -> None:
    call = play.attempts[1].call
    steps = (replace(HOLD, expires_s=None),)
    play.attempts[1] = replace(play.attempts[1], call=replace(call, steps=steps))
    assert {Breach.NEVER_SENT, Breach.RULES} == found(play)


@pytest.mark.parametrize(("after_ms", "breaches"), [(0, set()), (1, {Breach.NOT_EXPIRED})])
def test_a_hold_that_is_held_long_after_its_time_is_found(
    play: Honest, after_ms: int, breaches: set[Breach]
) -> None:
    play.entries, play.attempts = play.entries[:4], play.attempts[:3]
    case = play.case()
    case.books.read_ms = DUE_MS + EXPIRED_WITHIN_MS + after_ms
    assert found_in(case) == breaches


def test_a_slip_that_is_shown_as_it_is_not_is_found(play: Honest) -> None:
    case = play.case()
    case.books.hot_slips[SlipName("ada", "slots", "s1")] = (6, "SETTLED")
    assert found_in(case) == set()
    case.books.hot_slips[SlipName("ada", "slots", "s1")] = (5, "OPEN")
    assert found_in(case) == {Breach.HOT_DIFFERS}


def test_a_settlement_that_is_rolled_back_twice_is_doubled(play: Honest) -> None:
    play.change_entry("xx1", reference="w1")
    assert Breach.DOUBLED in found(play)


def test_a_change_that_the_slip_does_not_allow_is_against_the_rules(play: Honest) -> None:
    """A settlement before the rest was given back."""
    expired, settled = play.entries[4], play.entries[5]
    play.entries[4:6] = [
        replace(settled, place=expired.place, version=5, after=Amounts(11000, 0, 800)),
        replace(expired, place=settled.place, version=6),
    ]
    assert Breach.RULES in found(play)
