"""Rates as they are locked: exact decimals from minor units to minor units, and what they were made of.

A lock is made once, when a transaction in another currency than its wallet's begins, and is kept as one text
with everything that refers to it: nobody has to look up or to work out again what the rate was.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

SIGNIFICANT_DIGITS = 18
"""Of a multiplier's mantissa."""

_FIELD_SEPARATOR = ","
_FIELD_COUNT = 11
_LOCKS_REMEMBERED = 4096
"""While a rate holds, all that is converted at it has the same text."""

_ROUNDINGS = {
    rounding: Context(prec=SIGNIFICANT_DIGITS, rounding=rounding)
    for rounding in (ROUND_FLOOR, ROUND_CEILING, ROUND_HALF_EVEN)
}


class Rounding(StrEnum):
    """How an amount that is no whole number of minor units becomes one."""

    DOWN = "down"
    UP = "up"
    HALF_EVEN = "half_even"


class Side(StrEnum):
    """What the conversion does to the player: pays in the wallet's currency, or receives in it."""

    PAID = "paid"
    RECEIVED = "received"

    @property
    def rounding(self) -> Rounding:
        """Never in the player's favour, so that no way there and back gains."""
        return Rounding.UP if self is Side.PAID else Rounding.DOWN


_DECIMAL_ROUNDINGS = {
    Rounding.DOWN: ROUND_FLOOR,
    Rounding.UP: ROUND_CEILING,
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
}


@dataclass(frozen=True, slots=True)
class Multiplier:
    """``mantissa`` x 10^``exponent``: minor units of the one currency for a minor unit of the other.

    The mantissa has at most 18 digits, and does not end with a zero.
    """

    mantissa: int
    exponent: int

    def __post_init__(self) -> None:
        if not 0 < self.mantissa < 10**SIGNIFICANT_DIGITS:
            raise ValueError(f"{self.mantissa} is no mantissa of a rate")

    @classmethod
    def of(cls, exact: Fraction, rounding: Rounding) -> "Multiplier":
        """A positive number to 18 significant digits. Raises ValueError for others."""
        if exact <= 0:
            raise ValueError(f"{exact} is no rate")
        context = _ROUNDINGS[_DECIMAL_ROUNDINGS[rounding]]
        rounded = context.divide(Decimal(exact.numerator), Decimal(exact.denominator))
        _, digits, exponent = rounded.as_tuple()
        assert isinstance(exponent, int)
        mantissa = int("".join(map(str, digits)))
        while mantissa % 10 == 0:
            mantissa, exponent = mantissa // 10, exponent + 1
        return cls(mantissa, exponent)

    @property
    def exact(self) -> Fraction:
        return Fraction(self.mantissa) * Fraction(10) ** self.exponent

    def convert(self, amount: int, rounding: Rounding) -> int:
        """Minor units of the one currency as minor units of the other. The amount is not negative."""
        product = amount * self.mantissa
        if self.exponent >= 0:
            return int(product * 10**self.exponent)
        whole, rest = divmod(product, 10**-self.exponent)
        twice = 2 * rest - 10**-self.exponent
        up = {
            Rounding.DOWN: False,
            Rounding.UP: rest > 0,
            Rounding.HALF_EVEN: twice > 0 or (twice == 0 and whole % 2 == 1),
        }
        return int(whole + up[rounding])

    def major(self, *, from_scale: int, to_scale: int) -> Decimal:
        """The same for major units, as people write rates."""
        return Decimal(self.mantissa).scaleb(self.exponent + from_scale - to_scale)


@dataclass(frozen=True, slots=True)
class RateLock:
    """One rate, fixed: what an amount in ``currency`` is in the wallet's.

    ``rate`` is all-in, which is what the player pays or receives; ``mid`` is what it was made of, without
    the spread. ``rate_id`` names the rates of the market that it was made of, with "." between them. Times
    are Unix milliseconds: of the oldest of these rates when it was published, and when it was received.
    """

    currency: str
    wallet_currency: str
    rate: Multiplier
    mid: Multiplier
    side: Side
    spread_bps: int
    rate_id: str
    published_ms: int
    received_ms: int

    @classmethod
    def parse(cls, text: str) -> "RateLock":
        """Raises ValueError for what no lock was ever written as."""
        return _parsed(text)

    def __str__(self) -> str:
        return _FIELD_SEPARATOR.join(
            map(
                str,
                (
                    self.currency,
                    self.wallet_currency,
                    self.rate.mantissa,
                    self.rate.exponent,
                    self.mid.mantissa,
                    self.mid.exponent,
                    self.side,
                    self.spread_bps,
                    self.rate_id,
                    self.published_ms,
                    self.received_ms,
                ),
            )
        )


@lru_cache(maxsize=_LOCKS_REMEMBERED)
def _parsed(text: str) -> RateLock:
    parts = text.split(_FIELD_SEPARATOR)
    if len(parts) != _FIELD_COUNT:
        raise ValueError(f"{len(parts)} fields of a rate lock instead of {_FIELD_COUNT}")
    currency, wallet_currency, *numbers, side, spread, rate_id, published, received = parts
    mantissa, exponent, mid_mantissa, mid_exponent = map(int, numbers)
    lock = RateLock(
        currency,
        wallet_currency,
        Multiplier(mantissa, exponent),
        Multiplier(mid_mantissa, mid_exponent),
        Side(side),
        int(spread),
        rate_id,
        int(published),
        int(received),
    )
    if str(lock) != text:
        raise ValueError("a rate lock with its numbers written in another way")
    return lock


@dataclass(frozen=True, slots=True)
class Split:
    """A converted amount, by what its parts are to the house. They sum to the amount."""

    position: int
    spread: int
    rounding: int


def split(lock: RateLock, amount: int, wallet_amount: int) -> Split:
    """What of a converted amount is worth the other at mid, what is the spread, and what came of rounding.

    ``amount`` is in the lock's currency and ``wallet_amount`` what it became. Parts may be negative.
    """
    position = lock.mid.convert(amount, Rounding.HALF_EVEN)
    all_in = lock.rate.convert(amount, Rounding.HALF_EVEN)
    return Split(position, all_in - position, wallet_amount - all_in)
