"""Currencies: what they are, and the ones that every new registry begins with."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import moneyed
from babel.core import get_global
from babel.numbers import get_territory_currencies

MAX_SCALE = 18


class CurrencyKind(StrEnum):
    FIAT = "fiat"
    STABLECOIN = "stablecoin"
    CRYPTO = "crypto"


class CurrencyStatus(StrEnum):
    ENABLED = "enabled"
    NO_NEW_DEBITS = "no_new_debits"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of the registry. ``scale`` is its number of decimals; it never changes, nor ``kind``."""

    code: str
    display_name: str
    scale: int
    kind: CurrencyKind
    status: CurrencyStatus = CurrencyStatus.ENABLED


TOKENS = (
    Currency("USDT", "Tether USD", 6, CurrencyKind.STABLECOIN),
    Currency("USDC", "USD Coin", 6, CurrencyKind.STABLECOIN),
    Currency("DAI", "Dai", 18, CurrencyKind.STABLECOIN),
    Currency("BTC", "Bitcoin", 8, CurrencyKind.CRYPTO),
    Currency("ETH", "Ether", 18, CurrencyKind.CRYPTO),
)

_FUNDS_CODES = frozenset({"CLF"})
"""ISO 4217 units of account that are no territory's tender, but that players' money is kept in."""


def initial_currencies() -> list[Currency]:
    """ISO 4217's currencies in use today, with ISO's exponents, and the best-known tokens."""
    return sorted([*_fiat_currencies(), *TOKENS], key=lambda currency: currency.code)


def _fiat_currencies() -> Iterator[Currency]:
    for code in _codes_in_use():
        currency = moneyed.CURRENCIES.get(code)
        if currency is not None:
            yield Currency(code, currency.name, _scale_of(currency.sub_unit), CurrencyKind.FIAT)


def _codes_in_use() -> frozenset[str]:
    """The codes that are some territory's tender today. moneyed also knows those that no longer are."""
    territories = get_global("territory_currencies")
    return _FUNDS_CODES.union(*(get_territory_currencies(territory) for territory in territories))


def _scale_of(sub_unit: int) -> int:
    """Minor units in a major unit, as a number of decimals: 1000 is 3."""
    scale = len(str(sub_unit)) - 1
    if 10**scale != sub_unit:
        raise ValueError(f"{sub_unit} minor units are no number of decimals")
    return scale
