"""Locked rates: what 18 digits keep, how amounts round, and the text that a lock is kept as."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from fx.rate_locks import Multiplier, RateLock, Rounding, Side, Split, split

LARGEST = 10**36 - 1

LOCK = RateLock(
    currency="USD",
    wallet_currency="EUR",
    rate=Multiplier(9292, -4),
    mid=Multiplier(92, -2),
    side=Side.PAID,
    spread_bps=100,
    rate_id="17",
    published_ms=1_700_000_000_000,
    received_ms=1_700_000_000_250,
)
LOCK_TEXT = "USD,EUR,9292,-4,92,-2,paid,100,17,1700000000000,1700000000250"


@pytest.mark.parametrize(
    ("exact", "rounding", "multiplier"),
    [
        (Fraction("0.92"), Rounding.HALF_EVEN, Multiplier(92, -2)),
        (Fraction(1), Rounding.UP, Multiplier(1, 0)),
        (Fraction(5000), Rounding.DOWN, Multiplier(5, 3)),
        (Fraction(10) ** -36, Rounding.DOWN, Multiplier(1, -36)),
        (Fraction(1, 3), Rounding.DOWN, Multiplier(333333333333333333, -18)),
        (Fraction(1, 3), Rounding.UP, Multiplier(333333333333333334, -18)),
        (Fraction(1, 3), Rounding.HALF_EVEN, Multiplier(333333333333333333, -18)),
        (Fraction(2, 3), Rounding.HALF_EVEN, Multiplier(666666666666666667, -18)),
        (Fraction(10**18 - 1), Rounding.UP, Multiplier(10**18 - 1, 0)),
        (Fraction(10**19 - 1), Rounding.UP, Multiplier(1, 19)),
        (Fraction(10**19 - 1), Rounding.DOWN, Multiplier(10**18 - 1, 1)),
        (Fraction(10**18 + 5), Rounding.HALF_EVEN, Multiplier(10**17, 1)),
        (Fraction(10**18 + 15), Rounding.HALF_EVEN, Multiplier(10**17 + 2, 1)),
        (Fraction(10**18 + 25), Rounding.HALF_EVEN, Multiplier(10**17 + 2, 1)),
    ],
)
def test_a_rate_has_18_digits_rounded_as_asked_and_no_zeros_at_its_end(
    exact: Fraction, rounding: Rounding, multiplier: Multiplier
) -> None:
    made = Multiplier.of(exact, rounding)

    assert made.exact == multiplier.exact
    assert made.mantissa % 10 != 0


@pytest.mark.parametrize("exact", [Fraction(0), Fraction(-1, 3)])
def test_what_is_not_above_zero_is_no_rate(exact: Fraction) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        Multiplier.of(exact, Rounding.HALF_EVEN)


@pytest.mark.parametrize("mantissa", [0, -5, 10**18])
def test_a_multiplier_that_no_rate_becomes_is_refused(mantissa: int) -> None:
    with pytest.raises(ValueError, match="no mantissa"):
        Multiplier(mantissa, 0)


@pytest.mark.parametrize(
    ("multiplier", "amount", "down", "half_even", "up"),
    [
        (Multiplier(92, -2), 1000, 920, 920, 920),
        (Multiplier(92, -2), 0, 0, 0, 0),
        (Multiplier(92, -2), 1, 0, 1, 1),
        (Multiplier(5, -1), 1, 0, 0, 1),
        (Multiplier(5, -1), 3, 1, 2, 2),
        (Multiplier(5, -1), 5, 2, 2, 3),
        (Multiplier(49, -2), 1, 0, 0, 1),
        (Multiplier(51, -2), 1, 0, 1, 1),
        (Multiplier(1, -36), LARGEST, 0, 1, 1),
        (Multiplier(1, 16), 25, 25 * 10**16, 25 * 10**16, 25 * 10**16),
        (Multiplier(1, 0), LARGEST, LARGEST, LARGEST, LARGEST),
        (Multiplier(3, -1), LARGEST, 3 * 10**35 - 1, 3 * 10**35, 3 * 10**35),
    ],
)
def test_an_amount_becomes_whole_minor_units_rounded_as_asked(
    multiplier: Multiplier, amount: int, down: int, half_even: int, up: int
) -> None:
    assert multiplier.convert(amount, Rounding.DOWN) == down
    assert multiplier.convert(amount, Rounding.HALF_EVEN) == half_even
    assert multiplier.convert(amount, Rounding.UP) == up


def test_what_is_paid_rounds_up_and_what_is_received_down() -> None:
    assert Side.PAID.rounding is Rounding.UP
    assert Side.RECEIVED.rounding is Rounding.DOWN


@pytest.mark.parametrize(
    ("multiplier", "from_scale", "to_scale", "major"),
    [
        (Multiplier(92, -2), 2, 2, "0.92"),
        (Multiplier(16327, -4), 2, 0, "163.27"),
        (Multiplier(3352, -3), 2, 3, "0.3352"),
        (Multiplier(582505, -7), 8, 2, "58250.5"),
        (Multiplier(123456789012345678, -33), 18, 2, "1.23456789012345678"),
    ],
)
def test_a_rate_is_shown_between_major_units(
    multiplier: Multiplier, from_scale: int, to_scale: int, major: str
) -> None:
    assert multiplier.major(from_scale=from_scale, to_scale=to_scale) == Decimal(major)


def test_a_lock_is_kept_as_one_text_that_never_changes() -> None:
    assert str(LOCK) == LOCK_TEXT
    assert RateLock.parse(LOCK_TEXT) == LOCK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "USD,EUR",
        LOCK_TEXT + ",",
        LOCK_TEXT.replace("9292", "-9292"),
        LOCK_TEXT.replace("9292", "0"),
        LOCK_TEXT.replace("9292", "1" + "0" * 18),
        LOCK_TEXT.replace("9292", "+9292"),
        LOCK_TEXT.replace("9292", "09292"),
        LOCK_TEXT.replace("9292", " 9292"),
        LOCK_TEXT.replace("9292", "9_292"),
        LOCK_TEXT.replace("9292", "٩292"),
        LOCK_TEXT.replace("9292", "92.92"),
        LOCK_TEXT.replace("9292", ""),
        LOCK_TEXT.replace("paid", "lent"),
        LOCK_TEXT.replace("paid", "PAID"),
        LOCK_TEXT.replace("1700000000000", "today"),
    ],
)
def test_a_text_that_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RateLock.parse(text)


@pytest.mark.parametrize(
    ("lock", "amount", "wallet_amount", "parts"),
    [
        (LOCK, 1000, 930, Split(position=920, spread=9, rounding=1)),
        (LOCK, 2500, 2323, Split(position=2300, spread=23, rounding=0)),
        (LOCK, 1, 1, Split(position=1, spread=0, rounding=0)),
        (LOCK, 0, 0, Split(position=0, spread=0, rounding=0)),
        (replace(LOCK, rate=Multiplier(9108, -4)), 1000, 910, Split(position=920, spread=-9, rounding=-1)),
        (replace(LOCK, rate=Multiplier(92, -2), spread_bps=0), 1, 0, Split(1, 0, -1)),
    ],
)
def test_a_converted_amount_is_its_worth_at_mid_the_spread_and_what_came_of_rounding(
    lock: RateLock, amount: int, wallet_amount: int, parts: Split
) -> None:
    assert split(lock, amount, wallet_amount) == parts
