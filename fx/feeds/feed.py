"""What a feed is, and what it may say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

from fx.rate_checks import CLOCK_TOLERANCE_MS, RateInvalid, read_mid

MAX_BODY_BYTES = 1 << 20

_CODE = re.compile(r"[A-Z][A-Z0-9]{2,11}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 40


class FeedError(Exception):
    """A feed gave no rates. The message is for logs: it quotes little, and no secret."""


class FeedUnavailable(FeedError):
    """The feed could not be reached, did not answer in time, or answered that it cannot."""


class FeedMalformed(FeedError):
    """The feed answered something that is not what it should be. None of it is used."""


class PairName(NamedTuple):
    """Of a rate of ``base`` in ``quote``."""

    base: str
    quote: str

    def __str__(self) -> str:
        return f"{self.base}/{self.quote}"


@dataclass(frozen=True, slots=True)
class FeedRate:
    """``mid``: units of ``quote`` for one unit of ``base``. The time is Unix milliseconds."""

    base: str
    quote: str
    mid: Decimal
    published_ms: int

    @property
    def pair(self) -> PairName:
        return PairName(self.base, self.quote)


class Feed(Protocol):
    """``name`` is a word for logs: what kind of feed it is."""

    @property
    def name(self) -> str: ...

    async def fetch(self) -> Sequence[FeedRate]:
        """The rates as they are published now, each pair once; often the same as before.

        Raises FeedUnavailable and FeedMalformed.
        """
        ...


def read_code(value: object) -> str:
    """A currency code as registries have them: 3 to 12 capital letters and digits. Raises FeedMalformed."""
    if isinstance(value, str) and _CODE.fullmatch(value):
        return value
    raise FeedMalformed(f"{shown(value)} is no currency code")


def read_plain_mid(value: object, *, of: PairName) -> Decimal:
    """A rate in a string, as people write it: digits with a point at most. Raises FeedMalformed."""
    if not isinstance(value, str):
        raise FeedMalformed(f"the rate of {of} is {shown(value)}: it must be a string")
    try:
        return read_mid(value)
    except RateInvalid as error:
        raise FeedMalformed(f"the rate of {of} is {shown(value)}: it {error}") from error


def read_time_ms(value: object) -> int:
    """A moment with its offset, "2026-11-20T16:00:00Z", as Unix milliseconds. Raises FeedMalformed."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise FeedMalformed(f"{shown(value)} is no time like 2026-11-20T16:00:00Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def require_not_of_the_future(published_ms: int, *, now_ms: int) -> int:
    """The time itself. A minute ahead is a clock's error; more is nonsense. Raises FeedMalformed."""
    if published_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise FeedMalformed(f"published {(published_ms - now_ms) // 1000} s from now")
    if published_ms <= 0:
        raise FeedMalformed("published before 1970")
    return published_ms


def require_each_pair_once(rates: Sequence[FeedRate]) -> Sequence[FeedRate]:
    """The rates themselves. Raises FeedMalformed, also if there are none."""
    seen: set[PairName] = set()
    for rate in rates:
        if rate.pair in seen:
            raise FeedMalformed(f"{rate.pair} is there twice")
        seen.add(rate.pair)
    if not rates:
        raise FeedMalformed("no rates")
    return rates


def shown(value: object) -> str:
    """The beginning of what somebody else wrote, fit for one line of a log."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
