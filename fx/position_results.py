"""What came of the house's positions in a period: for each currency, and of all together.

Figures are whole minor units. What belongs to a period is what there was in all at its end, rounded, less
what there was in all at its beginning, rounded: so the figures of consecutive periods add up to those of
all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

from fx.positions import Income, Position
from fx.rate_locks import RateLock
from fx.valuation import Valuation


@dataclass(frozen=True, slots=True)
class Books:
    """All positions and incomes at one moment, and the rates of that moment."""

    positions: Mapping[str, Position]
    incomes: Mapping[str, Income]
    valuation: Valuation


@dataclass(frozen=True, slots=True)
class Figures:
    """In minor units of the reporting currency. None is what can't be told for want of a rate.

    ``value`` is at mid, ``cost`` what was given for it, ``unrealised`` the difference: at the period's end,
    and ``opening_unrealised`` at its beginning. The others are of the period.
    """

    value: int | None = 0
    cost: int | None = 0
    unrealised: int | None = 0
    opening_unrealised: int | None = 0
    realised: int | None = 0
    realised_in_all: int | None = 0
    spread: int | None = 0
    rounding: int | None = 0

    @property
    def result(self) -> int | None:
        """Of the period: realised, the change of what is unrealised, spread and rounding."""
        gained = _sum(self.realised, _difference(self.unrealised, self.opening_unrealised))
        return _sum(gained, _sum(self.spread, self.rounding))

    def __add__(self, other: "Figures") -> "Figures":
        names = [each.name for each in fields(self)]
        return Figures(*(_sum(getattr(self, name), getattr(other, name)) for name in names))


@dataclass(frozen=True, slots=True)
class CurrencyResult:
    """Amounts are in minor units of ``currency``; ``in_all`` is since the beginning.

    ``rate`` is what the position is valued at, None for the reporting currency and where there is no rate.
    """

    currency: str
    position: int
    spread: int
    spread_in_all: int
    rounding: int
    rounding_in_all: int
    rate: RateLock | None
    figures: Figures


def results_of(opening: Books, closing: Books) -> Sequence[CurrencyResult]:
    """By currency. ``closing`` is ``opening``, carried on."""
    currencies = sorted(closing.positions.keys() | closing.incomes.keys())
    return [_result_of(currency, opening, closing) for currency in currencies]


def total_of(results: Sequence[CurrencyResult]) -> Figures:
    return sum((result.figures for result in results), Figures())


def _result_of(currency: str, opening: Books, closing: Books) -> CurrencyResult:
    before, after = _income(opening, currency), _income(closing, currency)
    return CurrencyResult(
        currency=currency,
        position=_position(closing, currency).amount,
        spread=after.spread - before.spread,
        spread_in_all=after.spread,
        rounding=after.rounding - before.rounding,
        rounding_in_all=after.rounding,
        rate=closing.valuation.rate(currency),
        figures=_figures(currency, opening, closing),
    )


def _figures(currency: str, opening: Books, closing: Books) -> Figures:
    start, end = _position(opening, currency), _position(closing, currency)
    before, after = _income(opening, currency), _income(closing, currency)
    is_told = start.unknown_days == end.unknown_days
    is_valued = before.unknown_days == after.unknown_days
    return Figures(
        value=_value(closing, currency),
        cost=_rounded(end.cost),
        unrealised=_unrealised(closing, currency),
        opening_unrealised=_unrealised(opening, currency),
        realised=round(end.realised) - round(start.realised) if is_told else None,
        realised_in_all=None if end.unknown_days else round(end.realised),
        spread=round(after.spread_worth) - round(before.spread_worth) if is_valued else None,
        rounding=round(after.rounding_worth) - round(before.rounding_worth) if is_valued else None,
    )


def _position(books: Books, currency: str) -> Position:
    return books.positions.get(currency, Position())


def _income(books: Books, currency: str) -> Income:
    return books.incomes.get(currency, Income())


def _value(books: Books, currency: str) -> int | None:
    return _rounded(books.valuation.worth(currency, _position(books, currency).amount))


def _unrealised(books: Books, currency: str) -> int | None:
    return _difference(_value(books, currency), _rounded(_position(books, currency).cost))


def _rounded(worth: Fraction | None) -> int | None:
    return None if worth is None else round(worth)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _difference(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other
