"""The European Central Bank's reference rates: of the euro in some thirty currencies, once on banking days.

The document is https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml: an envelope with one Cube of
Cubes with a day and, in it, a Cube for each currency.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from fx.feeds.feed import (
    FeedMalformed,
    FeedRate,
    PairName,
    read_code,
    read_plain_mid,
    require_each_pair_once,
    shown,
)
from fx.feeds.fetching import Document

DAILY_RATES_URL = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml"

_BASE = "EUR"
_BERLIN = ZoneInfo("Europe/Berlin")
_PUBLISHED_AT = time(16, tzinfo=_BERLIN)
_FIRST_YEAR = 1999
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_ENVELOPE = "{http://www.gesmes.org/xml/2002-08-01}Envelope"
_CUBE = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"


class EcbFeed:
    """Rates of EUR in each currency that the bank names."""

    name = "ecb"

    def __init__(self, document: Document, *, now_ms: Callable[[], int]) -> None:
        self._document = document
        self._now_ms = now_ms
        self._rates: Sequence[FeedRate] = ()

    async def fetch(self) -> Sequence[FeedRate]:
        """Raises FeedUnavailable and FeedMalformed."""
        answer = await self._document.fetch()
        if answer.changed or not self._rates:
            self._rates = ()
            self._rates = read_reference_rates(answer.body, now_ms=self._now_ms())
        return self._rates


def read_reference_rates(body: bytes, *, now_ms: int) -> Sequence[FeedRate]:
    """The rates of the document's one day. Raises FeedMalformed."""
    day_cube = _day_cube(_root(body))
    published_ms = _published_ms(day_cube.get("time"), now_ms)
    return require_each_pair_once(list(_rates(day_cube, published_ms)))


def _root(body: bytes) -> Element:
    try:
        root: Element = ElementTree.fromstring(body, forbid_dtd=True)
    except DefusedXmlException as error:
        raise FeedMalformed(f"XML with what it must not have: {type(error).__name__}") from error
    except (ParseError, ValueError, LookupError) as error:  # the latter two are of encodings
        raise FeedMalformed(f"no XML: {shown(str(error))}") from error
    if root.tag != _ENVELOPE:
        raise FeedMalformed(f"the root is {shown(root.tag)}, not the bank's envelope")
    return root


def _day_cube(root: Element) -> Element:
    days = [day for cube in root.findall(_CUBE) for day in cube.findall(_CUBE)]
    if len(days) != 1:
        raise FeedMalformed(f"rates of {len(days)} days instead of one")
    return days[0]


def _published_ms(day: str | None, now_ms: int) -> int:
    """16:00 of the day in Frankfurt, which is when the bank says that it publishes; never later than now."""
    if day is None or not _DAY.fullmatch(day):
        raise FeedMalformed(f"the day is {shown(day)}")
    try:
        published = datetime.combine(date.fromisoformat(day), _PUBLISHED_AT)
    except ValueError as error:
        raise FeedMalformed(f"the day is {shown(day)}") from error
    if (
        published.year < _FIRST_YEAR
        or published.date() > datetime.fromtimestamp(now_ms / 1000, _BERLIN).date()
    ):
        raise FeedMalformed(f"the day is {day}, when there are no rates")
    return min(int(published.timestamp() * 1000), now_ms)


def _rates(day_cube: Element, published_ms: int) -> Iterator[FeedRate]:
    for cube in day_cube:
        if cube.tag != _CUBE:
            raise FeedMalformed(f"{shown(cube.tag)} among the rates")
        pair = PairName(_BASE, read_code(cube.get("currency")))
        if pair.quote == _BASE:
            raise FeedMalformed(f"a rate of {pair}")
        yield FeedRate(*pair, read_plain_mid(cube.get("rate"), of=pair), published_ms)
