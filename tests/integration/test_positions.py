"""The house's positions, from a ledger that the engine and the drainer filled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
import pytest_asyncio

from fx.currencies import CurrencyStatus
from fx.position_results import total_of
from fx.quotes import new_quote
from fx.rate_locks import Side, split
from persistence.calls import StepResult
from persistence.drainer import wall_clock_ms
from persistence.errors import LedgerUnavailable
from persistence.exchanges import exchange_steps
from persistence.postgres.reading.positions import HouseBalance, Period
from persistence.transactions import TransactionId
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from tests.converting_house import FOR_EVER, TODAY, House, days_ago, midnight, opened_house
from tests.drained_ledger import EUR, USD, rollback
from tests.integration.test_foreign_transactions import BRL, JPY, Player, bet, on, win
from tests.unit.test_fx_examples import tables_with


@pytest_asyncio.fixture
async def house(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    async with opened_house(valkey, ledger_dsn) as made:
        yield made


def position_parts(results: Sequence[StepResult]) -> list[int]:
    """What each converted amount is worth at mid, in the wallet's minor units."""
    parts = []
    for result in results:
        assert result.conversion is not None
        assert result.converted is not None
        parts.append(split(result.conversion.lock, result.conversion.amount, result.converted).position)
    return parts


async def test_nothing_that_was_converted_is_no_position(house: House) -> None:
    report = await house.report()

    assert (report.results, report.balances) == ([], {})


async def test_positions_are_what_was_converted_to_the_minor_unit(house: House) -> None:
    house.player.market.spread_bps = 150
    taken = [await house.player.one(bet(f"b{number}", 1000 + 37 * number)) for number in range(5)]
    house.player.market.rates["USD", "EUR"] = "0.9467"
    taken += [await house.player.one(bet(f"c{number}", 1 + number)) for number in range(4)]
    won = [await house.player.one(win(f"w{number}", 611 * number, of=f"b{number}")) for number in range(1, 5)]
    in_yen = [await house.player.one(bet("y1", 12_345, JPY))]

    report = await house.report()
    results = {result.currency: result for result in report.results}

    got, gave = position_parts([*taken, *in_yen]), position_parts(won)
    assert results[EUR].position == sum(got) - sum(gave)
    assert results[USD].position == sum(611 * number for number in range(1, 5)) - sum(
        result.conversion.amount for result in taken if result.conversion
    )
    assert results[JPY].position == -12_345
    paid = sum(result.converted or 0 for result in [*taken, *in_yen])
    received = sum(result.converted or 0 for result in won)
    euros = results[EUR]
    assert euros.position + euros.spread_in_all + euros.rounding_in_all == paid - received
    assert report.balances == {
        currency: HouseBalance(result.position, result.spread_in_all, result.rounding_in_all)
        for currency, result in results.items()
    }


async def test_every_currency_sums_to_zero_over_players_sources_and_the_house(house: House) -> None:
    await house.player.one(bet("b1", 1001))
    await house.player.one(bet("b2", 7777, JPY))
    await house.player.one(win("w1", 333, of="b1"))

    assert await house.sums() == {EUR: 0, JPY: 0, USD: 0}


async def test_what_is_rolled_back_leaves_nothing(house: House) -> None:
    house.player.market.rates["USD", "EUR"], house.player.market.spread_bps = "0.33333", 150
    await house.player.one(bet("b1", 1001))
    await house.player.one(win("w1", 2003, of="b1"))
    await house.player.play(rollback("x1", "w1"), rollback("x2", "b1"))

    report = await house.report(reporting="BRL")

    assert report.balances == {EUR: HouseBalance(), USD: HouseBalance()}
    for result in report.results:
        assert (result.position, result.spread, result.rounding) == (0, 0, 0)
        assert (result.figures.value, result.figures.unrealised) == (0, 0)


