"""The scripts' arithmetic against Python's integers, as a real Valkey computes it.

Each evaluation computes many pairs. Amounts are weighted towards the places where doubles, the fast path and
the limbs end. Results are compared as texts, so that "-0" or a leading zero is a failure too.
"""

from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import product

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from lua import load_script
from persistence.transactions import MAX_DIGITS
from service.embedded import EmbeddedValkey

LARGEST = 10 ** (MAX_DIGITS + 1) - 1
LIMB_DIGITS = 7
PAIRS_AT_ONCE = 1000

SOURCE = resources.files("lua").joinpath("includes", "minor_units.lua").read_text(encoding="utf-8")
SNIPPET = (
    SOURCE
    + """
local reply = {}
for i = 1, #ARGV, 2 do
  local a, b = ARGV[i], ARGV[i + 1]
  reply[#reply + 1] = table.concat({
    add(a, b), subtract(a, b), smaller(a, b), negate(a),
    tostring(is_below(a, b)), tostring(is_negative(a)), tostring(fits(a)),
  }, ' ')
end
return reply
"""
)

borders = sorted(
    {
        sign * (border + offset)
        for border in (
            0,
            2**31,
            2**32,
            2**53,
            2**63,
            *(10**digits for digits in (1, 13, 14, 15, 16, 17, 35, 36)),
            *(10 ** (LIMB_DIGITS * limbs) for limbs in range(1, 6)),
            LARGEST,
        )
        for offset in (-2, -1, 0, 1, 2)
        for sign in (1, -1)
        if abs(border + offset) <= LARGEST
    }
)
amounts = (
    st.sampled_from(borders)
    | st.integers(-LARGEST, LARGEST)
    | st.integers(-(10**16), 10**16)
    | st.builds(lambda border, offset: border + offset, st.sampled_from(borders[2:-2]), st.integers(-2, 2))
    | st.builds(lambda digits, sign: sign * int(digits * 37), st.sampled_from("19"), st.sampled_from((1, -1)))
)
Pairs = Sequence[tuple[int, int]]


@pytest.fixture(scope="module")
def store(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def expected(a: int, b: int) -> str:
    words = (a + b, a - b, min(a, b), -a, a < b, a < 0, len(str(abs(a))) <= MAX_DIGITS)
    return " ".join(str(word).lower() for word in words)


def require_python_and_lua_to_agree(store: "redis.Redis", pairs: Pairs) -> None:
    computed = store.eval(SNIPPET, 0, *(str(amount) for pair in pairs for amount in pair))
    assert isinstance(computed, list)
    for (a, b), text in zip(pairs, computed, strict=True):
        assert text == expected(a, b), f"of {a} and {b}"


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(amounts, amounts), min_size=1, max_size=20))
def test_lua_computes_amounts_of_up_to_37_digits_as_python_does(store: "redis.Redis", pairs: Pairs) -> None:
    require_python_and_lua_to_agree(store, pairs)


def test_lua_computes_every_pair_of_border_amounts_as_python_does(store: "redis.Redis") -> None:
    pairs = list(product(borders, borders))
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        require_python_and_lua_to_agree(store, pairs[start : start + PAIRS_AT_ONCE])


def test_amounts_whose_digits_carry_through_every_limb_are_exact(store: "redis.Redis") -> None:
    nines = [10**digits - 1 for digits in range(1, MAX_DIGITS + 1)]

    require_python_and_lua_to_agree(
        store,
        [
            pair
            for amount in nines
            for pair in ((amount, 1), (amount + 1, -1), (-amount, -1), (-amount - 1, 1), (amount, -amount))
        ],
    )


@pytest.mark.parametrize("zero", ["add('5', '-5')", "add('-5', '5')", "subtract('0', '0')", "negate('0')"])
def test_zero_has_no_sign(store: "redis.Redis", zero: str) -> None:
    assert store.eval(f"{SOURCE} return {zero}", 0) == "0"


def test_the_arithmetic_is_what_the_scripts_are_made_of() -> None:
    assert "-- include:" not in SOURCE
    assert SOURCE in load_script("transact").source
    assert SOURCE in load_script("set_wallet").source


def test_lua_and_python_agree_on_the_most_digits() -> None:
    assert f"local MAX_DIGITS = {MAX_DIGITS}\n" in SOURCE
    assert f"local LIMB_DIGITS, LIMB = {LIMB_DIGITS}, {10**LIMB_DIGITS}\n" in SOURCE
