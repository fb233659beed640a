"""Shares sum to what is shared, and none is off by a minor unit."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fx.allocation import allocate

amounts = st.integers(-(10**36), 10**36)
weights = st.lists(st.integers(0, 10**18), min_size=1, max_size=12).filter(any)


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        (100, (1, 1, 1), (34, 33, 33)),
        (5, (3, 7), (2, 3)),  # 1.5 and 3.5: the earlier of equal remainders
        (1, (1, 2), (0, 1)),
        (0, (1, 2), (0, 0)),
        (-100, (1, 1, 1), (-34, -33, -33)),
        (7, (0, 1, 0), (0, 7, 0)),
    ],
)
def test_a_split_worked_out_by_hand(amount: int, weights: tuple[int, ...], shares: tuple[int, ...]) -> None:
    assert allocate(amount, weights) == shares


@given(amount=amounts, weights=weights)
def test_shares_sum_to_the_amount_and_are_off_by_less_than_one(amount: int, weights: list[int]) -> None:
    shares = allocate(amount, weights)

    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(amount * weight, sum(weights))) < 1


@given(amount=amounts, weights=weights)
def test_who_has_no_weight_gets_nothing(amount: int, weights: list[int]) -> None:
    assert all(
        share == 0 for share, weight in zip(allocate(amount, weights), weights, strict=True) if weight == 0
    )


@pytest.mark.parametrize("weights", [(), (0, 0), (1, -1), (2, -1)])
def test_weights_that_make_no_sense_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="weights"):
        allocate(100, weights)
