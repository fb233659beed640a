"""Amounts as providers count them: read exactly, or not at all."""

from dataclasses import dataclass
from typing import Protocol

from fx.amounts import AmountInvalid
from fx.currencies import Currency
from fx.denominations import Denomination


class Currencies(Protocol):
    """Knows currencies and denominations by their codes. The registry is one."""

    def currency(self, code: str, field: str) -> Currency: ...
    def denomination(self, code: str) -> Denomination | None: ...
    def scale_of(self, code: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """10^``exponent`` of what ``code`` names, a currency or a denomination: -5 for hundred thousandths.

    The code is "" where the provider does not say it: then it is the session's, or else the wallet's own.
    """

    code: str
    exponent: int = 0

    def named(self, code: str) -> "Unit":
        """The same, of what the code names."""
        return Unit(code, self.exponent)

    def denomination(self, currencies: Currencies) -> Denomination:
        """Raises CurrencyUnknown."""
        known = currencies.denomination(self.code)
        if known is not None:
            return Denomination(self.code, known.currency, known.exponent + self.exponent)
        return Denomination(self.code, currencies.currency(self.code, "currency").code, self.exponent)


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet's cash, in minor units of its currency, and what the provider counts it in."""

    cash: int
    scale: int
    denomination: Denomination

    @property
    def code(self) -> str:
        """The currency or denomination, as the provider names it."""
        return self.denomination.code

    def counted(self) -> int:
        """As a whole number of units. What is less than a unit is not shown, below zero neither: nobody is
        shown more than is theirs. No money moves by it.
        """
        try:
            return self.denomination.from_minor_integer(self.cash, self.scale)
        except AmountInvalid:
            return self.cash // int(10 ** (self.scale + self.denomination.exponent))

    def written(self) -> str:
        """As a decimal text, with all its digits."""
        return self.denomination.from_minor(self.cash, self.scale)


def to_minor(amount: int | str, denomination: Denomination, scale: int) -> int:
    """Minor units of an amount that is counted, or written as a decimal text. Raises AmountInvalid."""
    if isinstance(amount, int):
        return denomination.to_minor_integer(amount, scale)
    return denomination.to_minor(amount, scale)
