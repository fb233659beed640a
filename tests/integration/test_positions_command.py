"""FxService.GetPositions, and `stakehold positions` that asks it."""

import asyncio
import csv
import io
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import pytest_asyncio

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import fx_service_pb2 as pb
from tests.converting_house import days_ago, midnight, opened_house
from tests.deployment import ROOT
from tests.fx_api import FxApi, fx_api, refusal, timestamp, told
from tests.integration.test_foreign_transactions import bet, win
from tests.ledgers import Ledgers
from tests.serving import Grounds

COLUMNS = [
    "date",
    "currency",
    "position",
    "value",
    "spread",
    "rounding",
    "realised",
    "unrealised",
    "reporting_currency",
]
FIRST, LAST = days_ago(4), days_ago(2)
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Office:
    """A service whose house has converted on three days, and who asks it."""

    api: FxApi
    address: str

    async def positions(self, **asked: object) -> pb.GetPositionsResponse:
        request = pb.GetPositionsRequest(**{"reporting_currency_code": "EUR", **asked})  # type: ignore[arg-type]
        response = await self.api.call(request)
        assert isinstance(response, pb.GetPositionsResponse)
        return response

    async def command(self, *options: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of `stakehold positions`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.cli",
            "positions",
            *("--target", self.address),
            *options,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), 60.0)
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()

    async def rows(self, *options: str) -> list[dict[str, str]]:
        status, output, errors = await self.command("--csv", *options)
        assert (status, errors) == (0, "")
        reader = csv.DictReader(io.StringIO(output))
        assert reader.fieldnames == COLUMNS
        return list(reader)


@pytest_asyncio.fixture(scope="module")
async def office(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Office]:
    async with ledgers.fresh() as dsn:
        async with opened_house(valkey, dsn) as house:
            market = house.player.market
            market.spread_bps = 100
            for place, mid in enumerate(("0.9200", "0.9450", "0.9031")):
                market.rates["USD", "EUR"] = mid
                await house.player.one(bet(f"b{place}", 10_000 + 777 * place))
                await house.player.one(win(f"w{place}", 4_001 * place, of=f"b{max(place - 1, 0)}"))
                await house.backdate(FIRST + timedelta(days=place), f"b{place}", f"w{place}")
                await house.put_rate("USD", "EUR", mid, published=midnight(FIRST + timedelta(days=place)))
            url = house.player.house.valkey_url
        async with Grounds(url, dsn).serving() as server, fx_api(server.address) as api:
            yield Office(api, server.address)


def day_ms(days: int) -> int:
    return int(midnight(days_ago(days)).timestamp() * 1000)


async def test_positions_are_told_with_what_they_are_worth_and_at_which_rate(office: Office) -> None:
    answer = await office.positions()

    euros, dollars = answer.positions
    assert (euros.currency_code, euros.rate, euros.HasField("published_time")) == ("EUR", "", False)
    assert (dollars.currency_code, dollars.rate, dollars.rate_id) == ("USD", "0.9031", "3")
    assert dollars.published_time.ToDatetime(UTC) == midnight(LAST)
    dealt = 10_000 + 10_777 + 11_554 - 4_001 - 8_002
    assert dollars.position.amount == f"-{dealt / 100:.2f}"
    assert dollars.figures.value.amount == f"{round(Decimal(-dealt) * Decimal('0.9031')) / Decimal(100):.2f}"
    assert dollars.figures.value.currency_code == "EUR"
    assert euros.spread_income == euros.spread_income_in_all
    assert {balance.currency_code: balance.position for balance in answer.balances} == {
        "EUR": euros.position,
        "USD": dollars.position,
    }
    assert {balance.currency_code: balance.spread for balance in answer.balances} == {
        "EUR": euros.spread_income,
        "USD": dollars.spread_income,
    }
    assert not answer.HasField("start_time")
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert answer.end_time.ToDatetime(UTC) in {tomorrow, tomorrow - timedelta(days=1)}


async def test_a_total_is_the_sum_of_its_lines(office: Office) -> None:
    answer = await office.positions(start_time=timestamp(day_ms(3)), end_time=timestamp(day_ms(1)))

    for name in pb.PositionFigures.DESCRIPTOR.fields_by_name:
        parts = [Decimal(getattr(line.figures, name).amount) for line in answer.positions]
        assert Decimal(getattr(answer.total, name).amount) == sum(parts)
    total = answer.total
    gained = Decimal(total.unrealised.amount) - Decimal(total.opening_unrealised.amount)
    parts = [Decimal(money.amount) for money in (total.realised, total.spread, total.rounding)]
    assert Decimal(total.result.amount) == gained + sum(parts)


