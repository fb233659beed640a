"""What the scripts make of an amount and a rate, against Python's integers, as a real Valkey computes it."""

from collections.abc import Iterator

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from fx.rate_locks import SIGNIFICANT_DIGITS, Multiplier, Rounding
from persistence.transactions import MAX_DIGITS
from service.embedded import EmbeddedValkey
from tests.lua_includes import include

LARGEST = 10**MAX_DIGITS - 1
LARGEST_MANTISSA = 10**SIGNIFICANT_DIGITS - 1
SNIPPET = (
    include("minor_units", "rate_arithmetic")
    + """
local convert = rate_arithmetic()
local exponent = tonumber(ARGV[3])
return { convert(ARGV[1], ARGV[2], exponent, true), convert(ARGV[1], ARGV[2], exponent, false) }
"""
)

amounts = st.integers(0, LARGEST) | st.sampled_from([0, 1, 9_999_999, 10**7, 2**53 + 1, LARGEST])
mantissas = st.integers(1, LARGEST_MANTISSA) | st.sampled_from([1, 9, 10**7 - 1, LARGEST_MANTISSA])
exponents = st.integers(-60, 20)


@pytest.fixture(scope="module")
def store(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


@settings(max_examples=300, deadline=None)
@given(amount=amounts, mantissa=mantissas, exponent=exponents)
def test_lua_converts_as_python_does(store: "redis.Redis", amount: int, mantissa: int, exponent: int) -> None:
    multiplier = Multiplier(mantissa, exponent)

    converted = store.eval(SNIPPET, 0, str(amount), str(mantissa), str(exponent))

    expected = [str(multiplier.convert(amount, rounding)) for rounding in (Rounding.UP, Rounding.DOWN)]
    assert converted == expected
