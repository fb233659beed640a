"""Rates from any server that answers in one of the two shapes of JSON that most of them do.

An object with a base, a time, and what one unit of the base is in other currencies:

    {"base": "USD", "timestamp": 1700000000, "rates": {"EUR": 0.92, "BRL": 4.91}}

or a list of tickers, each with its currencies, or with a symbol that is made of them, and its price:

    [{"symbol": "BTCUSDT", "price": "97000.10", "timestamp": 1700000000},
     {"base": "ETH", "quote": "USDT", "price": "3100.5", "timestamp": 1700000000}]

Which of the two it is shows by itself. Further fields are left alone. Where pairs are wanted only theirs are
looked at, and a symbol without a separator can be read; nothing of a document counts where something that is
looked at is wrong.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from fx.feeds.feed import (
    FeedMalformed,
    FeedRate,
    PairName,
    read_code,
    read_time_ms,
    require_each_pair_once,
    require_not_of_the_future,
    shown,
)
from fx.feeds.fetching import Answer, Document
from fx.feeds.json_text import read_json, read_object
from fx.rate_checks import MID_DIGITS, RateInvalid, require_mid

FEWEST_DIGITS = 6
"""What must be left of a number that is rounded to a rate's decimals."""

_NUMBER = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_SEPARATED = re.compile(r"([A-Z0-9]+)[-/_:]([A-Z0-9]+)", re.ASCII)
_SMALLEST = Decimal(1).scaleb(-MID_DIGITS)
_ROUNDING = Context(prec=2 * MID_DIGITS, rounding=ROUND_HALF_EVEN)
_LATEST = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class JsonFields:
    """Where things are. ``time`` is in ``units_per_s``, or a text with an offset.

    Where ``time`` is empty, rates are taken to be published when the server's Date header says that it
    answered: only for servers that always answer with what holds now.
    """

    price: str = "price"
    time: str = "timestamp"
    units_per_s: int = 1


class HttpJsonFeed:
    """``pairs`` are the wanted ones, None for all that there are."""

    name = "http_json"

    def __init__(
        self,
        document: Document,
        fields: JsonFields,
        *,
        pairs: frozenset[PairName] | None,
        now_ms: Callable[[], int],
    ) -> None:
        self._document = document
        self._fields = fields
        self._pairs = pairs
        self._now_ms = now_ms
        self._rates: Sequence[FeedRate] = ()

    async def fetch(self) -> Sequence[FeedRate]:
        """Raises FeedUnavailable and FeedMalformed."""
        answer = await self._document.fetch()
        if answer.changed or not self._rates or not self._fields.time:
            self._rates = ()
            self._rates = self._read(answer)
        return self._rates

    def _read(self, answer: Answer) -> Sequence[FeedRate]:
        reader = _Reader(self._fields, self._pairs, answer.served_ms, self._now_ms())
        rates = list(reader.rates(read_json(answer.body)))
        return require_each_pair_once(rates)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one document."""

    fields: JsonFields
    pairs: frozenset[PairName] | None
    served_ms: int | None
    now_ms: int

    def rates(self, document: object) -> Iterator[FeedRate]:
        if isinstance(document, list):
            return self._of_tickers(document)
        return self._of_base(read_object(document, what="the document"))

    def _of_base(self, document: Mapping[str, object]) -> Iterator[FeedRate]:
        base = read_code(document.get("base"))
        published_ms = self._published_ms(document)
        for quote, price in read_object(document.get("rates"), what="rates").items():
            if self._is_wanted(base, quote) and not _is_itself(base, quote, price):
                pair = _pair(base, quote)
                yield FeedRate(*pair, _mid(price, of=pair), published_ms)

    def _of_tickers(self, tickers: Sequence[object]) -> Iterator[FeedRate]:
        by_symbol = {pair.base + pair.quote: pair for pair in self.pairs or ()}
        for each in tickers:
            ticker = read_object(each, what="a ticker")
            base, quote = _currencies(ticker, by_symbol)
            if self._is_wanted(base, quote):
                pair = _pair(base, quote)
                mid = _mid(ticker.get(self.fields.price), of=pair)
                yield FeedRate(*pair, mid, self._published_ms(ticker))

    def _is_wanted(self, base: object, quote: object) -> bool:
        return self.pairs is None or any((base, quote) == pair for pair in self.pairs)

    def _published_ms(self, where: Mapping[str, object]) -> int:
        return require_not_of_the_future(self._told_ms(where), now_ms=self.now_ms)

    def _told_ms(self, where: Mapping[str, object]) -> int:
        if not self.fields.time:
            if self.served_ms is None:
                raise FeedMalformed("no Date header, which was to tell when it was published")
            return self.served_ms
        told = where.get(self.fields.time)
        if told is None:
            raise FeedMalformed(f"no {self.fields.time}: nobody knows when it was published")
        if not isinstance(told, Decimal):
            return read_time_ms(told)
        if not 0 < told < _LATEST:
            raise FeedMalformed(f"{self.fields.time} is {shown(str(told))}")
        return int(told * 1000 / self.fields.units_per_s)


def _is_itself(base: str, quote: str, price: object) -> bool:
    """Some lists have their base, too, at one. At anything else the list is wrong."""
    if base != quote:
        return False
    if price != 1:
        raise FeedMalformed(f"the rate of {base} in itself is {shown(price)}")
    return True


def _currencies(ticker: Mapping[str, object], by_symbol: Mapping[str, PairName]) -> tuple[object, object]:
    """What the ticker says that it is of. None for a symbol that shows it neither by itself nor by a wish."""
    if "symbol" not in ticker:
        return ticker.get("base"), ticker.get("quote")
    symbol = ticker["symbol"]
    if not isinstance(symbol, str):
        raise FeedMalformed(f"the symbol is {shown(symbol)}")
    if separated := _SEPARATED.fullmatch(symbol):
        return separated[1], separated[2]
    if not by_symbol:
        raise FeedMalformed(f"of what {shown(symbol)} is made can be told only where pairs are wanted")
    return by_symbol.get(symbol, (None, None))


def _pair(base: object, quote: object) -> PairName:
    pair = PairName(read_code(base), read_code(quote))
    if pair.base == pair.quote:
        raise FeedMalformed(f"a rate of {pair}")
    return pair


def _mid(price: object, *, of: PairName) -> Decimal:
    """A number, or a text of one; 1.5e-8 is exact, too. Raises FeedMalformed."""
    number = _number(price)
    if number is None:
        raise FeedMalformed(f"the rate of {of} is {shown(price)}")
    try:
        mid = _with_the_decimals_of_rates(number)
        require_mid(mid)
    except RateInvalid as error:
        raise FeedMalformed(f"the rate of {of} is {shown(str(price))}: it {error}") from error
    return mid


def _number(price: object) -> Decimal | None:
    if isinstance(price, str) and _NUMBER.fullmatch(price):
        return Decimal(price)
    return price if isinstance(price, Decimal) else None


def _with_the_decimals_of_rates(number: Decimal) -> Decimal:
    """Servers that divide write as many digits as they have: those beyond a rate's decimals are rounded off.

    Raises RateInvalid where too few would stay.
    """
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= -MID_DIGITS or number.adjusted() >= MID_DIGITS:
        return number
    if number.adjusted() + MID_DIGITS + 1 < FEWEST_DIGITS:
        raise RateInvalid(f"must have {FEWEST_DIGITS} digits among its first {MID_DIGITS} decimals")
    return number.quantize(_SMALLEST, context=_ROUNDING)