async def test_a_trip_there_and_back_earns_what_the_player_lost(house: House) -> None:
    player, market = house.player, house.player.market
    market.rates = {("EUR", "USD"): "1.25", ("USD", "EUR"): "0.80"}
    market.spread_bps = 100
    await player.house.open(player.name, USD)
    await house.put_rate("USD", "EUR", "0.80", published=midnight(TODAY))
    start = await player.cash(EUR)

    await sell(player, "e1", 10_009, EUR, USD)
    await sell(player, "e2", await player.cash(USD), USD, EUR)

    lost = start - await player.cash(EUR)
    report = await house.report()
    total = total_of(report.results)
    assert await player.cash(USD) == 0
    assert total.result == lost
    assert total.spread is not None
    assert total.rounding is not None
    assert total.realised is not None
    assert total.unrealised is not None
    # Mid is rounded to minor units too, in what the positions of each leg are.
    assert abs(total.realised + total.unrealised) <= 1
    assert total.spread == lost - total.rounding - total.realised - total.unrealised


async def sell(player: Player, name: str, amount: int, sold: str, bought: str) -> None:
    quote = new_quote(
        source_id="games",
        player_id=player.name,
        lock=player.market.lock(sold, bought, Side.RECEIVED),
        sell_amount=amount,
        expires_ms=wall_clock_ms() + 60_000,
    )
    enabled = CurrencyStatus.ENABLED
    await player.play(
        *exchange_steps(TransactionId(name), quote, sell_status=enabled, buy_status=enabled, grace_ms=0)
    )


async def test_days_have_the_results_of_the_pages_example(house: House) -> None:
    market = house.player.market
    market.spread_bps = 100
    await house.player.one(bet("b1", 10_000))
    await house.player.one(win("w1", 4_000, of="b1"))
    market.rates["USD", "EUR"], market.spread_bps = "0.9500", 0
    await house.player.one(win("w2", 8_000, of="b9"), source="trusting")
    first_day = days_ago(4)
    rows = list(tables_with("unrealised"))
    for place, (transaction, row) in enumerate(zip(("b1", "w1", "w2"), rows, strict=True)):
        day = first_day + timedelta(days=place)
        await house.backdate(day, transaction)
        await house.put_rate(
            "USD", "EUR", row["USD/EUR at its end"], published=midnight(day) + timedelta(hours=1)
        )

    for place, row in enumerate(rows):
        day = first_day + timedelta(days=place)
        dollars = (await house.results(Period(day, day + timedelta(days=1))))[USD]
        figures = dollars.figures
        told = [dollars.position, figures.cost, figures.value, figures.realised, figures.unrealised]
        assert told == [
            int(row[name].replace(".", "")) for name in ("USD", "cost", "value", "realised", "unrealised")
        ]

    results = await house.results(Period(None, first_day + timedelta(days=3)))
    total = total_of([*results.values()])
    assert (results[EUR].position, results[EUR].spread, results[EUR].rounding) == (-2080, 55, 1)
    assert (total.value, total.realised, total.unrealised, total.result) == (-160, -180, 20, -160 + 56)


async def test_consecutive_days_add_up_to_all_of_them(house: House) -> None:
    market = house.player.market
    market.rates["USD", "EUR"], market.spread_bps = "0.9137", 77
    await house.put_rate("USD", "EUR", "0.9137", published=midnight(days_ago(9)))
    for number in range(6):
        await house.player.one(bet(f"b{number}", 1000 + 101 * number))
        await house.player.one(win(f"w{number}", 997 * (number % 3), of=f"b{number}"))
        await house.backdate(days_ago(8 - number), f"b{number}", f"w{number}")
        market.rates["USD", "EUR"] = mid = f"0.9{number}37"
        await house.put_rate("USD", "EUR", mid, published=midnight(days_ago(8 - number)))

    bounds = [days_ago(count) for count in range(8, 1, -1)]
    parts = [await house.results(Period(day, day + timedelta(days=1))) for day in bounds[:-1]]
    whole = await house.results(Period(bounds[0], bounds[-1]))

    for currency, result in whole.items():
        of_days = [part[currency] for part in parts]
        assert sum(each.spread for each in of_days) == result.spread
        assert sum(each.rounding for each in of_days) == result.rounding
        assert sum(each.figures.realised or 0 for each in of_days) == result.figures.realised
        assert sum(each.figures.result or 0 for each in of_days) == result.figures.result
        assert of_days[-1].position == result.position
    assert total_of([*whole.values()]).realised


