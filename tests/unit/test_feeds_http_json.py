"""The two shapes of JSON are read exactly, and what is wrong in what is wanted refuses the whole answer."""

import json
from decimal import Decimal

import pytest

from fx.feeds.feed import FeedMalformed, FeedRate, PairName
from fx.feeds.fetching import Answer
from fx.feeds.http_json import HttpJsonFeed, JsonFields

PUBLISHED_S = 1_700_000_000
PUBLISHED_MS = PUBLISHED_S * 1000
NOW_MS = PUBLISHED_MS + 5_000
SERVED_MS = NOW_MS - 1_000
BTC_USDT = frozenset({PairName("BTC", "USDT")})


class Documents:
    """Answers one body after the other; the last one for ever."""

    def __init__(self, *bodies: str, served_ms: int | None = SERVED_MS) -> None:
        self._bodies = list(bodies)
        self._served_ms = served_ms
        self._last = ""

    async def fetch(self) -> Answer:
        body = self._bodies.pop(0) if self._bodies else self._last
        changed, self._last = body != self._last, body
        return Answer(body.encode(), self._served_ms, changed=changed)


def feed(
    documents: Documents, *, pairs: frozenset[PairName] | None = None, fields: JsonFields | None = None
) -> HttpJsonFeed:
    return HttpJsonFeed(documents, fields or JsonFields(), pairs=pairs, now_ms=lambda: NOW_MS)


async def read(
    body: str,
    *,
    pairs: frozenset[PairName] | None = None,
    fields: JsonFields | None = None,
    served_ms: int | None = SERVED_MS,
) -> list[FeedRate]:
    return list(await feed(Documents(body, served_ms=served_ms), pairs=pairs, fields=fields).fetch())


def based(rates: str, *, base: str = '"USD"', timestamp: str = str(PUBLISHED_S)) -> str:
    return f'{{"base": {base}, "timestamp": {timestamp}, "rates": {rates}}}'


def ticker(**fields: str | int) -> str:
    return json.dumps([{"timestamp": PUBLISHED_S, **fields}])


async def test_a_base_with_its_rates() -> None:
    rates = await read(based('{"EUR": 0.92, "BRL": "4.9137", "JPY": 151, "USD": 1}'))

    assert rates == [
        FeedRate("USD", "EUR", Decimal("0.92"), PUBLISHED_MS),
        FeedRate("USD", "BRL", Decimal("4.9137"), PUBLISHED_MS),
        FeedRate("USD", "JPY", Decimal(151), PUBLISHED_MS),
    ]


@pytest.mark.parametrize(
    "symbol",
    [
        {"symbol": "BTCUSDT"},
        {"symbol": "BTC-USDT"},
        {"symbol": "BTC/USDT"},
        {"symbol": "BTC_USDT"},
        {"base": "BTC", "quote": "USDT"},
    ],
)
async def test_a_ticker_says_in_one_of_some_ways_of_which_pair_it_is(symbol: dict[str, str]) -> None:
    rates = await read(ticker(**symbol, price="97000.10"), pairs=BTC_USDT)

    assert rates == [FeedRate("BTC", "USDT", Decimal("97000.10"), PUBLISHED_MS)]


@pytest.mark.parametrize(
    ("number", "exact"),
    [
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1.5e-8", "0.000000015"),
        ('"1E-8"', "0.00000001"),
        ("1.2E3", "1200"),
        ("123456789012345678.123456789012345678", "123456789012345678.123456789012345678"),
        ("0.000010738451234567891", "0.000010738451234568"),
        ("0.0000000000000000005", None),
        ("1e-13", "0.0000000000001"),
        ("1.2345678e-14", None),
    ],
)
async def test_numbers_are_exact_to_eighteen_decimals_if_six_digits_stay(
    number: str, exact: str | None
) -> None:
    if exact is None:
        with pytest.raises(FeedMalformed, match="digits among its first 18 decimals"):
            await read(based(f'{{"BTC": {number}}}'))
    else:
        (rate,) = await read(based(f'{{"BTC": {number}}}'))
        assert format(rate.mid, "f") == exact


@pytest.mark.parametrize(
    ("timestamp", "units_per_s"),
    [
        (str(PUBLISHED_S), 1),
        (f"{PUBLISHED_S}.0", 1),
        (str(PUBLISHED_MS), 1000),
        ('"2023-11-14T22:13:20Z"', 1),
        ('"2023-11-14T23:13:20.000+01:00"', 1),
    ],
)
async def test_the_time_is_in_the_units_that_were_set_or_a_text(timestamp: str, units_per_s: int) -> None:
    fields = JsonFields(units_per_s=units_per_s)

    (rate,) = await read(based('{"EUR": 0.92}', timestamp=timestamp), fields=fields)

    assert rate.published_ms == PUBLISHED_MS


async def test_names_of_fields_are_set() -> None:
    fields = JsonFields(price="lastPrice", time="closeTime", units_per_s=1000)
    body = ticker(symbol="BTCUSDT", lastPrice="97000.10", closeTime=PUBLISHED_MS)

    (rate,) = await read(body, pairs=BTC_USDT, fields=fields)

    assert (rate.mid, rate.published_ms) == (Decimal("97000.10"), PUBLISHED_MS)


async def test_the_servers_clock_counts_only_where_that_was_set() -> None:
    body = json.dumps([{"symbol": "BTCUSDT", "price": "97000.10"}])

    (rate,) = await read(body, pairs=BTC_USDT, fields=JsonFields(time=""))

    assert rate.published_ms == SERVED_MS
    with pytest.raises(FeedMalformed, match="no timestamp"):
        await read(body, pairs=BTC_USDT)
    with pytest.raises(FeedMalformed, match="no Date header"):
        await read(body, pairs=BTC_USDT, fields=JsonFields(time=""), served_ms=None)