async def test_without_a_rate_figures_are_absent(office: Office) -> None:
    answer = await office.positions(reporting_currency_code="GBP")

    assert {line.currency_code: line.HasField("figures") for line in answer.positions} == {
        "EUR": True,
        "USD": True,
    }
    for line in answer.positions:
        assert (line.rate, line.rate_id, line.figures.HasField("value")) == ("", "", False)
    assert not answer.total.HasField("result")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"start_time": timestamp(1)}, "start_time"),
        ({"end_time": timestamp(DAY_S * 1000 + 1)}, "end_time"),
        ({"end_time": timestamp(-DAY_S * 1000)}, "end_time"),
        ({"start_time": timestamp(DAY_S * 2000), "end_time": timestamp(DAY_S * 1000)}, "end_time"),
        ({"start_time": timestamp(DAY_S * 100_000_000)}, "end_time"),
    ],
)
async def test_times_that_are_no_days_in_order_are_refused(
    office: Office, asked: dict[str, object], field: str
) -> None:
    refused = await refusal(office.positions(**asked))

    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert list(refused.details.fields) == [field]


async def test_a_reporting_currency_that_nobody_knows_is_refused(office: Office) -> None:
    code, reason, _ = told(await refusal(office.positions(reporting_currency_code="XXZ")))

    assert (code, reason) == ("INVALID_ARGUMENT", "CURRENCY_UNKNOWN")


async def test_the_days_of_the_csv_add_up_to_the_periods_answer(office: Office) -> None:
    period = ("--currency", "EUR", "--from", FIRST.isoformat(), "--to", days_ago(1).isoformat())

    rows = await office.rows(*period, "--by", "day")

    whole = await office.positions(start_time=timestamp(day_ms(4)), end_time=timestamp(day_ms(1)))
    assert [row["date"] for row in rows] == [
        (FIRST + timedelta(days=place)).isoformat() for place in range(3) for _ in ("EUR", "USD")
    ]
    by_currency: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_currency[row["currency"]].append(row)
    for line in whole.positions:
        days = by_currency[line.currency_code]
        for name, money in (
            ("spread", line.spread_income),
            ("rounding", line.rounding_income),
            ("realised", line.figures.realised),
        ):
            assert sum(Decimal(row[name]) for row in days) == Decimal(money.amount)
        assert days[-1]["position"] == line.position.amount
        assert days[-1]["value"] == line.figures.value.amount
        assert days[-1]["unrealised"] == line.figures.unrealised.amount
    assert any(Decimal(row["realised"]) for row in rows)


async def test_a_period_is_one_row_for_a_currency(office: Office) -> None:
    rows = await office.rows("--currency", "GBP", "--to", days_ago(1).isoformat())

    assert [(row["date"], row["currency"], row["reporting_currency"]) for row in rows] == [
        (LAST.isoformat(), "EUR", "GBP"),
        (LAST.isoformat(), "USD", "GBP"),
    ]
    assert {row["value"] for row in rows} == {""}


async def test_the_table_says_what_came_of_it(office: Office) -> None:
    status, output, errors = await office.command("--currency", "EUR", "--to", days_ago(1).isoformat())

    answer = await office.positions(end_time=timestamp(day_ms(1)))
    lines = output.splitlines()
    assert (status, errors, len(lines)) == (0, "", 4)
    assert lines[0].split() == COLUMNS
    assert lines[2].split()[:3] == [LAST.isoformat(), "USD", answer.positions[1].position.amount]
    assert lines[3].startswith(f"Result: {answer.total.result.amount} EUR, of which")


async def test_a_table_without_a_rate_says_so(office: Office) -> None:
    _, output, _ = await office.command("--currency", "GBP")

    assert output.splitlines()[1].split()[3] == "-"
    assert output.splitlines()[-1] == "There are currencies without a rate in GBP: the result is unknown."


async def test_what_is_refused_is_told_in_a_sentence(office: Office) -> None:
    status, output, errors = await office.command("--currency", "XXZ")

    assert (status, output) == (2, "")
    assert errors.startswith("stakehold: INVALID_ARGUMENT: ")
    assert len(errors.splitlines()) == 1


async def test_a_service_that_is_not_there_is_told_in_a_sentence() -> None:
    nobody = Office(FxApi(None, None), f"{LOOPBACK}:{free_port()}")  # type: ignore[arg-type]

    status, _, errors = await nobody.command("--currency", "EUR")

    assert status == 2
    assert errors.startswith("stakehold: UNAVAILABLE: ")


async def test_days_need_a_beginning_and_an_order(office: Office) -> None:
    without = await office.command("--currency", "EUR", "--by", "day")
    backwards = await office.command(
        "--currency", "EUR", "--by", "day", "--from", LAST.isoformat(), "--to", FIRST.isoformat()
    )

    assert without[0] == backwards[0] == 2
    assert "--from must be given" in without[2]
    assert "--to must be 0 to 3660 days after --from" in backwards[2]
