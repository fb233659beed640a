"""``stakehold positions``: what the house has of each currency, and what came of it."""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta

import click
import grpc

from persistence.errors import SetupRefused
from service.commands.starting import CANNOT_START
from service.transport.channels import open_blocking_channel
from service.transport.client_settings import DEFAULT_ADDRESS, ClientSettings
from stakehold.v1 import fx_service_pb2 as pb
from stakehold.v1.fx_service_pb2_grpc import FxServiceStub

_DATE = click.DateTime(["%Y-%m-%d"])
_DAY = timedelta(days=1)
_MAX_DAYS = 3660
_NUMBERS_FROM = 2
"""Columns from here on are numbers."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table, and a row of the CSV; its fields are the columns.

    Position, spread and rounding are in ``currency``, the others in the reporting currency. A figure is empty
    where there was no rate.
    """

    date: str
    currency: str
    position: str
    value: str
    spread: str
    rounding: str
    realised: str
    unrealised: str
    reporting_currency: str


@click.command()
@click.option("--currency", required=True, metavar="CODE", help="The reporting currency.")
@click.option(
    "--from", "start", type=_DATE, metavar="DATE", help="The first day, of UTC; default: the first of all."
)
@click.option(
    "--to", "end", type=_DATE, metavar="DATE", help="The day after the last one; default: tomorrow."
)
@click.option(
    "--by",
    type=click.Choice(["period", "day"]),
    default="period",
    show_default=True,
    help="A line for each currency, or for each day and currency; by day, --from must be given.",
)
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, for charts, instead of a table.")
@click.option(
    "--target",
    default=DEFAULT_ADDRESS,
    envvar="STAKEHOLD_ADDRESS",
    show_default=True,
    show_envvar=True,
    metavar="HOST:PORT",
    help="Where the service is.",
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="The longest that an answer may take.",
)
def command(
    *,
    currency: str,
    start: datetime | None,
    end: datetime | None,
    by: str,
    as_csv: bool,
    target: str,
    timeout_s: float,
) -> None:
    """What the house has of each currency for others, and what came of it.

    Position, spread and rounding are in the line's currency; value, realised and unrealised in the
    reporting currency. Spread, rounding and realised are of the line's period, the others are at its end. A
    line by day has its day's date, one of a period that of its last day. What could not be valued for want
    of a rate is empty.
    """
    periods = _periods(start, end, by_day=by == "day")
    try:
        with open_blocking_channel(ClientSettings(), target) as channel:
            answers = [_ask(FxServiceStub(channel), currency, period, timeout_s) for period in periods]
    except SetupRefused as refused:
        click.echo(f"stakehold: {refused}", err=True)
        sys.exit(CANNOT_START)
    except grpc.RpcError as error:
        click.echo(f"stakehold: {_reason(error)}", err=True)
        sys.exit(CANNOT_START)
    lines = [line for answer in answers for line in _lines(answer)]
    click.echo(_as_csv(lines) if as_csv else _as_table(lines, answers), nl=False)


@dataclass(frozen=True, slots=True)
class _Period:
    start: datetime | None
    end: datetime | None


def _periods(start: datetime | None, end: datetime | None, *, by_day: bool) -> Sequence[_Period]:
    start, end = (day and day.replace(tzinfo=UTC) for day in (start, end))
    if not by_day:
        return [_Period(start, end)]
    if start is None:
        raise click.UsageError("by day, --from must be given")
    last = end or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    count = (last - start) // _DAY
    if not 0 <= count <= _MAX_DAYS:
        raise click.UsageError(f"--to must be 0 to {_MAX_DAYS} days after --from")
    return [_Period(start + number * _DAY, start + (number + 1) * _DAY) for number in range(count)]


def _ask(fx: FxServiceStub, currency: str, period: _Period, timeout_s: float) -> pb.GetPositionsResponse:
    request = pb.GetPositionsRequest(reporting_currency_code=currency)
    if period.start is not None:
        request.start_time.FromDatetime(period.start)
    if period.end is not None:
        request.end_time.FromDatetime(period.end)
    return fx.GetPositions(request, timeout=timeout_s)


def _lines(answer: pb.GetPositionsResponse) -> Iterator[Line]:
    last_day = (answer.end_time.ToDatetime(UTC) - _DAY).date().isoformat()
    for position in answer.positions:
        yield Line(
            date=last_day,
            currency=position.currency_code,
            position=position.position.amount,
            value=position.figures.value.amount,
            spread=position.spread_income.amount,
            rounding=position.rounding_income.amount,
            realised=position.figures.realised.amount,
            unrealised=position.figures.unrealised.amount,
            reporting_currency=answer.reporting_currency_code,
        )


def _as_csv(lines: Sequence[Line]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns())
    writer.writerows(astuple(line) for line in lines)
    return text.getvalue()


def _as_table(lines: Sequence[Line], answers: Sequence[pb.GetPositionsResponse]) -> str:
    rows = [_columns(), *(tuple(text or "-" for text in astuple(line)) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    written = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    return "\n".join([*written, *_summary(answers)]) + "\n"


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for place, (text, width) in enumerate(zip(row, widths, strict=True)):
        is_number = _NUMBERS_FROM <= place < len(widths) - 1
        yield text.rjust(width) if is_number else text.ljust(width)


def _summary(answers: Sequence[pb.GetPositionsResponse]) -> Iterator[str]:
    """Of one period, its result."""
    if len(answers) != 1:
        return
    total, code = answers[0].total, answers[0].reporting_currency_code
    if not total.HasField("result"):
        yield f"There are currencies without a rate in {code}: the result is unknown."
        return
    yield (
        f"Result: {total.result.amount} {code}, of which {total.realised.amount} realised, "
        f"{total.spread.amount} by spreads and {total.rounding.amount} by rounding."
    )


def _columns() -> tuple[str, ...]:
    return tuple(column.name for column in fields(Line))


def _reason(error: grpc.RpcError) -> str:
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if code is None or details is None:
        return str(error)
    return f"{code().name}: {details()}"
