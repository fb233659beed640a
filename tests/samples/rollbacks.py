"""What a rollback gives back, and when it cannot."""

from tests.reference import Policies
from tests.samples.case import Case, No, Ok, again, one
from tests.steps import bet, credit, debit, deposit, rollback, win

ROLLBACKS = [
    Case(
        "a rollback before its bet is a tombstone: the bet is refused whatever its payload",
        [
            one(rollback("r1", "b1"), Ok("NO_ORIGINAL")),
            one(bet("b1", "10"), No("TRANSACTION_ROLLED_BACK")),
            one(bet("b1", "99"), No("TRANSACTION_ROLLED_BACK")),
            one(rollback("r1", "b1"), again("NO_ORIGINAL")),
            one(rollback("r2", "b1"), Ok("ALREADY_ROLLED_BACK")),
        ],
        cash="100.00",
        version=2,
    ),
    Case(
        "a rollback gives back once, under whichever rollback id it comes again",
        [
            one(bet("b1", "10")),
            one(rollback("r1", "b1"), Ok(after="100.00", version=4)),
            one(rollback("r1", "b1"), again("ALREADY_ROLLED_BACK", after="100.00")),
            one(rollback("r2", "b1"), Ok("ALREADY_ROLLED_BACK")),
            one(rollback("r2", "b1"), again("ALREADY_ROLLED_BACK")),
            one(bet("b1", "10"), No("TRANSACTION_ROLLED_BACK")),
        ],
        cash="100.00",
        version=4,
    ),
    Case(
        "a rollback of a refused transaction has nothing to give back",
        [
            one(bet("b1", "200"), No("INSUFFICIENT_FUNDS")),
            one(rollback("r1", "b1"), Ok("ORIGINAL_REFUSED")),
            one(rollback("r1", "b1"), again("ORIGINAL_REFUSED")),
            one(bet("b1", "200"), No("INSUFFICIENT_FUNDS", replayed=True)),
        ],
        cash="100.00",
        version=2,
    ),
    Case(
        "a rollback that has nothing to give back does not look at the amount",
        [
            one(bet("b1", "200"), No("INSUFFICIENT_FUNDS")),
            one(rollback("r1", "b1", "5"), Ok("ORIGINAL_REFUSED")),
            one(bet("b2", "10")),
            one(rollback("r2", "b2")),
            one(rollback("r3", "b2", "5"), Ok("ALREADY_ROLLED_BACK")),
            ([rollback("r4", "b9"), bet("b3", "200")], No("INSUFFICIENT_FUNDS", step=1)),
            one(rollback("r5", "r4"), Ok("ORIGINAL_REFUSED")),
        ],
        cash="100.00",
    ),
    Case(
        "a rollback that names another amount or currency is refused for good",
        [
            one(bet("b1", "10")),
            one(rollback("r1", "b1", "9.99"), No("AMOUNT_MISMATCH")),
            one(rollback("r1", "b1", "9.99"), No("AMOUNT_MISMATCH", replayed=True)),
            one(rollback("r2", "b1", "10", "USD"), No("AMOUNT_MISMATCH")),
            one(rollback("r3", "b1", "10.00")),
        ],
        cash="100.00",
    ),
    Case(
        "a rollback cannot be rolled back",
        [
            one(bet("b1", "10")),
            one(rollback("r1", "b1")),
            one(rollback("r2", "r1"), No("NOT_REVERSIBLE")),
            one(rollback("r3", "b9"), Ok("NO_ORIGINAL")),
            one(rollback("r4", "r3"), No("NOT_REVERSIBLE")),
        ],
        cash="100.00",
    ),
    Case(
        "a bet that has been won is not rolled back until its win is",
        [
            one(bet("b1", "10")),
            one(win("w1", "25", of="b1"), Ok(after="115.00")),
            one(rollback("r1", "b1"), No("BET_SETTLED")),
            one(rollback("r2", "w1"), Ok(after="90.00")),
            one(rollback("r1", "b1"), No("BET_SETTLED", replayed=True)),
            one(rollback("r3", "b1"), Ok(after="100.00")),
        ],
        cash="100.00",
    ),
    Case(
        "a bet and its win are rolled back in one call, the bet first",
        [
            one(bet("b1", "10")),
            one(win("w1", "25", of="b1")),
            ([rollback("r1", "b1"), rollback("r2", "w1")], [Ok(after="125.00"), Ok(after="100.00")]),
        ],
        cash="100.00",
    ),
    Case(
        "a bet and its win are rolled back in one call, the win first",
        [
            one(bet("b1", "10")),
            one(win("w1", "25", of="b1")),
            ([rollback("r2", "w1"), rollback("r1", "b1")], [Ok(after="90.00"), Ok(after="100.00")]),
        ],
        cash="100.00",
    ),
    Case(
        "a win of zero settles its bet too",
        [
            one(bet("b1", "10")),
            one(win("w1", "0", of="b1"), Ok(after="90.00", version=4)),
            one(rollback("r1", "b1"), No("BET_SETTLED")),
        ],
        cash="90.00",
    ),
    Case(
        "a win that names only the round settles every bet of it",
        [
            one(bet("b1", "10", round_id="r1", game_id="g1")),
            one(bet("b2", "10", round_id="r1", game_id="g1")),
            one(win("w1", "5", round_id="r1", game_id="g1")),
            one(rollback("r1", "b1"), No("BET_SETTLED")),
            one(rollback("r2", "b2"), No("BET_SETTLED")),
            ([rollback("r3", "b1"), rollback("r4", "w1")], [Ok(), Ok()]),
            one(rollback("r5", "b2")),
        ],
        cash="100.00",
    ),
    Case(
        "a settled bet may be rolled back where the source allows it, and keeps its win",
        [one(bet("b1", "10")), one(win("w1", "25", of="b1")), one(rollback("r1", "b1"))],
        cash="125.00",
        policies=Policies(settled_rollback="ALLOW"),
    ),
    Case(
        "a deposit, a tip, a withdrawal and a correction are reversed as well",
        [
            one(deposit("d1", "5")),
            one(debit("t1", "TIP", "1")),
            one(debit("o1", "WITHDRAWAL", "20")),
            one(debit("c1", "CORRECTION", "3")),
            one(credit("c2", "CORRECTION", "4")),
            one(rollback("r1", "d1"), Ok(after="80.00")),
            one(rollback("r2", "t1"), Ok(after="81.00")),
            one(rollback("r3", "o1"), Ok(after="101.00")),
            one(rollback("r4", "c1"), Ok(after="104.00")),
            one(rollback("r5", "c2"), Ok(after="100.00")),
        ],
        cash="100.00",
    ),
    Case(
        "a reversed credit that was spent leaves cash negative, and debits wait until it is covered",
        [
            one(credit("j1", "JACKPOT_WIN", "50")),
            one(bet("b1", "120"), Ok(after="30.00")),
            one(rollback("r1", "j1"), Ok(after="-20.00")),
            one(bet("b2", "0"), No("INSUFFICIENT_FUNDS", cash="-20.00")),
            one(bet("b3", "1"), No("INSUFFICIENT_FUNDS")),
            one(deposit("d1", "21"), Ok(after="1.00")),
            one(bet("b4", "1"), Ok(after="0.00")),
        ],
        cash="0.00",
    ),
    Case(
        "a reversed credit that was spent is owed, and collected from later credits",
        [
            one(credit("j1", "JACKPOT_WIN", "50")),
            one(bet("b1", "120"), Ok(after="30.00")),
            one(rollback("r1", "j1"), Ok(after="0.00", receivable_change="20.00")),
            one(deposit("d1", "15"), Ok(after="0.00", receivable_change="-15.00")),
            one(deposit("d1", "15"), Ok(after="0.00", receivable_change="-15.00", replayed=True)),
            one(deposit("d2", "15"), Ok(after="10.00", receivable_change="-5.00")),
            one(rollback("r2", "d2"), Ok(after="0.00", receivable_change="5.00")),
            one(rollback("r3", "d1"), Ok(after="0.00", receivable_change="15.00")),
        ],
        cash="0.00",
        receivable="20.00",
        policies=Policies(shortfall="CLAMP"),
    ),
    Case(
        "a reversed credit that was spent is refused where the source wants that",
        [
            one(credit("j1", "JACKPOT_WIN", "50")),
            one(bet("b1", "120")),
            one(rollback("r1", "j1"), No("INSUFFICIENT_FUNDS", cash="30.00")),
            one(rollback("r1", "j1"), No("INSUFFICIENT_FUNDS", cash="30.00", replayed=True)),
            one(deposit("d1", "20")),
            one(rollback("r2", "j1"), Ok(after="0.00")),
        ],
        cash="0.00",
        policies=Policies(shortfall="REJECT"),
    ),
]