async def test_a_period_leaves_out_what_was_booked_at_its_end_and_later(house: House) -> None:
    await house.player.one(bet("b1", 1000))

    before = await house.report(Period(None, days_ago(1)))

    assert before.results == []
    assert before.balances == {EUR: HouseBalance(920), USD: HouseBalance(-1000)}


async def test_positions_are_valued_directly_inversely_or_through_a_pivot_and_say_by_which_rates(
    house: House,
) -> None:
    market = house.player.market
    market.rates |= {("USD", "BRL"): "5.4", ("JPY", "BRL"): "0.035"}
    await house.player.with_wallets(BRL, start=100_000)
    await house.player.one(on(BRL, bet("b1", 1000)))
    await house.player.one(on(BRL, bet("b2", 10_000, JPY)))
    published = midnight(days_ago(1))
    in_euros = await house.put_rate("USD", "EUR", "0.92", published=published)
    inverse = await house.put_rate("EUR", "BRL", "6.25", published=published - timedelta(hours=2))
    to_pivot = await house.put_rate("USD", "JPY", "150", published=published - timedelta(hours=3))

    unpivoted = await house.results()
    await house.put_pivots("BRL", "USD")
    results = await house.results()

    assert unpivoted[JPY].rate is None
    assert unpivoted[JPY].figures.value is None
    assert {currency: result.figures.value for currency, result in results.items()} == {
        "BRL": round((5400 + 35_000) / 6.25),
        "JPY": round(-10_000 / 150 * 92),
        "USD": -920,
    }
    rates = {currency: result.rate for currency, result in results.items()}
    assert {currency: rate and rate.rate_id for currency, rate in rates.items()} == {
        "BRL": inverse,
        "JPY": f"{to_pivot}.{in_euros}",
        "USD": in_euros,
    }
    through_pivot = rates[JPY]
    assert through_pivot is not None
    assert through_pivot.published_ms == int((published - timedelta(hours=3)).timestamp() * 1000)


async def test_a_day_is_valued_by_what_was_known_at_its_end(house: House) -> None:
    await house.player.one(bet("b1", 1000))
    await house.backdate(days_ago(3), "b1")
    end = midnight(days_ago(2))
    known = await house.put_rate("USD", "EUR", "0.93", published=end - timedelta(hours=5))
    late = await house.put_rate(
        "USD", "EUR", "0.99", published=end - timedelta(hours=1), received=end + timedelta(seconds=1)
    )

    of_then = (await house.results(Period(None, days_ago(2))))[USD]
    of_a_day_later = (await house.results(Period(None, days_ago(1))))[USD]

    assert of_then.rate is not None
    assert of_a_day_later.rate is not None
    assert (of_then.figures.value, of_then.rate.rate_id) == (-930, known)
    assert (of_a_day_later.figures.value, of_a_day_later.rate.rate_id) == (-990, late)


async def test_without_a_rate_values_are_absent_and_amounts_are_not(house: House) -> None:
    house.player.market.spread_bps = 100
    await house.player.one(bet("b1", 1000))

    results = await house.results(reporting="GBP")

    assert (results[USD].position, results[EUR].position, results[EUR].spread) == (-1000, 920, 9)
    for result in results.values():
        assert (result.rate, result.figures.value, result.figures.cost, result.figures.result) == (None,) * 4
    assert results[EUR].figures.spread is None


async def test_many_reports_at_once_are_all_answered(house: House) -> None:
    await house.player.one(bet("b1", 1000))
    expected = await house.report()

    async with house.reader() as reader:
        asked = [reader.report(FOR_EVER, reporting=EUR, deadline=deadline_after(20.0)) for _ in range(8)]
        reports = await asyncio.gather(*asked)

    assert reports == [expected] * 8


async def test_a_report_that_is_out_of_time_is_unavailable(house: House) -> None:
    async with house.reader() as reader:
        with pytest.raises(LedgerUnavailable):
            await reader.report(FOR_EVER, reporting=EUR, deadline=deadline_after(-1.0))

        answer = await reader.report(FOR_EVER, reporting=EUR, deadline=deadline_after(10.0))

    assert answer.results == []
