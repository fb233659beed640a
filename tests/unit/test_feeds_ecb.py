"""The European Central Bank's document is read whole, or not at all."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from fx.feeds.ecb import read_reference_rates
from fx.feeds.feed import FeedMalformed, FeedRate
from tests.rate_servers import reference_rates

FRIDAY = date(2026, 11, 20)
RATES = {"USD": "1.0842", "JPY": "163.07", "BRL": "5.8123", "IDR": "17012.45"}


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


NOW_MS = ms(2026, 11, 21, 12)


def read(body: bytes, now_ms: int = NOW_MS) -> list[FeedRate]:
    return list(read_reference_rates(body, now_ms=now_ms))


def rates_with(**changed: str) -> bytes:
    return reference_rates(FRIDAY, RATES | changed)


def test_every_currency_of_the_day_is_a_rate_of_the_euro() -> None:
    rates = read(reference_rates(FRIDAY, RATES))

    assert {str(rate.pair): str(rate.mid) for rate in rates} == {
        f"EUR/{currency}": rate for currency, rate in RATES.items()
    }
    assert rates[0].mid == Decimal("1.0842")


@pytest.mark.parametrize(
    ("day", "published_ms"),
    [
        (date(2026, 11, 20), ms(2026, 11, 20, 15)),
        (date(2026, 7, 20), ms(2026, 7, 20, 14)),
        (date(2026, 3, 27), ms(2026, 3, 27, 15)),
        (date(2026, 3, 30), ms(2026, 3, 30, 14)),
        (date(1999, 1, 4), ms(1999, 1, 4, 15)),
    ],
)
def test_rates_are_published_at_four_in_frankfurt_in_summer_and_in_winter(
    day: date, published_ms: int
) -> None:
    assert {rate.published_ms for rate in read(reference_rates(day, RATES))} == {published_ms}


def test_what_is_there_before_four_is_published_at_latest_now() -> None:
    now_ms = ms(2026, 11, 20, 14, 20)

    assert read(reference_rates(FRIDAY, RATES), now_ms)[0].published_ms == now_ms


GOOD = reference_rates(FRIDAY, RATES)


def with_entities(declared: str) -> bytes:
    """A document that is good but for what stands before it, and is used in its subject."""
    start, end = GOOD.split(b"<gesmes:Envelope", 1)
    return start + f"<!DOCTYPE x [{declared}]><gesmes:Envelope".encode() + end.replace(b"Reference", b"&e;")


ENTITY_BOMB = with_entities(
    '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">'
    '<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;">'
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html><body>Maintenance</body></html>", id="HTML"),
        pytest.param(b"<!DOCTYPE html><html><head><meta charset=utf-8><body>502", id="HTML that is no XML"),
        pytest.param(GOOD[:-20], id="cut off"),
        pytest.param(GOOD[:400], id="cut off among the rates"),
        pytest.param(GOOD + b"<more/>", id="something behind it"),
        pytest.param(b'{"base": "EUR", "rates": {"USD": 1.08}}', id="JSON"),
        pytest.param(ENTITY_BOMB, id="entity bomb"),
        pytest.param(with_entities('<!ENTITY e SYSTEM "file:///etc/hostname">'), id="external entity"),
        pytest.param(with_entities('<!ENTITY e "Reference">'), id="harmless entity"),
        pytest.param(GOOD.replace(b"UTF-8", b"no-such-code"), id="unknown encoding"),
        pytest.param(GOOD.replace(b"gesmes.org", b"example.org"), id="another root"),
        pytest.param(GOOD.replace(b"ecb.int", b"example.org"), id="cubes of another name"),
        pytest.param(GOOD.replace(b" time='2026-11-20'", b""), id="no day"),
        pytest.param(b"<a>" * 100_000 + b"</a>" * 100_000, id="deep"),
        pytest.param(reference_rates("", RATES), id="empty day"),
        pytest.param(reference_rates("20261120", RATES), id="day without dashes"),
        pytest.param(reference_rates("2026-02-30", RATES), id="day that is none"),
        pytest.param(reference_rates("0001-01-01", RATES), id="day of no market"),
        pytest.param(reference_rates("2026-11-22", RATES), id="tomorrow"),
        pytest.param(reference_rates(FRIDAY, {}), id="no rates"),
        pytest.param(rates_with(USD="0"), id="zero"),
        pytest.param(rates_with(USD="0.0000"), id="zero with decimals"),
        pytest.param(rates_with(USD="-1.08"), id="negative"),
        pytest.param(rates_with(USD="NaN"), id="NaN"),
        pytest.param(rates_with(USD="Infinity"), id="infinite"),
        pytest.param(rates_with(USD="1.08E0"), id="exponent"),
        pytest.param(rates_with(USD="1,0842"), id="comma"),
        pytest.param(rates_with(USD=" 1.0842"), id="blank"),
        pytest.param(rates_with(USD="١.٠٨"), id="other digits"),
        pytest.param(rates_with(USD="N/A"), id="no number"),
        pytest.param(rates_with(USD="1." + "0" * 5000 + "1"), id="endless"),
        pytest.param(rates_with(usd="1.08"), id="small letters"),
        pytest.param(rates_with(US="1.08"), id="short code"),
        pytest.param(rates_with(EUR="1"), id="the euro itself"),
        pytest.param(GOOD.replace(b"'JPY'", b"'USD'"), id="a currency twice"),
        pytest.param(GOOD.replace(b"currency='JPY' ", b""), id="no currency"),
        pytest.param(GOOD.replace(b" rate='163.07'", b""), id="no rate"),
        pytest.param(GOOD.replace(b"<Cube currency='JPY'", b"<Cub currency='JPY'"), id="something else"),
        pytest.param(
            GOOD.replace(b"\t</Cube>\n</", b"\t<Cube time='2026-11-19'/></Cube>\n</"), id="two days"
        ),
    ],
)
def test_a_document_that_is_wrong_anywhere_is_refused_as_a_whole_and_shortly(body: bytes) -> None:
    with pytest.raises(FeedMalformed) as refused:
        read(body)

    assert len(str(refused.value)) < 150
    assert "\n" not in str(refused.value)
