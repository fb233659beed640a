"""How providers write amounts where it is not the currency's own way: mBTC, gwei, hundred thousandths.

Nothing is rounded on the way in: what is no whole number of minor units is refused.
"""

import re
from dataclasses import dataclass

from fx.amounts import MAX_DIGITS, AmountInvalid, format_amount, parse_amount

_INTEGER = re.compile(r"[0-9]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Denomination:
    """10^``exponent`` of a currency: -3 for mBTC. ``scale`` is always the currency's number of decimals."""

    code: str
    currency: str
    exponent: int

    def to_minor(self, text: str, scale: int) -> int:
        """Reads "1.5" mBTC at scale 8 as 150000. Raises AmountInvalid as ``parse_amount`` does."""
        decimals = self._decimals(scale)
        if decimals >= 0:
            return parse_amount(text, decimals)
        if _INTEGER.fullmatch(text) is None:
            raise AmountInvalid("must be digits without a point")
        return self.to_minor_integer(int(text), scale)

    def to_minor_integer(self, amount: int, scale: int) -> int:
        """The same for providers that send a whole number of units. Raises AmountInvalid."""
        if amount < 0:
            raise AmountInvalid("must not be negative")
        minor = _shifted(amount, self._decimals(scale), "must be a whole number of minor units")
        if minor >= 10**MAX_DIGITS:
            raise AmountInvalid(f"must have at most {MAX_DIGITS} digits in minor units")
        return minor

    def from_minor(self, minor: int, scale: int) -> str:
        """Writes 150000 at scale 8 as "1.50000" mBTC."""
        decimals = self._decimals(scale)
        return format_amount(minor, decimals) if decimals >= 0 else str(minor * 10**-decimals)

    def from_minor_integer(self, minor: int, scale: int) -> int:
        """The same as a whole number. Raises AmountInvalid where it is none."""
        return _shifted(minor, -self._decimals(scale), f"must be a whole number of {self.code}")

    def _decimals(self, scale: int) -> int:
        """How many an amount in this unit may have; negative where a unit is less than a minor unit."""
        return scale + self.exponent


CRYPTO_DENOMINATIONS = (
    Denomination("mBTC", "BTC", -3),
    Denomination("uBTC", "BTC", -6),
    Denomination("satoshi", "BTC", -8),
    Denomination("mETH", "ETH", -3),
    Denomination("uETH", "ETH", -6),
    Denomination("gwei", "ETH", -9),
    Denomination("wei", "ETH", -18),
)
"""Providers write u for µ."""


def cents(currency: str) -> Denomination:
    """Hundredths, also of a currency that has other minor units: 100 are one yen, 1 is ten fils."""
    return Denomination("cents", currency, -2)


def hundred_thousandths(currency: str) -> Denomination:
    """What Hub88 and those who speak its protocol send: 100000 is 1.00000."""
    return Denomination("hundred thousandths", currency, -5)


def display_amount(minor: int, scale: int, decimals: int) -> str:
    """Writes an amount for people, with ``decimals`` of its decimals or all that it has.

    Always rounded down, below zero too: nobody is shown more than is theirs, or less than they owe.
    """
    shown = min(decimals, scale)
    return format_amount(minor // 10 ** (scale - shown), shown)


def _shifted(amount: int, digits: int, otherwise: str) -> int:
    """``amount`` x 10^``digits``, if that is whole; else AmountInvalid says ``otherwise``."""
    if digits >= 0:
        return int(amount * 10**digits)
    whole, rest = divmod(amount, int(10**-digits))
    if rest:
        raise AmountInvalid(otherwise)
    return whole
