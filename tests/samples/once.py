"""A transaction id takes effect at most once."""

from tests.samples.case import Case, No, Ok, SetStatus, again, one
from tests.steps import bet, credit, debit, deposit, rollback, win

CONFLICT = No("TRANSACTION_ID_CONFLICT")

ONCE = [
    Case(
        "a bet sent twice is taken once, and shows the balance then and now",
        [
            one(bet("b1", "10"), Ok(after="90.00", now="90.00", version=3)),
            one(bet("b1", "10"), again(after="90.00", now="90.00")),
            one(bet("b2", "5"), Ok(after="85.00")),
            one(bet("b1", "10"), again(after="90.00", now="85.00")),
        ],
        cash="85.00",
        version=4,
    ),
    Case(
        "the same id with another payload is a conflict and changes nothing",
        [
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(bet("b1", "11", round_id="r1", game_id="g1"), CONFLICT),
            one(bet("b1", "10", "USD", round_id="r1", game_id="g1"), CONFLICT),
            one(bet("b1", "10", round_id="r2", game_id="g1"), CONFLICT),
            one(bet("b1", "10", round_id="r1", game_id="g2"), CONFLICT),
            one(debit("b1", "TIP", "10"), CONFLICT),
            one(credit("b1", "CORRECTION", "10"), CONFLICT),
            one(rollback("b1", "b0"), CONFLICT),
            one(bet("b1", "10", round_id="r1", game_id="g1"), again(after="90.00")),
        ],
        cash="90.00",
    ),
    Case(
        "a reference is part of the payload",
        [
            one(bet("b1", "10")),
            one(bet("b2", "10")),
            one(win("w1", "5", of="b1")),
            one(win("w1", "5", of="b2"), CONFLICT),
            one(win("w1", "5"), CONFLICT),
        ],
        cash="85.00",
    ),
    Case(
        "an amount written with other digits is the same payload",
        [one(bet("b1", "10")), one(bet("b1", "10.00"), again()), one(bet("b1", "010.0"), again())],
        cash="90.00",
    ),
    Case(
        "a refusal is given again even when the money has come in, and a new id goes through",
        [
            one(bet("b1", "100.01"), No("INSUFFICIENT_FUNDS", cash="100.00")),
            one(deposit("d1", "50")),
            one(bet("b1", "100.01"), No("INSUFFICIENT_FUNDS", replayed=True, cash="100.00")),
            one(bet("b1", "1"), CONFLICT),
            one(bet("b2", "100.01")),
        ],
        cash="49.99",
    ),
    Case(
        "a replay succeeds on a frozen wallet and on a closed one",
        [
            one(bet("b1", "10")),
            SetStatus("DEBITS_FROZEN"),
            one(bet("b1", "10"), again(after="90.00")),
            one(bet("b2", "10"), No("WALLET_FROZEN")),
            SetStatus("CLOSED"),
            one(bet("b1", "10"), again(after="90.00")),
            one(bet("b3", "10"), No("WALLET_CLOSED")),
            SetStatus("ACTIVE"),
            one(bet("b2", "10"), No("WALLET_FROZEN", replayed=True)),
        ],
        cash="90.00",
        version=6,
    ),
    Case(
        "credits that settle or reverse play are taken on a closed wallet, deposits and bonuses are not",
        [
            one(bet("b1", "10")),
            one(bet("b2", "10")),
            SetStatus("CLOSED"),
            one(win("w1", "5", of="b1")),
            one(rollback("r2", "b2")),
            one(credit("c1", "CORRECTION", "1")),
            one(credit("j1", "JACKPOT_WIN", "1")),
            one(deposit("d1", "1"), No("WALLET_CLOSED")),
            one(credit("x1", "BONUS", "1"), No("WALLET_CLOSED")),
        ],
        cash="97.00",
    ),
]