async def test_only_what_is_wanted_is_looked_at() -> None:
    tickers = [
        {"symbol": "BTCUSDT", "price": "97000.10", "timestamp": PUBLISHED_S},
        {"symbol": "LUNAUSDT", "price": "0.00000000", "timestamp": 0},
        {"symbol": "1INCH-USDT", "price": "NaN"},
        {"base": "eth", "quote": None},
    ]
    rates = {"BRL": "4.91", "EUR": 0.92, "weird": "x"}

    (of_tickers,) = await read(json.dumps(tickers), pairs=BTC_USDT)
    (of_base,) = await read(based(json.dumps(rates)), pairs=frozenset({PairName("USD", "BRL")}))

    assert of_tickers.pair == PairName("BTC", "USDT")
    assert of_base.pair == PairName("USD", "BRL")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("<html>Too many requests</html>", id="HTML"),
        pytest.param(based('{"EUR": 0.92')[:-1], id="cut off"),
        pytest.param(b"\xff\xfe\xff".decode("latin-1"), id="no text"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="empty list"),
        pytest.param("[1, 2]", id="list of numbers"),
        pytest.param('{"error": true, "status": 401}', id="an error in JSON"),
        pytest.param(based("{}"), id="no rates"),
        pytest.param(based('["EUR", 0.92]'), id="rates that are a list"),
        pytest.param(based('{"EUR": 0.92}', base="null"), id="no base"),
        pytest.param(based('{"EUR": 0.92}', base='"usd"'), id="base in small letters"),
        pytest.param(based('{"EUR": 0.92, "USD": 2}'), id="base at two of itself"),
        pytest.param(based('{"EUR": 0.92, "EUR": 0.11}'), id="a currency twice"),
        pytest.param(based('{"EURO!": 0.92}'), id="no currency"),
        pytest.param(based('{"EUR": NaN}'), id="NaN"),
        pytest.param(based('{"EUR": "NaN"}'), id="NaN in a string"),
        pytest.param(based('{"EUR": Infinity}'), id="infinite"),
        pytest.param(based('{"EUR": -0.92}'), id="negative"),
        pytest.param(based('{"EUR": 0}'), id="zero"),
        pytest.param(based('{"EUR": 0e5}'), id="zero with an exponent"),
        pytest.param(based('{"EUR": null}'), id="null for a rate"),
        pytest.param(based('{"EUR": true}'), id="true for a rate"),
        pytest.param(based('{"EUR": "0,92"}'), id="comma"),
        pytest.param(based('{"EUR": "٠.٩٢"}'), id="other digits"),
        pytest.param(based('{"EUR": 1e18}'), id="too large"),
        pytest.param(based('{"EUR": 1e999999999}'), id="very large"),
        pytest.param(based('{"EUR": 1e99999999999999999999}'), id="too large for a decimal"),
        pytest.param(based('{"EUR": 1e-999999999}'), id="very small"),
        pytest.param(based(f'{{"EUR": {"9" * 100_000}}}'), id="endless"),
        pytest.param(based('{"EUR": 0.92}', timestamp="null"), id="no time"),
        pytest.param(based('{"EUR": 0.92}', timestamp="0"), id="1970"),
        pytest.param(based('{"EUR": 0.92}', timestamp="-5"), id="before 1970"),
        pytest.param(based('{"EUR": 0.92}', timestamp="true"), id="true for a time"),
        pytest.param(based('{"EUR": 0.92}', timestamp='"today"'), id="no time in a string"),
        pytest.param(based('{"EUR": 0.92}', timestamp='"2023-11-14T22:13:20"'), id="a time of nowhere"),
        pytest.param(based('{"EUR": 0.92}', timestamp="1e400000"), id="very late"),
        pytest.param(based('{"EUR": 0.92}', timestamp=str(PUBLISHED_MS)), id="ms taken for s"),
        pytest.param(based('{"EUR": 0.92}', timestamp=str(PUBLISHED_S + 66)), id="61 s from now"),
        pytest.param(ticker(symbol="BTCUSDT", price="1"), id="whatever BTCUSDT is made of"),
        pytest.param(ticker(symbol=5, price="1"), id="symbol that is none"),
        pytest.param(ticker(symbol="BTC/BTC", price="1"), id="in itself"),
        pytest.param(ticker(base="BTC", price="1"), id="no quote"),
        pytest.param(ticker(base="BTC", quote="USDT"), id="no price"),
        pytest.param(
            f"[{ticker(symbol='BTC/USDT', price='1')[1:-1]}, {ticker(symbol='BTC-USDT', price='2')[1:-1]}]",
            id="a pair twice",
        ),
    ],
)
async def test_an_answer_that_is_wrong_anywhere_is_refused_as_a_whole_and_shortly(body: str) -> None:
    with pytest.raises(FeedMalformed) as refused:
        await read(body)

    assert len(str(refused.value)) < 150
    assert "\n" not in str(refused.value)


async def test_a_minute_from_now_is_a_clocks_error() -> None:
    (rate,) = await read(based('{"EUR": 0.92}', timestamp=str(PUBLISHED_S + 65)))

    assert rate.published_ms == NOW_MS + 60_000


async def test_garbage_after_good_rates_gives_none_and_the_next_good_answer_gives_them_again() -> None:
    good = based('{"EUR": 0.92}')
    fed = feed(Documents(good, "garbage", "garbage", good))

    first = await fed.fetch()
    for _ in range(2):
        with pytest.raises(FeedMalformed):
            await fed.fetch()

    assert await fed.fetch() == first
    assert await fed.fetch() is await fed.fetch()
