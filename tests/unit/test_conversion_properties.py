"""Nothing is gained by converting, and nothing lost but the spread and a minor unit, whatever the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from fx.currencies import MAX_SCALE
from fx.rate_book import RateBook
from fx.rate_locks import Multiplier, RateLock, Rounding, Side, split
from fx.rates import MAX_SPREAD_BPS, WHOLE_BPS, Pair, Rate, Spread

NOW_MS = 1_700_000_000_000
LARGEST = 10**36 - 1
PIVOT = "P"
CODES = (PIVOT, "A", "B", "C", "D")

quick = settings(max_examples=200, deadline=None)

scales = st.integers(0, MAX_SCALE)
amounts = st.integers(0, LARGEST) | st.integers(0, 1000)
sides = st.sampled_from(Side)
spreads_bps = st.sampled_from([0, 1, 100]) | st.integers(0, MAX_SPREAD_BPS)
mids = st.builds(
    lambda units, exponent: Decimal(units).scaleb(exponent),
    st.integers(1, 10**6) | st.integers(1, 10**18 - 1),
    st.integers(-18, 0),
)
exact_rates = st.fractions(min_value=Fraction(1, 10**36), max_value=10**36).filter(bool) | st.builds(
    lambda whole, below, power: Fraction(whole, below) * Fraction(10) ** power,
    st.integers(1, 10**20),
    st.integers(1, 10**20),
    st.integers(-36, 36),
)
multipliers = st.builds(Multiplier, st.integers(1, 10**18 - 1), st.integers(-54, 18))
codes = st.text(st.sampled_from("ABCXYZ0189"), min_size=1, max_size=8)
milliseconds = st.integers(0, 10**13)
locks = st.builds(
    RateLock,
    codes,
    codes,
    multipliers,
    multipliers,
    sides,
    spreads_bps,
    st.integers(1, 10**12).map(str) | st.just("17.18"),
    milliseconds,
    milliseconds,
)


@dataclass(frozen=True)
class Market:
    """Currencies with any decimals, each with a rate to one pivot or from it, and any spreads."""

    book: RateBook
    scales: dict[str, int]
    worth: dict[str, Fraction]
    """Of one minor unit, in major units of the pivot."""


@st.composite
def markets(draw: st.DrawFn) -> Market:
    of_codes = {code: draw(scales) for code in CODES}
    worth, rates, pairs = {PIVOT: Fraction(1)}, [], []
    for rate_id, code in enumerate(CODES[1:], start=1):
        base, quote = draw(st.sampled_from([(code, PIVOT), (PIVOT, code)]))
        mid = draw(mids)
        worth[code] = Fraction(mid) if base == code else 1 / Fraction(mid)
        rates.append(Rate(rate_id, "feed", base, quote, mid, NOW_MS, NOW_MS))
        pairs.append(Pair(base, quote, stale_after_s=60, jump_bps=500, two_person_bps=100))
    book = RateBook(
        rates=rates,
        pairs=pairs,
        spreads=[
            Spread(draw(spreads_bps)),
            Spread(draw(spreads_bps), currency="A"),
            Spread(draw(spreads_bps), side=Side.PAID),
        ],
        pivots=[PIVOT],
        scales=of_codes,
    )
    return Market(book, of_codes, {code: worth[code] / 10 ** of_codes[code] for code in CODES})


def lock(market: Market, currency: str, wallet_currency: str, side: Side) -> RateLock:
    return market.book.lock(currency, wallet_currency, side=side, player_group="", now_ms=NOW_MS)


def exchanged(market: Market, amount: int, held: str, wanted: str, side: Side) -> int:
    """What somebody has who pays out all that a wallet holds, or who is credited it in another currency.

    A payment takes the wallet's money for the most units of the other currency that it is enough for.
    """
    if side is Side.RECEIVED:
        return lock(market, held, wanted, side).rate.convert(amount, side.rounding)
    rate = lock(market, wanted, held, side).rate
    most = int(amount / rate.exact)
    assert rate.convert(most, side.rounding) <= amount < rate.convert(most + 1, side.rounding)
    return most


@quick
@given(
    market=markets(),
    amount=amounts,
    stops=st.lists(st.tuples(st.sampled_from(CODES), sides), min_size=1, max_size=8),
    last_side=sides,
)
def test_no_way_round_through_any_currencies_ends_with_more_than_it_began(
    market: Market, amount: int, stops: Sequence[tuple[str, Side]], last_side: Side
) -> None:
    currency = home = CODES[1]
    now = amount
    for following, side in [*stops, (home, last_side)]:
        if following != currency:
            now = exchanged(market, now, currency, following, side)
        currency = following

    assert now <= amount


@quick
@given(market=markets(), amount=amounts, ends=st.permutations(CODES), side=sides)
def test_no_single_conversion_is_worth_more_to_the_player_than_what_it_cost(
    market: Market, amount: int, ends: Sequence[str], side: Side
) -> None:
    held, wanted = ends[:2]

    now = exchanged(market, amount, held, wanted, side)

    assert now * market.worth[wanted] <= amount * market.worth[held]


@quick
@given(market=markets(), amount=st.integers(0, 10**15), ends=st.permutations(CODES), side=sides)
def test_a_conversion_is_within_a_minor_unit_and_the_18th_digit_of_the_exact_all_in_rate(
    market: Market, amount: int, ends: Sequence[str], side: Side
) -> None:
    # given the all-in rate, exactly
    currency, wallet_currency = ends[:2]
    made = lock(market, currency, wallet_currency, side)
    signed_bps = made.spread_bps if side is Side.PAID else -made.spread_bps
    mid = market.worth[currency] / market.worth[wallet_currency]
    exact = amount * mid * Fraction(WHOLE_BPS + signed_bps, WHOLE_BPS)

    # when an amount is converted
    converted = made.rate.convert(amount, side.rounding)

    # then the player is never better off, and worse by less than a minor unit and what 18 digits leave out
    disfavour = converted - exact if side is Side.PAID else exact - converted
    assert 0 <= disfavour < 1 + exact / 10**17


@quick
@given(made=locks, amount=amounts, side=sides)
def test_at_the_rate_that_was_locked_a_conversion_is_within_one_minor_unit(
    made: RateLock, amount: int, side: Side
) -> None:
    off = made.rate.convert(amount, side.rounding) - amount * made.rate.exact

    assert (0 <= off < 1) if side is Side.PAID else (-1 < off <= 0)


@quick
@given(exact=exact_rates)
def test_a_multiplier_is_within_its_18th_digit_and_on_the_side_that_was_asked_for(exact: Fraction) -> None:
    down, nearest, up = (
        Multiplier.of(exact, rounding) for rounding in (Rounding.DOWN, Rounding.HALF_EVEN, Rounding.UP)
    )

    last_digit = exact / 10**17
    assert exact - last_digit < down.exact <= exact <= up.exact < exact + last_digit
    assert nearest in {down, up}
    assert abs(nearest.exact - exact) == min(exact - down.exact, up.exact - exact)


@quick
@given(multiplier=multipliers, amount=amounts)
def test_amounts_of_36_digits_are_converted_exactly(multiplier: Multiplier, amount: int) -> None:
    exact = multiplier.exact * amount

    assert multiplier.convert(amount, Rounding.DOWN) == exact // 1
    assert multiplier.convert(amount, Rounding.UP) == -(-exact // 1)
    assert multiplier.convert(amount, Rounding.HALF_EVEN) == round(exact)


@quick
@given(made=locks)
def test_a_lock_is_read_back_as_it_was_written(made: RateLock) -> None:
    assert RateLock.parse(str(made)) == made


@quick
@given(made=locks, amount=amounts, wallet_amount=amounts)
def test_the_parts_of_a_converted_amount_sum_to_it(made: RateLock, amount: int, wallet_amount: int) -> None:
    parts = split(made, amount, wallet_amount)

    assert parts.position + parts.spread + parts.rounding == wallet_amount


@quick
@given(made=locks, amount=amounts, side=sides)
def test_rounding_is_never_more_than_one_minor_unit_and_in_nobodys_favour_but_the_houses(
    made: RateLock, amount: int, side: Side
) -> None:
    rounding = split(made, amount, made.rate.convert(amount, side.rounding)).rounding

    assert rounding in ({0, 1} if side is Side.PAID else {0, -1})
