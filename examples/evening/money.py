"""The evening's currencies, as integers of minor units."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency with its smallest usual stake."""

    code: str
    scale: int
    chip_minor: int

    def text(self, amount_minor: int) -> str:
        """The exact decimal string of an amount, with all of the currency's decimals."""
        digits = str(abs(amount_minor)).rjust(self.scale + 1, "0")
        sign = "-" if amount_minor < 0 else ""
        return f"{sign}{digits[: -self.scale]}.{digits[-self.scale :]}"


EUR = Currency("EUR", 2, 20)
USD = Currency("USD", 2, 25)
BRL = Currency("BRL", 2, 50)
USDT = Currency("USDT", 6, 100_000)
BTC = Currency("BTC", 8, 1_000)
ETH = Currency("ETH", 18, 250_000_000_000_001)
"""The odd wei at the end of the chip makes every ETH amount use all 18 decimals."""

ALL = (EUR, USD, BRL, USDT, BTC, ETH)
POPULARITY = (6, 5, 4, 3, 2, 2)
"""How common each currency is among the guests, in the order of ALL."""
