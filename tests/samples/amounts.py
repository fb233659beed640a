"""Zero, the last cent, and credit lines."""

from tests.reference import Policies
from tests.samples.case import Case, No, Ok, one
from tests.steps import bet, deposit, win

AMOUNTS = [
    Case(
        "zero is recorded and takes a version",
        [one(bet("b1", "0"), Ok(after="100.00", version=3)), one(deposit("d1", "0.00"), Ok(version=4))],
        cash="100.00",
        version=4,
    ),
    Case(
        "zero is refused for good where the source wants that",
        [
            one(bet("b1", "0"), No("ZERO_AMOUNT_REFUSED")),
            one(win("w1", "0.00"), No("ZERO_AMOUNT_REFUSED")),
            one(bet("b1", "0"), No("ZERO_AMOUNT_REFUSED", replayed=True)),
        ],
        cash="100.00",
        policies=Policies(zero_amount="REFUSE"),
    ),
    Case(
        "debits may go as far below zero as the credit line says",
        [
            one(bet("b1", "150"), Ok(after="-50.00")),
            one(bet("b2", "0.01"), No("INSUFFICIENT_FUNDS", cash="-50.00")),
            one(bet("b3", "0"), Ok(after="-50.00")),
        ],
        cash="-50.00",
        credit_line="50",
    ),
    Case(
        "the last cent can be played",
        [one(bet("b1", "99.99")), one(bet("b2", "0.01")), one(bet("b3", "0.01"), No("INSUFFICIENT_FUNDS"))],
        cash="0.00",
    ),
]
