"""A quote is what was given, to whom it was given, or nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fx.quotes import Quote, QuoteForged, least_sale, new_quote, read, sign
from fx.rate_locks import Multiplier, RateLock, Rounding, Side

KEYS = {"1": b"a" * 32, "2": b"b" * 32}
RATE = Multiplier(1089, -3)
NOW_MS = 1_700_000_000_000
LOCK = RateLock("EUR", "USD", RATE, Multiplier(11, -1), Side.RECEIVED, 100, "7", NOW_MS, NOW_MS + 1)


def quote() -> Quote:
    return new_quote(
        source_id="cashier", player_id="p1", lock=LOCK, sell_amount=10_000, expires_ms=NOW_MS + 30_000
    )


def test_a_quote_comes_back_as_it_was_given() -> None:
    given_one = quote()

    text = sign(given_one, "1", KEYS["1"])

    assert read(text, KEYS) == given_one
    assert given_one.buy_amount == 10_890
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 512


def test_a_quote_is_its_players_and_its_sources() -> None:
    assert quote().is_of("cashier", "p1")
    assert not quote().is_of("cashier", "p2")
    assert not quote().is_of("games", "p1")


def test_no_two_quotes_are_the_same() -> None:
    assert quote().transaction_id != quote().transaction_id


def test_older_keys_are_good_as_long_as_they_are_kept() -> None:
    text = sign(quote(), "1", KEYS["1"])

    with pytest.raises(QuoteForged):
        read(text, {"2": KEYS["2"]})
    with pytest.raises(QuoteForged):
        read(text, {"1": KEYS["2"]})


@given(at=st.integers(0, 10_000), other=st.characters(min_codepoint=33, max_codepoint=126))
def test_a_quote_with_another_character_is_none(at: int, other: str) -> None:
    given_one = quote()
    text = sign(given_one, "1", KEYS["1"])
    at %= len(text)
    forged = text[:at] + other + text[at + 1 :]

    try:
        assert read(forged, KEYS) == given_one  # the last character of base64 has bits that mean nothing
    except QuoteForged:
        assert forged != text


@pytest.mark.parametrize("text", ["", ".", "a.b", "a.b.c", "ä.ö", "x" * 512, "AAAA.AAAA"])
def test_other_texts_are_no_quotes(text: str) -> None:
    with pytest.raises(QuoteForged):
        read(text, KEYS)


@given(mantissa=st.integers(1, 10**18 - 1), exponent=st.integers(-30, 10), buy_amount=st.integers(1, 10**20))
def test_the_least_sale_buys_what_was_asked_for_and_no_less_does(
    mantissa: int, exponent: int, buy_amount: int
) -> None:
    lock = replace(LOCK, rate=Multiplier(mantissa, exponent))

    sale = least_sale(lock, buy_amount)

    assert lock.rate.convert(sale, Rounding.DOWN) >= buy_amount
    assert sale == 1 or lock.rate.convert(sale - 1, Rounding.DOWN) < buy_amount
