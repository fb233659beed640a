"""Between FxService's messages and the house's positions."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from fx.amounts import format_amount
from fx.position_results import CurrencyResult, Figures, total_of
from persistence.errors import FieldInvalid
from persistence.postgres.rate_rows import time_of
from persistence.postgres.reading.positions import HouseBalance, Period, PositionReport
from service.conversions.fields import unix_ms_of
from service.conversions.rate_locks import rate_text
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales
from stakehold.v1 import fx_service_pb2 as pb
from stakehold.v1 import money_pb2

_DAY = timedelta(days=1)


def read_position_period(request: pb.GetPositionsRequest, *, now_ms: int) -> Period:
    """Without an end, up to the end of the day that it is now."""
    start = _read_day(request.start_time, "start_time") if request.HasField("start_time") else None
    if request.HasField("end_time"):
        end = _read_day(request.end_time, "end_time")
    else:
        end = time_of(now_ms).date() + _DAY
    if start is not None and end < start:
        raise FieldInvalid(
            "end_time", "must not be before start_time, and is the end of today where it is absent"
        )
    return Period(start, end)


def positions_response(
    report: PositionReport, period: Period, *, reporting: str, scales: CurrencyScales
) -> pb.GetPositionsResponse:
    writer = _Writer(reporting, scales)
    return pb.GetPositionsResponse(
        reporting_currency_code=reporting,
        start_time=None if period.start is None else _midnight(period.start),
        end_time=_midnight(period.end),
        positions=[writer.position(result) for result in report.results],
        total=writer.figures(total_of(report.results)),
        balances=[writer.balance(currency, balance) for currency, balance in report.balances.items()],
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes amounts of all currencies, and figures of the reporting one."""

    reporting: str
    scales: CurrencyScales

    def position(self, result: CurrencyResult) -> pb.CurrencyPosition:
        code = result.currency
        message = pb.CurrencyPosition(
            currency_code=code,
            position=self.money(result.position, code),
            spread_income=self.money(result.spread, code),
            spread_income_in_all=self.money(result.spread_in_all, code),
            rounding_income=self.money(result.rounding, code),
            rounding_income_in_all=self.money(result.rounding_in_all, code),
            figures=self.figures(result.figures),
        )
        if result.rate is not None:
            of_units, in_units = self.scales.scale_of(code), self.scales.scale_of(self.reporting)
            message.rate = rate_text(result.rate.mid, of_units, in_units)
            message.rate_id = result.rate.rate_id
            message.published_time.CopyFrom(timestamp_of_ms(result.rate.published_ms))
        return message

    def figures(self, figures: Figures) -> pb.PositionFigures:
        return pb.PositionFigures(
            value=self.figure(figures.value),
            cost=self.figure(figures.cost),
            unrealised=self.figure(figures.unrealised),
            opening_unrealised=self.figure(figures.opening_unrealised),
            realised=self.figure(figures.realised),
            realised_in_all=self.figure(figures.realised_in_all),
            spread=self.figure(figures.spread),
            rounding=self.figure(figures.rounding),
            result=self.figure(figures.result),
        )

    def balance(self, code: str, balance: HouseBalance) -> pb.HouseBalance:
        return pb.HouseBalance(
            currency_code=code,
            position=self.money(balance.position, code),
            spread=self.money(balance.spread, code),
            rounding=self.money(balance.rounding, code),
        )

    def figure(self, minor: int | None) -> money_pb2.Money | None:
        return None if minor is None else self.money(minor, self.reporting)

    def money(self, minor: int, code: str) -> money_pb2.Money:
        return money_pb2.Money(currency_code=code, amount=format_amount(minor, self.scales.scale_of(code)))


def _read_day(timestamp: Timestamp, field: str) -> date:
    moment = time_of(unix_ms_of(timestamp, field))
    if timestamp.nanos or moment.time() != time():
        raise FieldInvalid(field, "must be a midnight of UTC")
    return moment.date()


def _midnight(day: date) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.combine(day, time(), tzinfo=UTC))
    return timestamp
