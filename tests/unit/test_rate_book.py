"""The rate that a conversion gets: by which way, with which spread, until when, and why there is none."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import count, permutations

import pytest

from fx.rate_book import CurrencyDepegged, RateBook, RateHeld, RateStale, RateUnknown, RateUnusable
from fx.rate_checks import CLOCK_TOLERANCE_MS
from fx.rate_locks import Multiplier, RateLock, Side
from fx.rates import Pair, Rate, RateState, Spread

NOW_MS = 1_700_000_000_000
SCALES = {"EUR": 2, "USD": 2, "GBP": 2, "JPY": 0, "KWD": 3, "USDT": 6, "BTC": 8, "ETH": 18}
STALE_AFTER_S = 60

PEGGED = Pair(
    "USDT",
    "USD",
    STALE_AFTER_S,
    jump_bps=500,
    two_person_bps=100,
    peg=Decimal(1),
    peg_band_bps=200,
)
ids = count(1)


def a_rate(
    names: str,
    mid: str,
    *,
    age_ms: int = 0,
    state: RateState = RateState.ACCEPTED,
    rate_id: int | None = None,
) -> Rate:
    """Of a pair like "EUR/USD". It took 100 ms to be received."""
    base, quote = names.split("/")
    published_ms = NOW_MS - age_ms
    return Rate(
        rate_id or next(ids), "feed", base, quote, Decimal(mid), published_ms, published_ms + 100, state
    )


def a_book(
    *rates: Rate,
    pairs: Sequence[Pair] = (),
    spreads: Sequence[Spread] = (),
    pivots: Sequence[str] = ("EUR", "USD"),
) -> RateBook:
    """Every rate has a pair: of ``pairs``, or a usual one."""
    given = {(pair.base, pair.quote): pair for pair in pairs}
    usual = {
        (rate.base, rate.quote): Pair(rate.base, rate.quote, STALE_AFTER_S, jump_bps=500, two_person_bps=100)
        for rate in rates
    }
    return RateBook(
        rates=rates, pairs=(usual | given).values(), spreads=spreads, pivots=pivots, scales=SCALES
    )


def lock(
    book: RateBook,
    names: str,
    *,
    side: Side = Side.PAID,
    player_group: str = "",
    now_ms: int = NOW_MS,
) -> RateLock:
    """Of an amount in the first of two currencies on a wallet in the second: "USD/EUR"."""
    currency, wallet_currency = names.split("/")
    return book.lock(currency, wallet_currency, side=side, player_group=player_group, now_ms=now_ms)


def test_a_lock_says_what_it_was_made_of() -> None:
    book = a_book(a_rate("USD/EUR", "0.9200", rate_id=17), spreads=[Spread(100)])

    made = lock(book, "USD/EUR", side=Side.PAID)

    assert made == RateLock(
        "USD",
        "EUR",
        rate=Multiplier(9292, -4),
        mid=Multiplier(92, -2),
        side=Side.PAID,
        spread_bps=100,
        rate_id="17",
        published_ms=NOW_MS,
        received_ms=NOW_MS + 100,
    )


@pytest.mark.parametrize(
    ("names", "exact"),
    [
        ("USD/EUR", Fraction("0.92")),
        ("EUR/USD", 1 / Fraction("0.92")),
        ("EUR/JPY", Fraction("163.27") / 100),
        ("JPY/EUR", 100 / Fraction("163.27")),
        ("EUR/KWD", Fraction("0.3352") * 10),
        ("BTC/EUR", Fraction("58250.5") / 10**6),
        ("EUR/BTC", 10**6 / Fraction("58250.5")),
        ("JPY/KWD", 1000 * Fraction("0.3352") / Fraction("163.27")),
        ("KWD/JPY", Fraction("163.27") / Fraction("0.3352") / 1000),
        ("USD/JPY", Fraction("0.92") * Fraction("163.27") / 100),
        ("BTC/USD", Fraction("58250.5") / Fraction("0.92") / 10**6),
        ("ETH/BTC", Fraction("2987.65") / Fraction("58250.5") / 10**10),
    ],
)
def test_a_rate_is_direct_or_an_inverse_or_a_cross_and_between_minor_units(
    names: str, exact: Fraction
) -> None:
    book = a_book(
        a_rate("USD/EUR", "0.9200"),
        a_rate("EUR/JPY", "163.27"),
        a_rate("EUR/KWD", "0.3352"),
        a_rate("BTC/EUR", "58250.5"),
        a_rate("ETH/EUR", "2987.65"),
    )

    paid, received = lock(book, names, side=Side.PAID), lock(book, names, side=Side.RECEIVED)

    last_digit = exact / 10**17
    assert abs(paid.mid.exact - exact) <= last_digit / 2
    assert exact <= paid.rate.exact < exact + last_digit
    assert exact - last_digit < received.rate.exact <= exact


def test_the_newest_rate_of_a_pair_is_used_in_whatever_order_they_come() -> None:
    rates = [
        a_rate("USD/EUR", "0.9100", age_ms=2000),
        a_rate("USD/EUR", "0.9200", age_ms=1000),
        a_rate("USD/EUR", "0.9300", age_ms=500, state=RateState.HELD),
        a_rate("USD/EUR", "0.9400", age_ms=0, state=RateState.REJECTED),
    ]

    for order in permutations(rates):
        assert lock(a_book(*order), "USD/EUR").mid == Multiplier(92, -2)


def test_of_two_rates_of_the_same_time_the_one_that_came_later_is_used() -> None:
    corrected = [a_rate("USD/EUR", "0.9100", rate_id=2), a_rate("USD/EUR", "0.9200", rate_id=3)]

    assert lock(a_book(*corrected), "USD/EUR").rate_id == "3"
    assert lock(a_book(*reversed(corrected)), "USD/EUR").rate_id == "3"


def test_a_direct_rate_is_preferred_to_a_cross() -> None:
    book = a_book(
        a_rate("GBP/USD", "1.2500", rate_id=1),
        a_rate("EUR/GBP", "0.8500", rate_id=2),
        a_rate("EUR/USD", "1.0800", rate_id=3),
    )

    assert lock(book, "GBP/USD").rate_id == "1"
    assert lock(book, "USD/GBP").rate_id == "1"


@pytest.mark.parametrize(
    ("pivots", "rate_id", "mid"),
    [
        (("EUR", "USD"), "1.2", "170"),
        (("USD", "EUR"), "3.4", "175"),
        (("JPY", "GBP", "USD", "EUR"), "3.4", "175"),
    ],
)
def test_a_cross_goes_through_the_first_pivot_that_has_both_rates(
    pivots: Sequence[str], rate_id: str, mid: str
) -> None:
    book = a_book(
        a_rate("EUR/GBP", "0.8", rate_id=1),
        a_rate("EUR/JPY", "136", rate_id=2),
        a_rate("GBP/USD", "1.25", rate_id=3),
        a_rate("USD/JPY", "140", rate_id=4),
        a_rate("USD/EUR", "0.9200", rate_id=5),
        pivots=pivots,
    )

    made = lock(book, "GBP/JPY")

    assert made.rate_id == rate_id
    assert made.mid.major(from_scale=2, to_scale=0) == Decimal(mid)


def test_a_cross_is_as_old_as_its_oldest_rate() -> None:
    older = a_rate("EUR/JPY", "163.27", age_ms=9000)
    book = a_book(a_rate("USD/EUR", "0.9200", age_ms=1000), older)

    for names in ("USD/JPY", "JPY/USD"):
        made = lock(book, names)
        assert (made.published_ms, made.received_ms) == (older.published_ms, older.received_ms)


def test_of_two_pairs_that_are_inverse_one_is_used_both_ways() -> None:
    book = a_book(a_rate("USD/EUR", "0.9300"), a_rate("EUR/USD", "1.25"))

    assert lock(book, "EUR/USD").mid == Multiplier(125, -2)
    assert lock(book, "USD/EUR").mid == Multiplier(8, -1)


def test_a_rate_in_itself_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="no rate in itself"):
        lock(a_book(), "EUR/EUR")


EVERY_SPREAD = (
    ("pair, group, side", Spread(1, "USD", "EUR", Side.PAID, "vip")),
    ("pair, group", Spread(2, "USD", "EUR", None, "vip")),
    ("pair, side", Spread(3, "USD", "EUR", Side.PAID)),
    ("pair", Spread(4, "USD", "EUR")),
    ("currency, group, side", Spread(5, "USD", "", Side.PAID, "vip")),
    ("currency, group", Spread(6, "USD", "", None, "vip")),
    ("currency, side", Spread(7, "USD", "", Side.PAID)),
    ("currency", Spread(8, "USD")),
    ("wallet currency, group, side", Spread(9, "", "EUR", Side.PAID, "vip")),
    ("wallet currency, group", Spread(10, "", "EUR", None, "vip")),
    ("wallet currency, side", Spread(11, "", "EUR", Side.PAID)),
    ("wallet currency", Spread(12, "", "EUR")),
    ("any, group, side", Spread(13, "", "", Side.PAID, "vip")),
    ("any, group", Spread(14, "", "", None, "vip")),
    ("any, side", Spread(15, "", "", Side.PAID)),
    ("any", Spread(16)),
)
"""In the order in which they count, the most specific one first."""


@pytest.mark.parametrize("at", range(len(EVERY_SPREAD)), ids=[name for name, _ in EVERY_SPREAD])
def test_the_most_specific_spread_counts(at: int) -> None:
    spreads = [spread for _, spread in EVERY_SPREAD[at:]]

    book = a_book(a_rate("USD/EUR", "0.9200"), spreads=spreads[::-1])

    assert lock(book, "USD/EUR", side=Side.PAID, player_group="vip").spread_bps == at + 1


@pytest.mark.parametrize(
    "spread",
    [
        Spread(100, "EUR", "USD"),
        Spread(100, "GBP"),
        Spread(100, "", "USD"),
        Spread(100, side=Side.RECEIVED),
        Spread(100, player_group="whales"),
    ],
)
def test_a_spread_of_something_else_does_not_count(spread: Spread) -> None:
    book = a_book(a_rate("USD/EUR", "0.9200"), spreads=[spread])

    made = lock(book, "USD/EUR", side=Side.PAID, player_group="vip")

    assert made.spread_bps == 0
    assert made.rate == made.mid


def test_a_lock_is_made_once_also_for_groups_without_spreads_of_their_own() -> None:
    book = a_book(a_rate("USD/EUR", "0.9200"), spreads=[Spread(50, player_group="vip")])

    first = lock(book, "USD/EUR", player_group="one")

    assert lock(book, "USD/EUR", player_group="one") is first
    assert lock(book, "USD/EUR", player_group="two", now_ms=NOW_MS + 1000) is first


def test_each_group_and_side_gets_its_own_rate_also_when_asked_again() -> None:
    spreads = [Spread(100), Spread(50, player_group="vip"), Spread(200, side=Side.RECEIVED)]
    book = a_book(a_rate("USD/EUR", "0.9200"), spreads=spreads)

    for _ in range(2):
        assert lock(book, "USD/EUR").rate == Multiplier(9292, -4)
        assert lock(book, "USD/EUR", player_group="vip").rate == Multiplier(9246, -4)
        assert lock(book, "USD/EUR", player_group="nobody heard of").rate == Multiplier(9292, -4)
        assert lock(book, "USD/EUR", side=Side.RECEIVED).rate == Multiplier(9016, -4)


@pytest.mark.parametrize("bps", [-1, 10_000])
def test_a_spread_in_the_players_favour_or_of_all_of_an_amount_is_refused(bps: int) -> None:
    with pytest.raises(ValueError, match="0 to 9900"):
        Spread(bps)


@pytest.mark.parametrize("names", ["USD/EUR", "EUR/USD", "USD/JPY", "JPY/USD", "XXX/EUR", "EUR/XXX"])
def test_without_any_way_the_rate_is_unknown(names: str) -> None:
    unpaired = a_rate("USD/EUR", "0.9200")
    paired = a_book(a_rate("EUR/JPY", "163.27"), a_rate("GBP/USD", "1.25"), a_rate("XXX/EUR", "2"))
    without_pairs = RateBook(rates=[unpaired], pairs=[], spreads=[], pivots=["EUR"], scales=SCALES)

    for book in (a_book(), paired, without_pairs):
        with pytest.raises(RateUnknown) as refused:
            lock(book, names)
        assert f"{refused.value.currency}/{refused.value.wallet_currency}" == names


def test_a_rate_is_used_until_it_is_stale_and_then_refused_with_since_when() -> None:
    rate = a_rate("USD/EUR", "0.9200")
    book = a_book(rate)
    last_ms = rate.published_ms + STALE_AFTER_S * 1000

    assert lock(book, "USD/EUR", now_ms=last_ms).rate_id == str(rate.rate_id)
    with pytest.raises(RateStale) as refused:
        lock(book, "USD/EUR", now_ms=last_ms + 1)
    assert refused.value.since_ms == last_ms


def test_a_cross_is_stale_when_either_of_its_rates_is() -> None:
    short = Pair("EUR", "JPY", stale_after_s=5, jump_bps=500, two_person_bps=100)
    book = a_book(a_rate("USD/EUR", "0.9200"), a_rate("EUR/JPY", "163.27"), pairs=[short])

    for names in ("USD/JPY", "JPY/USD"):
        lock(book, names, now_ms=NOW_MS + 5000)
        with pytest.raises(RateStale):
            lock(book, names, now_ms=NOW_MS + 5001)
    lock(book, "USD/EUR", now_ms=NOW_MS + 5001)


def test_a_lock_is_not_given_again_beyond_its_time_and_a_refusal_is_not_remembered() -> None:
    book = a_book(a_rate("USD/EUR", "0.9200"))

    lock(book, "USD/EUR", now_ms=NOW_MS)
    with pytest.raises(RateStale):
        lock(book, "USD/EUR", now_ms=NOW_MS + 86_400_000)
    lock(book, "USD/EUR", now_ms=NOW_MS)


def test_a_direct_rate_that_cannot_be_used_refuses_though_there_is_a_cross() -> None:
    crossing = [a_rate("EUR/GBP", "0.85"), a_rate("EUR/USD", "1.08")]

    with pytest.raises(RateStale):
        lock(a_book(a_rate("GBP/USD", "1.25", age_ms=60_001), *crossing), "GBP/USD")
    with pytest.raises(RateHeld):
        lock(a_book(a_rate("GBP/USD", "1.25", state=RateState.HELD), *crossing), "GBP/USD")


def test_a_pair_that_never_had_a_rate_does_not_stand_in_the_way_of_a_cross() -> None:
    without_rates = Pair("GBP", "USD", STALE_AFTER_S, jump_bps=500, two_person_bps=100)
    rejected = a_rate("GBP/USD", "1.25", state=RateState.REJECTED)
    crossing = [a_rate("EUR/GBP", "0.85"), a_rate("EUR/USD", "1.08")]

    made = lock(a_book(*crossing, rejected, pairs=[without_rates]), "GBP/USD")

    assert made.rate_id == ".".join(str(rate.rate_id) for rate in crossing)


def test_a_pivot_whose_rates_cannot_be_used_gives_way_to_the_next_one() -> None:
    old = [a_rate("EUR/GBP", "0.85"), a_rate("EUR/JPY", "163.27", age_ms=60_001)]
    book = a_book(*old, a_rate("GBP/USD", "1.25", rate_id=901), a_rate("USD/JPY", "140", rate_id=902))

    assert lock(book, "GBP/JPY").rate_id == "901.902"


def test_when_no_pivot_can_be_used_the_first_one_says_why() -> None:
    book = a_book(
        a_rate("EUR/GBP", "0.85"),
        a_rate("EUR/JPY", "163.27", age_ms=60_001),
        a_rate("GBP/USD", "1.25", state=RateState.HELD),
        a_rate("USD/JPY", "140"),
    )

    with pytest.raises(RateStale):
        lock(book, "GBP/JPY")


@pytest.mark.parametrize(
    ("accepted_age_ms", "held_age_ms", "refusal"),
    [
        (None, 0, RateHeld),
        (None, 90_000, RateHeld),
        (60_001, 0, RateHeld),
        (60_001, 60_001, RateHeld),
        (60_001, 60_002, RateStale),
        (60_000, 0, None),
        (0, 10, None),
    ],
)
@pytest.mark.parametrize("names", ["USD/EUR", "EUR/USD", "USD/JPY"])
def test_a_stale_rate_is_held_while_a_newer_one_waits_to_be_confirmed(
    accepted_age_ms: int | None, held_age_ms: int, refusal: type[RateUnusable] | None, names: str
) -> None:
    rates = [a_rate("USD/EUR", "1.2", age_ms=held_age_ms, state=RateState.HELD), a_rate("EUR/JPY", "163.27")]
    if accepted_age_ms is not None:
        rates.append(a_rate("USD/EUR", "0.9200", age_ms=accepted_age_ms))
    book = a_book(*rates)

    if refusal is None:
        assert str(rates[-1].rate_id) in lock(book, names).rate_id
    else:
        with pytest.raises(refusal):
            lock(book, names)


@pytest.mark.parametrize("names", ["USD/EUR", "USD/JPY", "JPY/USD"])
def test_a_rate_from_the_future_is_unknown_until_its_time_has_nearly_come(names: str) -> None:
    ahead = a_rate("USD/EUR", "0.9200", age_ms=-CLOCK_TOLERANCE_MS - 1)
    book = a_book(ahead, a_rate("EUR/JPY", "163.27"))

    with pytest.raises(RateUnknown):
        lock(book, names, now_ms=NOW_MS)
    lock(book, names, now_ms=NOW_MS + 1)
    with pytest.raises(RateUnknown):
        lock(book, names, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("accepted", "held", "depegged"),
    [
        ("1.0000", None, False),
        ("0.9800", None, False),
        ("1.0200", None, False),
        ("0.9799", None, True),
        ("1.0201", None, True),
        ("1.0000", "0.9799", True),
        ("0.9799", "1.0000", True),
        ("1.0000", "0.9801", False),
        (None, "0.9799", True),
    ],
)
@pytest.mark.parametrize("names", ["USDT/USD", "USD/USDT", "USDT/EUR", "EUR/USDT"])
def test_a_stablecoin_beyond_its_band_is_not_converted_be_the_rate_accepted_or_held(
    accepted: str | None, held: str | None, depegged: bool, names: str
) -> None:
    rates = [a_rate("EUR/USD", "1.08")]
    if accepted:
        rates.append(a_rate("USDT/USD", accepted, age_ms=1000))
    if held:
        rates.append(a_rate("USDT/USD", held, state=RateState.HELD))
    book = a_book(*rates, pairs=[PEGGED])

    if depegged:
        with pytest.raises(CurrencyDepegged) as refused:
            lock(book, names)
        assert refused.value.depegged == "USDT"
    else:
        assert str(rates[1].rate_id) in lock(book, names).rate_id


def test_a_stablecoin_that_is_back_in_its_band_is_converted_again() -> None:
    fell = a_rate("USDT/USD", "0.9000", age_ms=1000, state=RateState.HELD)
    back = a_rate("USDT/USD", "0.9990")

    assert lock(a_book(fell, back, pairs=[PEGGED]), "USDT/USD").rate_id == str(back.rate_id)


def test_a_lost_peg_comes_before_all_other_reasons_and_no_other_pivot_gets_round_it() -> None:
    lost = [
        a_rate("USDT/USD", "1.0000", age_ms=90_000),
        a_rate("USDT/USD", "0.9000", state=RateState.HELD),
        a_rate("GBP/USD", "1.25", age_ms=90_000),
    ]
    elsewhere = [a_rate("USDT/EUR", "0.92"), a_rate("EUR/GBP", "0.85")]

    for names in ("USDT/GBP", "GBP/USDT"):
        with pytest.raises(CurrencyDepegged):
            lock(a_book(*lost, *elsewhere, pairs=[PEGGED], pivots=["USD", "EUR"]), names)


@pytest.mark.parametrize(
    "changed",
    [
        {"quote": "USDT"},
        {"stale_after_s": 0},
        {"jump_bps": -1},
        {"two_person_bps": -1},
        {"peg_band_bps": -1},
        {"peg": Decimal(0)},
        {"peg": Decimal("NaN")},
        {"peg": Decimal("Infinity")},
    ],
)
def test_a_pair_with_a_limit_that_cannot_be_meant_is_refused(changed: dict[str, str | int | Decimal]) -> None:
    with pytest.raises(ValueError, match=r"."):
        replace(PEGGED, **changed)  # type: ignore[arg-type]
