"""Amounts in their two forms: nothing is rounded, truncated or guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fx.amounts import MAX_DIGITS, AmountInvalid, format_amount, parse_amount
from fx.currencies import MAX_SCALE
from persistence import transactions
from tests.malformed import MALFORMED_AMOUNTS

LARGEST = 10**MAX_DIGITS - 1

scales = st.integers(0, MAX_SCALE)
minor_units = st.integers(0, LARGEST) | st.builds(
    lambda power, offset: min(max(2**power + offset, 0), LARGEST), st.integers(50, 64), st.integers(-2, 2)
)
characters = st.text(st.sampled_from("0123456789.+-eE_, \t\n\x00xX'٥５²"), max_size=12) | st.text(max_size=12)


@given(minor=minor_units, scale=scales)
def test_an_amount_is_read_back_as_it_was_written(minor: int, scale: int) -> None:
    assert parse_amount(format_amount(minor, scale), scale) == minor


@given(minor=minor_units, scale=scales)
def test_a_written_amount_has_all_decimals_of_its_currency_and_no_other_leading_zeros(
    minor: int, scale: int
) -> None:
    whole, point, decimals = format_amount(minor, scale).partition(".")

    assert len(decimals) == scale
    assert bool(point) == bool(scale)
    assert whole == str(int(whole))


@given(minor=minor_units, scale=scales)
def test_a_negative_balance_is_its_magnitude_with_a_minus(minor: int, scale: int) -> None:
    sign = "-" if minor else ""

    assert format_amount(-minor, scale) == sign + format_amount(minor, scale)


@given(text=characters, scale=scales)
def test_whatever_is_accepted_is_digits_with_at_most_one_point(text: str, scale: int) -> None:
    try:
        minor = parse_amount(text, scale)
    except AmountInvalid:
        return

    whole, _, decimals = text.partition(".")
    assert text.isascii()
    assert whole.isdigit()
    assert decimals.isdigit() or "." not in text
    assert minor == int(whole + decimals) * 10 ** (scale - len(decimals))


@pytest.mark.parametrize("text", MALFORMED_AMOUNTS)
def test_a_malformed_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountInvalid):
        parse_amount(text, 2)


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [
        ("0", 2, 0),
        ("0.0", 2, 0),
        ("0.00", 2, 0),
        ("12.5", 2, 1250),
        ("12.50", 2, 1250),
        ("007", 0, 7),
        ("10", 0, 10),
        ("0.001", 3, 1),
        ("0.00000001", 8, 1),
        ("1.000000000000000001", 18, 10**18 + 1),
        ("9007199254740993", 0, 2**53 + 1),
        ("9" * 36, 0, LARGEST),
        ("9" * 34 + ".99", 2, LARGEST),
        ("9" * 18 + "." + "9" * 18, 18, LARGEST),
        ("0" * 100 + "5", 0, 5),
    ],
)
def test_an_amount_is_read_exactly(text: str, scale: int, minor: int) -> None:
    assert parse_amount(text, scale) == minor


@pytest.mark.parametrize(
    ("text", "scale", "why"),
    [
        ("10.5", 0, "no decimals"),
        ("10.", 0, "digits"),
        ("10.0", 0, "no decimals"),
        ("0.0001", 3, "at most 3 decimals"),
        ("0.000000001", 8, "at most 8 decimals"),
        ("0.0000000000000000001", 18, "at most 18 decimals"),
        ("1" + "0" * 36, 0, "at most 36 digits"),
        ("1" + "0" * 34, 2, "at most 36 digits"),
        ("1" + "0" * 18, 18, "at most 36 digits"),
        ("9" * 5000, 0, "digits"),
    ],
)
def test_an_amount_beyond_its_currency_or_the_digits_is_refused_with_the_reason(
    text: str, scale: int, why: str
) -> None:
    with pytest.raises(AmountInvalid, match=why):
        parse_amount(text, scale)


def test_amounts_and_the_engine_agree_on_the_most_digits() -> None:
    assert MAX_DIGITS == transactions.MAX_DIGITS
