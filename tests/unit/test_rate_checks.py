"""Incoming rates: which are used at once, which wait for a person, which are passed over, which are none."""

from dataclasses import replace
from decimal import Decimal

import pytest

from fx.rate_checks import (
    CLOCK_TOLERANCE_MS,
    Judgement,
    RateInvalid,
    Verdict,
    judge,
    needs_second_person,
    read_mid,
    require_mid,
)
from fx.rates import Pair, Rate, RateState

NOW_MS = 1_700_000_000_000

PAIR = Pair("EUR", "USD", stale_after_s=60, jump_bps=500, two_person_bps=100)
PEGGED = Pair(
    "USDT",
    "USD",
    stale_after_s=60,
    jump_bps=500,
    two_person_bps=100,
    peg=Decimal(1),
    peg_band_bps=200,
)
LAST = Rate(1, "ecb", "EUR", "USD", Decimal("1.0800"), NOW_MS - 5000, NOW_MS - 4900)
NEW = Rate(2, "ecb", "EUR", "USD", Decimal("1.0810"), NOW_MS, NOW_MS + 100)
NEW_TETHER = Rate(4, "ecb", "USDT", "USD", Decimal("0.9990"), NOW_MS, NOW_MS + 100)
LAST_TETHER = replace(NEW_TETHER, rate_id=3, mid=Decimal("1.0001"), published_ms=NOW_MS - 5000)

ACCEPTED = Verdict(Judgement.ACCEPTED)


def test_a_rate_near_the_last_one_is_accepted() -> None:
    assert judge(NEW, LAST, PAIR) == ACCEPTED


def test_the_first_rate_of_a_pair_is_accepted_whatever_it_is() -> None:
    assert judge(replace(NEW, mid=Decimal("0.000001")), None, PAIR) == ACCEPTED


@pytest.mark.parametrize(
    ("mid", "judgement"),
    [
        ("1.1340", Judgement.ACCEPTED),
        ("1.134000000000000001", Judgement.HELD),
        ("1.0260", Judgement.ACCEPTED),
        ("1.025999999999999999", Judgement.HELD),
        ("108.00", Judgement.HELD),
        ("0.9259", Judgement.HELD),
    ],
)
def test_a_rate_that_jumps_by_more_than_its_pair_may_is_held(mid: str, judgement: Judgement) -> None:
    assert judge(replace(NEW, mid=Decimal(mid)), LAST, PAIR).judgement is judgement


def test_jumps_are_measured_exactly_also_with_36_digits() -> None:
    # given a rate of 18 digits before the point
    last = replace(LAST, mid=Decimal("1" + "0" * 17))

    # when one is just as far away as it may be, and another one differs from that in the 36th digit
    far = replace(NEW, mid=Decimal("105" + "0" * 15))
    farther = replace(NEW, mid=Decimal("105" + "0" * 15 + "." + "0" * 17 + "1"))

    # then only the second is held
    assert judge(far, last, PAIR) == ACCEPTED
    assert judge(farther, last, PAIR).judgement is Judgement.HELD


@pytest.mark.parametrize(
    ("mid", "judgement"),
    [
        ("0.98", Judgement.ACCEPTED),
        ("1.02", Judgement.ACCEPTED),
        ("0.979999999999999999", Judgement.HELD),
        ("1.020000000000000001", Judgement.HELD),
    ],
)
@pytest.mark.parametrize("last", [LAST_TETHER, None])
def test_a_rate_beyond_the_band_of_its_peg_is_held_even_as_the_first(
    mid: str, judgement: Judgement, last: Rate | None
) -> None:
    assert judge(replace(NEW_TETHER, mid=Decimal(mid)), last, PEGGED).judgement is judgement


def test_whoever_decides_is_told_why_a_rate_is_held() -> None:
    jumped = judge(replace(NEW, mid=Decimal("1.2000")), LAST, PAIR)
    depegged = judge(replace(NEW_TETHER, mid=Decimal("0.9")), LAST_TETHER, PEGGED)

    assert jumped.reason == "more than 500 bps from 1.0800, the last one that was accepted"
    assert depegged.reason == "more than 200 bps from its peg of 1"


@pytest.mark.parametrize("ago_ms", [1, 86_400_000])
def test_a_rate_from_before_the_last_one_is_ignored(ago_ms: int) -> None:
    late = replace(NEW, published_ms=LAST.published_ms - ago_ms)

    assert judge(late, LAST, PAIR).judgement is Judgement.IGNORED


