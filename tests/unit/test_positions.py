"""Average cost, day by day: what the house's positions cost, and what came of them."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fx.amounts import format_amount, parse_amount
from fx.position_results import Books, Figures, results_of, total_of
from fx.positions import (
    COST_DECIMALS,
    Earning,
    Income,
    Movement,
    Position,
    Worth,
    carry_incomes,
    carry_positions,
)
from fx.rates import Pair, Rate
from fx.valuation import Valuation
from tests.unit.test_fx_examples import tables_with

EUR, USD, BRL, JPY, BTC = "EUR", "USD", "BRL", "JPY", "BTC"
SCALES = {EUR: 2, USD: 2, BRL: 2, JPY: 0, BTC: 8}
FIRST_DAY = date(2026, 11, 1)
DAY_MS = 86_400_000


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number - 1)


def bets(number: int, wallet: int, requested: int, *, currency: str = USD) -> Movement:
    """What players paid in EUR for another currency."""
    return Movement(day(number), EUR, wallet, currency, requested)


def wins(number: int, wallet: int, requested: int, *, currency: str = USD) -> Movement:
    return Movement(day(number), currency, requested, EUR, wallet)


def no_rates(_day: date, _currency: str, _amount: int) -> Fraction | None:
    return None


def in_euros(*movements: Movement, worth: Worth = no_rates) -> dict[str, Position]:
    return carry_positions({}, movements, reporting=EUR, worth=worth)


def test_what_is_given_out_is_a_position_below_zero_at_what_was_got_for_it() -> None:
    positions = in_euros(bets(1, 920, 1000))

    assert positions == {EUR: Position(920, Fraction(920)), USD: Position(-1000, Fraction(-920))}


def test_a_share_of_the_position_takes_its_share_of_the_cost() -> None:
    positions = in_euros(bets(1, 920, 1000), bets(2, 980, 1000), wins(3, 450, 500))

    assert positions[USD] == Position(-1500, Fraction(-1425), realised=Fraction(25))


def test_a_position_that_crosses_zero_is_closed_and_opened_at_the_days_rate() -> None:
    positions = in_euros(bets(1, 920, 1000), wins(2, 1140, 1200))

    assert positions[USD] == Position(200, Fraction(190), realised=Fraction(920 - 950))


def test_what_is_bought_and_sold_on_one_day_is_realised_at_once() -> None:
    positions = in_euros(bets(1, 920, 1000), wins(1, 950, 1000))

    assert positions[USD] == Position(0, Fraction(0), realised=Fraction(-30))


def test_of_a_day_what_makes_a_position_bigger_comes_first() -> None:
    positions = in_euros(bets(1, 1000, 1000), wins(2, 550, 500), bets(2, 1200, 1000))

    assert positions[USD] == Position(-1500, Fraction(-1650), realised=Fraction(0))


def test_the_reporting_currency_has_no_result() -> None:
    positions = in_euros(bets(1, 920, 1000), wins(2, 1500, 1000), bets(3, 77, 100))

    assert positions[EUR] == Position(-503, Fraction(-503))


def test_a_rollback_on_another_day_leaves_nothing() -> None:
    positions = in_euros(bets(1, 920, 1000), Movement(day(9), USD, 1000, EUR, 920))

    assert positions == {EUR: Position(), USD: Position()}


def test_between_two_other_currencies_the_first_one_with_a_rate_counts() -> None:
    def worth(_day: date, currency: str, amount: int) -> Fraction | None:
        return {BRL: None, JPY: Fraction(amount, 2), USD: Fraction(amount)}[currency]

    through_jpy = in_euros(Movement(day(1), USD, 10, JPY, 100), worth=worth)
    through_usd = in_euros(Movement(day(1), BRL, 50, USD, 10), worth=worth)

    assert through_jpy == {USD: Position(10, Fraction(50)), JPY: Position(-100, Fraction(-50))}
    assert through_usd == {BRL: Position(50, Fraction(10)), USD: Position(-10, Fraction(-10))}


def test_what_had_no_rate_is_unknown_until_the_position_is_closed() -> None:
    opened = in_euros(Movement(day(1), USD, 100, BRL, 500))
    closed = carry_positions(
        opened, [wins(2, 90, 100, currency=BRL), bets(2, 95, 100)], reporting=EUR, worth=no_rates
    )
    again = carry_positions(closed, [bets(3, 92, 100)], reporting=EUR, worth=no_rates)

    assert opened[USD] == Position(100, None)
    assert closed[USD] == Position(0, Fraction(0), unknown_days=1)
    assert closed[BRL] == Position(-400, None, unknown_days=1)
    assert again[USD] == Position(-100, Fraction(-92), unknown_days=1)


def test_what_is_sold_without_a_rate_leaves_the_result_unknown_and_the_rest_known() -> None:
    crossing = in_euros(bets(1, 50, 100), Movement(day(2), USD, 300, BRL, 90))
    back = carry_positions(crossing, [bets(3, 400, 500)], reporting=EUR, worth=no_rates)

    assert crossing[USD] == Position(200, None, unknown_days=1)
    assert back[USD] == Position(-300, Fraction(-240), unknown_days=2)


def test_an_amount_that_was_rounded_to_nothing_is_a_result() -> None:
    positions = in_euros(bets(1, 1, 0))

    assert positions == {EUR: Position(1, Fraction(1)), USD: Position(0, Fraction(0), realised=Fraction(1))}


def test_income_is_worth_what_it_was_on_its_day() -> None:
    def worth(of_day: date, _currency: str, amount: int) -> Fraction | None:
        return {day(1): Fraction(amount, 2), day(2): Fraction(amount, 4)}.get(of_day)

    earnings = [Earning(day(1), USD, 10, 1), Earning(day(2), USD, -4, 0)]
    incomes = carry_incomes({}, earnings, worth=worth)
    later = carry_incomes(incomes, [Earning(day(3), USD, 7, 7)], worth=worth)

    assert incomes == {USD: Income(6, 1, Fraction(4), Fraction(1, 2))}
    assert later == {USD: Income(13, 8, Fraction(4), Fraction(1, 2), unknown_days=1)}


RATES = {BRL: Fraction("0.16"), JPY: Fraction("0.00613497"), USD: Fraction("0.918273645546372819")}
CODES = st.sampled_from([EUR, USD, BRL, JPY])
AMOUNTS = st.integers(0, 10**12)


def at_fixed_rates(_day: date, currency: str, amount: int) -> Fraction:
    return amount * RATES[currency]


def at_rates_of_the_day(of_day: date, currency: str, amount: int) -> Fraction:
    return amount * RATES[currency] * (100 + of_day.day % 7) / 100


@st.composite
def movements(draw: st.DrawFn) -> list[Movement]:
    pairs = st.lists(CODES, min_size=2, max_size=2, unique=True)
    drawn = draw(st.lists(st.tuples(st.integers(1, 6), pairs, AMOUNTS, AMOUNTS), max_size=20))
    return [Movement(day(number), one, came, other, went) for number, (one, other), came, went in drawn]


def fold(moved: Sequence[Movement], before: dict[str, Position] | None = None) -> dict[str, Position]:
    return carry_positions(before or {}, moved, reporting=EUR, worth=at_rates_of_the_day)


def worth_of(movement: Movement) -> Fraction:
    legs = sorted(
        [(movement.incoming, movement.incoming_amount), (movement.outgoing, movement.outgoing_amount)]
    )
    currency, amount = next((leg for leg in legs if leg[0] == EUR), legs[0])
    return Fraction(amount) if currency == EUR else at_rates_of_the_day(movement.day, currency, amount)


@given(movements())
def test_cost_less_result_is_what_came_in_less_what_went_out(moved: list[Movement]) -> None:
    positions = fold(moved)

    for currency, position in positions.items():
        came = [movement for movement in moved if movement.incoming == currency]
        went = [movement for movement in moved if movement.outgoing == currency]
        assert position.amount == sum(m.incoming_amount for m in came) - sum(m.outgoing_amount for m in went)
        assert position.cost is not None
        assert position.cost - position.realised == sum(map(worth_of, came)) - sum(map(worth_of, went))
    costs = [position.cost for position in positions.values() if position.cost is not None]
    assert sum(costs) == sum(position.realised for position in positions.values())


@given(movements(), st.randoms())
def test_the_order_within_a_day_does_not_matter(moved: list[Movement], random: Random) -> None:
    shuffled = moved.copy()
    random.shuffle(shuffled)

    assert fold(shuffled) == fold(moved)


@given(movements(), st.integers(1, 7))
def test_days_that_are_carried_forward_are_as_those_of_one_go(moved: list[Movement], number: int) -> None:
    before = [movement for movement in moved if movement.day < day(number)]
    after = [movement for movement in moved if movement.day >= day(number)]

    assert fold(after, fold(before)) == fold(moved)


@given(movements())
def test_the_other_way_round_everything_is_the_other_way_round(moved: list[Movement]) -> None:
    turned = [Movement(m.day, m.outgoing, m.outgoing_amount, m.incoming, m.incoming_amount) for m in moved]

    assert fold(turned) == {
        currency: Position(-position.amount, -position.cost, -position.realised)
        for currency, position in fold(moved).items()
        if position.cost is not None
    }


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=8), st.booleans())
def test_what_is_opened_and_closed_at_one_rate_has_no_result(parts: list[int], is_long: bool) -> None:
    opened = Movement(day(1), USD, sum(parts), JPY, 1)
    closed = [Movement(day(2 + place), JPY, 0, USD, part) for place, part in enumerate(parts)]
    if not is_long:
        opened = Movement(day(1), JPY, 1, USD, sum(parts))
        closed = [Movement(m.day, USD, m.outgoing_amount, JPY, 0) for m in closed]

    def worth(_day: date, currency: str, amount: int) -> Fraction | None:
        return None if currency == JPY else amount * RATES[USD]

    positions: dict[str, Position] = {}
    for movement in (opened, *closed):
        positions = carry_positions(positions, [movement], reporting=EUR, worth=worth)
        assert positions[USD].realised == 0

    assert positions[USD] == Position()


def test_numbers_do_not_grow_with_the_days() -> None:
    moved = [
        change
        for number in range(1, 2000)
        for change in (bets(number, 911 * number, 1000 * number), wins(number, 450 + number, 497))
    ]

    cost = in_euros(*moved)[USD].cost

    assert cost is not None
    assert 10**COST_DECIMALS % cost.denominator == 0


def valuation(mid: str = "0.95", *, at: date = FIRST_DAY, reporting: str = EUR, **others: str) -> Valuation:
    published_ms, at_ms = ((moment - date(1970, 1, 1)).days * DAY_MS for moment in (FIRST_DAY, at))
    mids = {USD: mid, **others}
    return Valuation(
        reporting,
        at_ms=at_ms,
        rates=[
            Rate(7, "test", code, EUR, Decimal(mid), published_ms, published_ms) for code, mid in mids.items()
        ],
        pairs=[Pair(code, EUR, 60, 1, 1, peg=Decimal(1), peg_band_bps=10) for code in mids],
        pivots=[],
        scales=SCALES,
    )


def books(*moved: Movement, earnings: Sequence[Earning] = (), mid: str = "0.95") -> Books:
    at = valuation(mid)

    def worth(_day: date, currency: str, amount: int) -> Fraction | None:
        return at.worth(currency, amount)

    positions = carry_positions({}, moved, reporting=EUR, worth=worth)
    return Books(positions, carry_incomes({}, earnings, worth=worth), at)


def test_a_result_is_what_is_realised_and_the_change_of_what_is_not() -> None:
    first, second = bets(1, 920, 1000), wins(2, 480, 500)
    opening = books(first, mid="0.94", earnings=[Earning(day(1), EUR, 9, 1)])
    closing = books(first, second, earnings=[Earning(day(1), EUR, 9, 1), Earning(day(2), EUR, 5, 0)])

    euros, dollars = results_of(opening, closing)

    assert (euros.position, euros.spread, euros.spread_in_all, euros.rounding, euros.rounding_in_all) == (
        440,
        5,
        14,
        0,
        1,
    )
    assert euros.figures == Figures(value=440, cost=440, spread=5)
    assert dollars.figures == Figures(
        value=-475, cost=-460, unrealised=-15, opening_unrealised=-20, realised=-20, realised_in_all=-20
    )
    assert dollars.figures.result == -20 - 15 + 20
    assert total_of([euros, dollars]).result == -10
    assert dollars.rate is not None
    assert (dollars.rate.rate_id, euros.rate) == ("7", None)


@given(movements(), st.integers(1, 7), st.integers(1, 7))
def test_figures_of_consecutive_periods_add_up(moved: list[Movement], one: int, other: int) -> None:
    at = valuation(BRL="0.16", JPY="0.0061")

    def until(number: int) -> Books:
        return Books(fold([movement for movement in moved if movement.day < day(number)]), {}, at)

    bounds = [until(number) for number in (0, *sorted([one, other]), 8)]
    parts = [figures for start, end in pairwise(bounds) for figures in results_of(start, end)]

    for whole in results_of(bounds[0], bounds[-1]):
        figures = [part.figures for part in parts if part.currency == whole.currency]
        assert sum(each.realised or 0 for each in figures) == whole.figures.realised
        assert sum(each.result or 0 for each in figures) == whole.figures.result


def test_thirds_of_a_cent_are_told_when_they_have_become_one() -> None:
    opened = bets(1, 100, 3)
    closed = [wins(2 + place, 33, 1) for place in range(3)]
    earned = [Earning(day(1 + place), BRL, 3, 2) for place in range(3)]
    at = valuation(BRL="0.11111111111111111")

    def until(count: int) -> Books:
        incomes = carry_incomes({}, earned[:count], worth=lambda _day, code, amount: at.worth(code, amount))
        return Books(in_euros(opened, *closed[:count]), incomes, at)

    bounds = [until(count) for count in range(4)]
    parts = [total_of(results_of(start, end)) for start, end in pairwise(bounds)]
    whole = total_of(results_of(bounds[0], bounds[-1]))

    assert ([part.realised for part in parts], whole.realised) == ([0, 1, 0], 1)
    assert ([part.spread for part in parts], whole.spread) == ([0, 1, 0], 1)
    assert ([part.rounding for part in parts], whole.rounding) == ([0, 0, 1], 1)


def test_without_a_rate_figures_are_absent_and_so_are_their_sums() -> None:
    at = books(Movement(day(1), EUR, 92, BRL, 100))

    reals, euros = results_of(books(), at)

    assert (reals.position, reals.rate) == (-100, None)
    assert reals.figures == Figures(value=None, cost=-92, unrealised=None)
    total = total_of([euros, reals])
    assert (total.value, total.realised, total.result) == (None, 0, None)


def test_a_figure_is_absent_only_in_the_period_that_it_is_unknown_in() -> None:
    unknown = [Movement(day(1), JPY, 100, BRL, 500), Movement(day(2), EUR, 90, JPY, 100)]
    opening = books(*unknown)
    closing = books(*unknown, Movement(day(3), EUR, 95, JPY, 100))

    [_, euros, yen] = results_of(books(), opening)
    [_, _, later] = results_of(opening, closing)

    assert (euros.figures.realised, yen.figures.realised, yen.figures.realised_in_all) == (0, None, None)
    assert (later.figures.realised, later.figures.realised_in_all) == (0, None)


def test_income_without_a_rate_has_amounts_and_no_worth() -> None:
    [reals] = results_of(books(), books(earnings=[Earning(day(1), BRL, 5, 1)]))

    assert (reals.spread, reals.rounding, reals.figures.spread, reals.figures.rounding) == (5, 1, None, None)
    [later] = results_of(
        books(earnings=[Earning(day(1), BRL, 5, 1)]), books(earnings=[Earning(day(1), BRL, 5, 1)])
    )
    assert (later.spread, later.spread_in_all, later.figures.spread, later.figures.rounding) == (0, 5, 0, 0)


def test_a_rate_of_any_age_and_however_far_from_its_peg_values_a_position() -> None:
    at = valuation(at=date(2030, 1, 1))

    assert at.worth(USD, -1000) == -950
    assert at.worth(BRL, 1) is None
    assert at.worth(BRL, 0) == 0
    inverse = valuation("0.8", reporting=USD)
    assert inverse.worth(EUR, 800) == 1000


def test_the_example_of_the_page() -> None:
    rows = list(tables_with("unrealised"))
    moved: list[Movement] = []
    before = Books({}, {}, valuation("1"))
    assert rows
    for row in rows:
        digits, side = row["converted"].replace(USD, "").split()
        amount = parse_amount(digits, 2)
        wallet = round(amount * Fraction(row["at mid"]))
        make = {"paid": bets, "received": wins}[side]
        moved.append(make(int(row["day"]), wallet, amount))
        after = Books(in_euros(*moved), {}, valuation(row["USD/EUR at its end"]))

        [_, dollars] = results_of(before, after)

        figures = dollars.figures
        told = [dollars.position, figures.cost, figures.value, figures.realised, figures.unrealised]
        assert [format_amount(number or 0, 2) for number in told] == [
            row[name] for name in ("USD", "cost", "value", "realised", "unrealised")
        ]
        before = after
