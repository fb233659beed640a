"""A history that was written can be read again."""

from dataclasses import replace
from pathlib import Path

from tests.answers import Balance, Done, RefusedTransaction, ShownSlip
from tests.faults.history import Answered, Attempt, Call, History, NotAnswered, read_history
from tests.reference import Money, RoundClosing, SlipChange, SlipOpening
from tests.steps import bet, closing, rollback, win

BALANCE = Balance("EUR", 2, "ACTIVE", "9.00", "0.00", "0.00", "0.00", "0.00")
DONE = Done("b1", "APPLIED", False, "3-1-0-0", BALANCE, BALANCE, False, "", 1)
REFUSAL = NotAnswered(
    "FAILED_PRECONDITION", "BET_SETTLED", RefusedTransaction("x1", 0, False, BALANCE, "3-1-1-0", "w1")
)
SLIP = ShownSlip("h1", "HELD", 1, "EUR", "1.00", "0.00", "0.00", "0.00", "0.00", 99, "h1", "")
ON_SLIPS = (
    SlipOpening("h1", "HOLD", "BET", Money("EUR", "1"), expires_s=99),
    SlipChange("c1", "CAPTURE", "h1", Money("EUR", "1"), is_last=True),
    SlipChange("o1", "CASH_OUT", "h1", Money("EUR", "1"), stake=Money("EUR", "1")),
    SlipChange("v1", "VOID", "h1"),
)


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    attempts = [
        Attempt(Call(1, "slots", "ada", (closing(bet("b1", "1")),)), 0, 1.0, 2.0, Answered((DONE,))),
        Attempt(
            Call(2, "slots", "ada", (rollback("x1", "b1", "1"), rollback("x2", "b2"))), 1, 2.0, 3.0, REFUSAL
        ),
        Attempt(Call(4, "slots", "ada", ON_SLIPS), 1, 2.6, 3.6, Answered((replace(DONE, slip=SLIP),))),
        Attempt(Call(5, "slots", "ada", (RoundClosing("cl1", "r1", "g"),)), 1, 2.7, 3.7, Answered((DONE,))),
        Attempt(Call(3, "slots", "ada", (win("w1", "1", of="b1"),)), 1, 2.5, 3.5, NotAnswered("CANCELLED")),
    ]
    with (tmp_path / "history.jsonl").open("w") as file:
        written = History(file=file)
        for attempt in attempts:
            written.add(attempt)

    assert read_history(tmp_path / "history.jsonl").attempts == attempts


def test_a_call_is_unknown_until_one_of_its_attempts_is_certain() -> None:
    call, other = (Call(number, "slots", "ada", (bet(f"b{number}", "1"),)) for number in (1, 2))
    lost = NotAnswered("UNAVAILABLE", "OUTCOME_UNKNOWN")
    history = History([Attempt(call, 0, 1.0, 2.0, lost), Attempt(other, 0, 1.0, 2.0, lost)])
    assert history.unknown_calls() == [call, other]

    history.add(Attempt(call, 1, 2.0, 3.0, Answered((DONE,))))
    assert history.unknown_calls() == [other]
