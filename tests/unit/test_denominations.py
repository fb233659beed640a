"""Amounts as providers write them, and as people are shown them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fx.amounts import MAX_DIGITS, AmountInvalid
from fx.currencies import MAX_SCALE
from fx.denominations import (
    CRYPTO_DENOMINATIONS,
    Denomination,
    cents,
    display_amount,
    hundred_thousandths,
)
from tests.malformed import MALFORMED_AMOUNTS

LARGEST = 10**MAX_DIGITS - 1
MALFORMED = set(MALFORMED_AMOUNTS) - {str(LARGEST + 1)}
"""Without the one that is an amount once it is divided."""

CRYPTO = {denomination.code: denomination for denomination in CRYPTO_DENOMINATIONS}

scales = st.integers(0, MAX_SCALE)
exponents = st.integers(-MAX_SCALE, 3)
minor_units = st.integers(0, LARGEST) | st.integers(0, 10**6)


@pytest.mark.parametrize(
    ("denomination", "text", "scale", "minor"),
    [
        (CRYPTO["mBTC"], "1.5", 8, 150_000),
        (CRYPTO["mBTC"], "0.00001", 8, 1),
        (CRYPTO["uBTC"], "1", 8, 100),
        (CRYPTO["satoshi"], "1", 8, 1),
        (CRYPTO["mETH"], "1", 18, 10**15),
        (CRYPTO["uETH"], "0.000000000001", 18, 1),
        (CRYPTO["gwei"], "21000", 18, 21_000 * 10**9),
        (CRYPTO["wei"], "1", 18, 1),
        (cents("EUR"), "1250", 2, 1250),
        (cents("JPY"), "1200", 0, 12),
        (cents("KWD"), "1.5", 3, 15),
        (hundred_thousandths("EUR"), "100000", 2, 100),
        (hundred_thousandths("JPY"), "100000", 0, 1),
        (hundred_thousandths("USDT"), "1", 6, 10),
        (Denomination("kBONK", "BONK", 3), "1.00001", 5, 100_001_000),
    ],
)
def test_an_amount_in_a_providers_unit_is_read_exactly(
    denomination: Denomination, text: str, scale: int, minor: int
) -> None:
    assert denomination.to_minor(text, scale) == minor


@pytest.mark.parametrize(
    ("denomination", "text", "scale", "why"),
    [
        (CRYPTO["satoshi"], "0.5", 8, "no decimals"),
        (CRYPTO["mBTC"], "0.000001", 8, "at most 5 decimals"),
        (CRYPTO["mBTC"], "9" * 32, 8, "at most 36 digits"),
        (hundred_thousandths("EUR"), "100001", 2, "whole number of minor units"),
        (hundred_thousandths("EUR"), "999", 2, "whole number of minor units"),
        (hundred_thousandths("EUR"), "100000.0", 2, "without a point"),
        (hundred_thousandths("EUR"), "9" * 36 + "000" + "000", 2, "at most 36 digits"),
        (hundred_thousandths("EUR"), "9" * 5000, 2, "digits"),
        (cents("JPY"), "150", 0, "whole number of minor units"),
    ],
)
def test_what_is_no_whole_minor_unit_is_refused_and_never_rounded(
    denomination: Denomination, text: str, scale: int, why: str
) -> None:
    with pytest.raises(AmountInvalid, match=why):
        denomination.to_minor(text, scale)


@pytest.mark.parametrize("text", [*sorted(MALFORMED), "10.5"])
@pytest.mark.parametrize("exponent", [-3, -2])
def test_a_malformed_amount_is_refused_whether_a_unit_has_decimals_or_is_a_minor_unit_or_less(
    text: str, exponent: int
) -> None:
    with pytest.raises(AmountInvalid):
        Denomination("unit", "XXX", exponent).to_minor(text, 2)


@pytest.mark.parametrize(
    ("denomination", "amount", "scale", "minor"),
    [
        (hundred_thousandths("EUR"), 100_000, 2, 100),
        (hundred_thousandths("EUR"), 1_000, 2, 1),
        (hundred_thousandths("EUR"), 0, 2, 0),
        (cents("EUR"), 5, 2, 5),
        (CRYPTO["uETH"], 3, 18, 3 * 10**12),
    ],
)
def test_a_whole_number_of_a_providers_unit_is_read_exactly(
    denomination: Denomination, amount: int, scale: int, minor: int
) -> None:
    assert denomination.to_minor_integer(amount, scale) == minor
    assert denomination.from_minor_integer(minor, scale) == amount


@pytest.mark.parametrize(
    ("amount", "scale", "why"),
    [
        (-1000, 2, "not be negative"),
        (1, 2, "whole number of minor units"),
        (10**36, 5, "at most 36 digits"),
        (10**35, 7, "at most 36 digits"),
    ],
)
def test_a_whole_number_that_is_no_amount_is_refused(amount: int, scale: int, why: str) -> None:
    with pytest.raises(AmountInvalid, match=why):
        hundred_thousandths("EUR").to_minor_integer(amount, scale)


def test_an_amount_that_a_provider_cannot_write_is_refused_on_the_way_out() -> None:
    with pytest.raises(AmountInvalid, match="whole number of mBTC"):
        CRYPTO["mBTC"].from_minor_integer(150_001, 8)


@given(minor=minor_units, scale=scales, exponent=exponents)
def test_an_amount_comes_back_from_every_unit_as_it_was(minor: int, scale: int, exponent: int) -> None:
    unit = Denomination("unit", "XXX", exponent)
    whole_units = minor - minor % 10 ** max(0, scale + exponent)

    assert unit.to_minor(unit.from_minor(minor, scale), scale) == minor
    assert unit.to_minor_integer(unit.from_minor_integer(whole_units, scale), scale) == whole_units


@given(minor=minor_units, scale=scales, exponent=exponents)
def test_every_unit_shows_a_balance_below_zero(minor: int, scale: int, exponent: int) -> None:
    unit = Denomination("unit", "XXX", exponent)

    assert unit.from_minor(-minor, scale).removeprefix("-") == unit.from_minor(minor, scale)


@pytest.mark.parametrize(
    ("minor", "scale", "decimals", "shown"),
    [
        (1299, 2, 2, "12.99"),
        (1299, 2, 1, "12.9"),
        (1299, 2, 0, "12"),
        (1299, 2, 8, "12.99"),
        (12, 0, 2, "12"),
        (199_999_999, 8, 2, "1.99"),
        (10**18 - 1, 18, 6, "0.999999"),
        (1, 18, 6, "0.000000"),
        (-1299, 2, 1, "-13.0"),
        (-1, 2, 0, "-1"),
        (-1, 18, 2, "-0.01"),
        (-1200, 2, 0, "-12"),
        (0, 8, 2, "0.00"),
    ],
)
def test_fewer_decimals_are_shown_rounded_down(minor: int, scale: int, decimals: int, shown: str) -> None:
    assert display_amount(minor, scale, decimals) == shown
