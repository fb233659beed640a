"""Calls of several steps, all or nothing."""

from tests.samples.case import Case, No, Ok, again, one
from tests.steps import at_version, bet, rollback, win

CALLS = [
    Case(
        "the same id twice in one call is applied once",
        [([bet("a", "100"), bet("a", "100")], [Ok(after="900.00"), again(after="900.00")])],
        start="1000",
        cash="900.00",
    ),
    Case(
        "funds are checked step by step, and a refusal undoes the steps before",
        [
            ([bet("a", "100"), bet("b", "100")], No("INSUFFICIENT_FUNDS", cash="150.00", step=1)),
            one(bet("a", "100"), No("INSUFFICIENT_FUNDS", replayed=True)),
            one(bet("b", "100"), No("INSUFFICIENT_FUNDS", replayed=True)),
        ],
        start="150",
        cash="150.00",
        version=2,
    ),
    Case(
        "a later credit does not pay for an earlier debit",
        [([bet("b1", "100"), win("w1", "200", of="b1")], No("INSUFFICIENT_FUNDS", cash="50.00"))],
        start="50",
        cash="50.00",
    ),
    Case(
        "a bet and its rollback in one call leave nothing",
        [([bet("b1", "10"), rollback("r1", "b1")], [Ok(after="90.00", now="100.00"), Ok(after="100.00")])],
        cash="100.00",
        version=4,
    ),
    Case(
        "a rollback before its bet in one call refuses the call and remembers nothing",
        [
            ([rollback("r1", "b1"), bet("b1", "10")], No("TRANSACTION_ROLLED_BACK", step=1)),
            one(bet("b1", "10")),
            one(rollback("r1", "b1")),
        ],
        cash="100.00",
    ),
    Case(
        "a replayed step keeps its old effect when the rest of the call is refused",
        [
            one(bet("a", "60")),
            ([bet("a", "60"), bet("b", "60")], No("INSUFFICIENT_FUNDS", cash="40.00", step=1)),
            one(bet("a", "60"), again(after="40.00")),
        ],
        cash="40.00",
    ),
    Case(
        "a refusal that is no answer remembers no id of the call",
        [
            ([bet("a", "10"), win("w", "5", of="x")], No("REFERENCE_NOT_FOUND", step=1)),
            ([bet("a", "11"), at_version(bet("b", "1"), 99)], No("VERSION_MISMATCH", step=1)),
            ([bet("a", "12"), bet("c", "1", "USD")], No("WALLET_NOT_FOUND", step=1)),
            ([bet("a", "13"), bet("a", "14")], No("TRANSACTION_ID_CONFLICT", step=1)),
            one(bet("a", "15")),
        ],
        cash="85.00",
    ),
    Case(
        "an earlier refusal refuses the whole call and remembers no new id",
        [
            one(bet("a", "200"), No("INSUFFICIENT_FUNDS")),
            ([bet("b", "1"), bet("a", "200")], No("INSUFFICIENT_FUNDS", replayed=True, step=1)),
            one(bet("b", "2")),
        ],
        cash="98.00",
    ),
    Case(
        "a step expects the version that the steps before it made",
        [
            (
                [at_version(bet("a", "1"), 2), at_version(bet("b", "1"), 3)],
                [Ok(version=3), Ok(version=4)],
            ),
            one(at_version(bet("c", "1"), 3), No("VERSION_MISMATCH")),
            one(at_version(bet("c", "1"), 4)),
        ],
        cash="97.00",
    ),
]