@pytest.mark.parametrize(
    ("changed", "judgement"),
    [
        ({}, Judgement.IGNORED),
        ({"rate_id": 9, "received_ms": NOW_MS + 60_000}, Judgement.IGNORED),
        ({"mid": Decimal("1.08")}, Judgement.IGNORED),
        ({"mid": Decimal("1.0801")}, Judgement.ACCEPTED),
        ({"source": "desk"}, Judgement.ACCEPTED),
        ({"published_ms": LAST.published_ms + 1}, Judgement.ACCEPTED),
    ],
)
def test_the_same_rate_of_the_same_time_and_source_is_ignored_as_a_repetition(
    changed: dict[str, int | str | Decimal], judgement: Judgement
) -> None:
    assert judge(replace(LAST, **changed), LAST, PAIR).judgement is judgement  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [RateState.HELD, RateState.REJECTED])
def test_a_feed_that_repeats_what_is_held_or_was_rejected_is_not_heard_again(state: RateState) -> None:
    # given a rate that jumped, and that somebody may have decided on
    jumped = replace(NEW, mid=Decimal("1.2000"), state=state)

    # when the feed sends it again, and then the next one
    again = replace(jumped, rate_id=7, received_ms=jumped.received_ms + 1000, state=RateState.ACCEPTED)
    following = replace(again, published_ms=again.published_ms + 1000)

    # then only the next one is news
    assert judge(again, LAST, PAIR, last_from_source=jumped).judgement is Judgement.IGNORED
    assert judge(following, LAST, PAIR, last_from_source=jumped).judgement is Judgement.HELD


def test_a_rate_from_the_future_is_ignored_for_no_later_one_could_follow_it() -> None:
    ahead = replace(NEW, published_ms=NEW.received_ms + CLOCK_TOLERANCE_MS)

    assert judge(ahead, LAST, PAIR) == ACCEPTED
    ahead = replace(ahead, published_ms=ahead.published_ms + 1)
    assert judge(ahead, LAST, PAIR).judgement is Judgement.IGNORED
    assert judge(ahead, None, PAIR).judgement is Judgement.IGNORED


def test_a_rate_is_not_judged_by_another_pair() -> None:
    with pytest.raises(ValueError, match="judged as USDT/USD"):
        judge(NEW, LAST, PEGGED)


NO_MIDS = [
    "0",
    "-1",
    "NaN",
    "sNaN",
    "-Infinity",
    "Infinity",
    "1E+18",
    "1E+1000000",
    "1E-19",
    "1E-1000000",
    "1234567890123456789",
    "0.1234567890123456789",
    "1" + "0" * 35 + "1",
]


@pytest.mark.parametrize("mid", NO_MIDS)
def test_a_number_that_is_no_rate_is_refused(mid: str) -> None:
    with pytest.raises(RateInvalid):
        judge(replace(NEW, mid=Decimal(mid)), LAST, PAIR)


@pytest.mark.parametrize("mid", ["1", "1E+2", "1E-18", "9" * 18 + "." + "9" * 18, "0.000000000000000001"])
def test_a_number_of_at_most_18_digits_on_either_side_of_the_point_is_a_rate(mid: str) -> None:
    require_mid(Decimal(mid))


@pytest.mark.parametrize(
    "text",
    [
        *NO_MIDS,
        "",
        ".",
        ".5",
        "5.",
        "1.2.3",
        "+1",
        "-0",
        "0.000",
        "1e1",
        "1E1",
        " 1",
        "1 ",
        "1\n",
        "1\x00",
        "1,08",
        "1_0",
        "0x1",
        "٥",
        "５",
        "²",
        "1/3",
        "9" * 5000,
    ],
)
def test_a_text_that_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(RateInvalid, match=r"^must "):
        read_mid(text)


@pytest.mark.parametrize(
    "text", ["1", "1.0890", "163.27", "0.000000000000000001", "9" * 18 + "." + "9" * 18, "007.5"]
)
def test_a_rate_is_read_exactly(text: str) -> None:
    assert read_mid(text) == Decimal(text)


@pytest.mark.parametrize(
    ("mid", "last", "pair", "needed"),
    [
        ("1.0908", LAST, PAIR, False),
        ("1.0909", LAST, PAIR, True),
        ("1.0692", LAST, PAIR, False),
        ("1.0691", LAST, PAIR, True),
        ("7.5000", None, PAIR, False),
        ("0.9900", None, PEGGED, False),
        ("0.9899", None, PEGGED, True),
        ("0.9801", replace(LAST_TETHER, mid=Decimal("0.9899")), PEGGED, False),
    ],
)
def test_a_second_person_confirms_what_differs_much_from_the_last_rate_or_from_the_peg(
    mid: str, last: Rate | None, pair: Pair, needed: bool
) -> None:
    new = Rate(8, "desk", pair.base, pair.quote, Decimal(mid), NOW_MS, NOW_MS)

    assert needs_second_person(new, last, pair) is needed
