"""What the house has of each currency for others, and what that cost: average cost, day by day.

A conversion moves two of the house's positions, and both legs of it are worth the same at mid. So the cost
of a position is what was given for it, in the reporting currency. What makes a position bigger adds its
worth to the cost; what makes it smaller takes its share of the cost along, and the difference between the
two is the realised result. A position below zero is the same with all signs turned round.

A day is one step: what was converted from one currency to another one on a day counts as one movement, and
of each position what makes it bigger comes before what makes it smaller. So the order within a day does not
matter. Of each currency cost less realised result is what came in less what went out, and over all
currencies that is zero.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import groupby
from operator import attrgetter

COST_DECIMALS = 48
"""Of a minor unit, in a share of a cost. At one rate, which has 18 digits, no share is rounded at all; and
numbers do not grow with every day."""

Worth = Callable[[date, str, int], Fraction | None]
"""What minor units of a currency were worth at a day's end, in minor units of the reporting currency. None
where there was no rate."""

_BY_DAY = attrgetter("day")


@dataclass(frozen=True, slots=True)
class Movement:
    """What the house got and gave in a day's conversions from one currency to another, in minor units.

    Neither amount is negative; one of them may have been rounded to zero.
    """

    day: date
    incoming: str
    incoming_amount: int
    outgoing: str
    outgoing_amount: int


@dataclass(frozen=True, slots=True)
class Earning:
    """What the house earned in a currency on a day, in its minor units."""

    day: date
    currency: str
    spread: int
    rounding: int


@dataclass(frozen=True, slots=True)
class Position:
    """``amount`` in minor units of its currency; ``cost`` and ``realised`` in those of the reporting
    currency.

    ``cost`` is None where some of it had no rate. ``realised`` is the sum since the beginning of each day's
    result, but of the ``unknown_days`` whose result can't be told.
    """

    amount: int = 0
    cost: Fraction | None = Fraction(0)
    realised: Fraction = Fraction(0)
    unknown_days: int = 0


@dataclass(frozen=True, slots=True)
class Income:
    """Since the beginning, in minor units of its currency; and what each day's was worth at the day's end,
    but of the ``unknown_days`` that had no rate.
    """

    spread: int = 0
    rounding: int = 0
    spread_worth: Fraction = Fraction(0)
    rounding_worth: Fraction = Fraction(0)
    unknown_days: int = 0


@dataclass(slots=True)
class _Flow:
    """A day's movements of one currency in one direction. Both are signed alike; ``worth`` is None if
    unknown.
    """

    amount: int = 0
    worth: Fraction | None = Fraction(0)

    def add(self, amount: int, worth: Fraction | None) -> None:
        self.amount += amount
        self.worth = _sum(self.worth, worth)


def carry_positions(
    positions: Mapping[str, Position], movements: Iterable[Movement], *, reporting: str, worth: Worth
) -> dict[str, Position]:
    """The positions after further days' movements, which may come in any order."""
    carried = dict(positions)
    for _, of_day in groupby(sorted(movements, key=_BY_DAY), key=_BY_DAY):
        came, went = defaultdict[str, _Flow](_Flow), defaultdict[str, _Flow](_Flow)
        for movement in of_day:
            moved = _moved_worth(movement, reporting, worth)
            came[movement.incoming].add(movement.incoming_amount, moved)
            went[movement.outgoing].add(-movement.outgoing_amount, _negative(moved))
        for currency in came.keys() | went.keys():
            before = carried.get(currency, Position())
            carried[currency] = _after_day(before, came[currency], went[currency])
    return carried


def carry_incomes(
    incomes: Mapping[str, Income], earnings: Iterable[Earning], *, worth: Worth
) -> dict[str, Income]:
    """The incomes after further days' earnings: one for each day and currency, in any order."""
    carried = dict(incomes)
    for earning in earnings:
        before = carried.get(earning.currency, Income())
        carried[earning.currency] = _with_earning(before, earning, worth)
    return carried


def _moved_worth(movement: Movement, reporting: str, worth: Worth) -> Fraction | None:
    """By the leg in the reporting currency, or else by the first one in the alphabet that had a rate.

    So a pair is valued by the same leg in both directions, and what is undone on its own day leaves nothing.
    """
    legs = [
        (movement.incoming, movement.incoming_amount),
        (movement.outgoing, movement.outgoing_amount),
    ]
    for currency, amount in sorted(legs, key=lambda leg: (leg[0] != reporting, leg[0])):
        known = Fraction(amount) if currency == reporting else worth(movement.day, currency, amount)
        if known is not None:
            return known
    return None


def _after_day(position: Position, came: _Flow, went: _Flow) -> Position:
    amount, cost, result = position.amount, position.cost, position.realised
    day_result: Fraction | None = Fraction(0)
    for flow in (came, went) if amount >= 0 else (went, came):
        amount, cost, realised = _moved(amount, cost, flow)
        day_result = _sum(day_result, realised)
    if amount == 0:
        day_result, cost = _sum(day_result, _negative(cost)), Fraction(0)
    if day_result is None:
        return Position(amount, cost, result, position.unknown_days + 1)
    return Position(amount, cost, result + day_result, position.unknown_days)


def _moved(amount: int, cost: Fraction | None, flow: _Flow) -> tuple[int, Fraction | None, Fraction | None]:
    """Amount and cost afterwards, and the realised result."""
    after = amount + flow.amount
    if amount * flow.amount >= 0:
        return after, _sum(cost, flow.worth), Fraction(0)
    if abs(flow.amount) <= abs(amount):
        released = _share(cost, -flow.amount, amount)
        return after, _sum(cost, _negative(released)), _negative(_sum(flow.worth, released))
    closing = _share(flow.worth, -amount, flow.amount)
    return after, _sum(flow.worth, _negative(closing)), _negative(_sum(closing, cost))


def _with_earning(income: Income, earning: Earning, worth: Worth) -> Income:
    of_spread = worth(earning.day, earning.currency, earning.spread)
    of_rounding = worth(earning.day, earning.currency, earning.rounding)
    earned = replace(
        income, spread=income.spread + earning.spread, rounding=income.rounding + earning.rounding
    )
    if of_spread is None or of_rounding is None:
        return replace(earned, unknown_days=income.unknown_days + 1)
    return replace(
        earned,
        spread_worth=income.spread_worth + of_spread,
        rounding_worth=income.rounding_worth + of_rounding,
    )


def _share(worth: Fraction | None, part: int, whole: int) -> Fraction | None:
    if worth is None:
        return None
    return Fraction(round(worth * part / whole * 10**COST_DECIMALS), 10**COST_DECIMALS)


def _sum(one: Fraction | None, other: Fraction | None) -> Fraction | None:
    return None if one is None or other is None else one + other


def _negative(worth: Fraction | None) -> Fraction | None:
    return None if worth is None else -worth
