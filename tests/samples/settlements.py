"""Wins and refunds, and the bets that they settle."""

from tests.reference import Credit, Money, Policies
from tests.samples.case import Case, No, Ok, one
from tests.steps import bet, credit, debit, rollback, win

SETTLEMENTS = [
    Case(
        "a win for an unknown bet is not remembered: it succeeds once the bet is in",
        [
            one(win("w1", "25", of="b1"), No("REFERENCE_NOT_FOUND")),
            one(win("w2", "25", round_id="r1", game_id="g1"), No("REFERENCE_NOT_FOUND")),
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(win("w1", "25", of="b1")),
            one(win("w2", "25", round_id="r1", game_id="g1")),
        ],
        cash="140.00",
    ),
    Case(
        "a win for an unknown bet is credited where the source wants that",
        [
            one(win("w1", "25", of="b1")),
            one(win("w2", "25", round_id="r1", game_id="g1")),
            one(bet("b1", "10", round_id="r1", game_id="g1")),
        ],
        cash="140.00",
        policies=Policies(unknown_bet="ACCEPT"),
    ),
    Case(
        "a bet that comes after its win counts as won",
        [
            one(win("w1", "25", of="b1")),
            one(bet("b1", "10")),
            one(rollback("r1", "b1"), No("BET_SETTLED")),
        ],
        cash="115.00",
        policies=Policies(unknown_bet="ACCEPT"),
    ),
    Case(
        "a win for a rolled-back or forestalled bet is refused for good",
        [
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(rollback("r1", "b1")),
            one(win("w1", "25", of="b1"), No("BET_ROLLED_BACK")),
            one(win("w1", "25", of="b1"), No("BET_ROLLED_BACK", replayed=True)),
            one(win("w2", "25", round_id="r1", game_id="g1"), No("BET_ROLLED_BACK")),
            one(rollback("r3", "b3"), Ok("NO_ORIGINAL")),
            one(win("w3", "25", of="b3"), No("BET_ROLLED_BACK")),
        ],
        cash="100.00",
    ),
    Case(
        "a win for a refused bet is refused",
        [
            one(bet("b1", "200"), No("INSUFFICIENT_FUNDS")),
            one(win("w1", "25", of="b1"), No("BET_REFUSED")),
        ],
        cash="100.00",
    ),
    Case(
        "a win must fit the bet it names",
        [
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(debit("t1", "TIP", "1")),
            one(rollback("r1", "t0"), Ok("NO_ORIGINAL")),
            one(win("w1", "25", of="t1"), No("REFERENCE_MISMATCH")),
            one(win("w2", "25", of="r1"), No("REFERENCE_MISMATCH")),
            one(win("w3", "25", of="b1", round_id="r1", game_id="g2"), No("REFERENCE_MISMATCH")),
            one(win("w4", "25", of="b1", round_id="r1"), No("REFERENCE_MISMATCH")),
            one(win("w5", "25", of="b1", game_id="g1"), No("REFERENCE_MISMATCH")),
            one(win("w6", "1", of="b1", round_id="r1", game_id="g1")),
            one(win("w7", "1", of="b1")),
        ],
        cash="91.00",
    ),
    Case(
        "one bet may have several wins, and refunds settle like wins",
        [
            one(bet("b1", "10")),
            one(win("w1", "1", of="b1")),
            one(win("w2", "2", of="b1")),
            one(Credit("f1", "REFUND", Money("EUR", "3"), reference_transaction_id="b1")),
            one(
                Credit("f2", "REFUND", Money("EUR", "3"), reference_transaction_id="b2"),
                No("REFERENCE_NOT_FOUND"),
            ),
        ],
        cash="96.00",
    ),
    Case(
        "jackpots, promotions and wins that name nothing need no bet",
        [
            one(credit("j1", "JACKPOT_WIN", "1")),
            one(credit("p1", "PROMOTIONAL_WIN", "2")),
            one(credit("x1", "BONUS", "3")),
            one(win("w1", "4")),
            one(Credit("j2", "JACKPOT_WIN", Money("EUR", "5"), reference_transaction_id="unknown")),
        ],
        cash="115.00",
    ),
]
