"""Between FxService's messages and rates, pairs and spreads."""

import re
from collections.abc import Sequence
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp

from fx.amounts import AmountInvalid, format_amount, parse_amount
from fx.rate_checks import RateInvalid, read_mid
from fx.rate_locks import Multiplier, RateLock, Side
from fx.rates import MAX_SPREAD_BPS, Pair, RateState, Spread
from persistence.errors import FieldInvalid
from persistence.postgres.rate_reader import RatePage, RatePeriod
from persistence.postgres.rate_rows import RecordedRate
from persistence.postgres.rates import PushedRate, PushOutcome, PushResult
from service.conversions.fields import read_optional_id, unix_ms_of
from service.registry import CurrencyScales, Registry
from stakehold.v1 import error_reason_pb2, money_pb2
from stakehold.v1 import fx_service_pb2 as pb

MAX_RATES = 500
MAX_PIVOTS = 8
MAX_STALE_AFTER_S = 366 * 86_400
MAX_DIFFERENCE_BPS = 1_000_000
MAX_GROUP_CHARACTERS = 64

_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_NANOS_PER_MS = 1_000_000

_STATES = {
    RateState.ACCEPTED: pb.RATE_STATE_ACCEPTED,
    RateState.HELD: pb.RATE_STATE_HELD,
    RateState.REJECTED: pb.RATE_STATE_REJECTED,
}
_OUTCOMES = {
    PushOutcome.ACCEPTED: pb.PUSH_OUTCOME_ACCEPTED,
    PushOutcome.HELD: pb.PUSH_OUTCOME_HELD,
    PushOutcome.IGNORED: pb.PUSH_OUTCOME_IGNORED,
    PushOutcome.PAIR_UNKNOWN: pb.PUSH_OUTCOME_REFUSED,
}
_SIDES = {
    None: pb.CONVERSION_SIDE_UNSPECIFIED,
    Side.PAID: pb.CONVERSION_SIDE_PAID,
    Side.RECEIVED: pb.CONVERSION_SIDE_RECEIVED,
}


def read_rate_source(text: str) -> str:
    if not _SOURCE.fullmatch(text):
        rule = 'must be 1 to 64 of a-z, 0-9, "-", "_" and ".", starting with a letter or digit'
        raise FieldInvalid("source", rule)
    return text


def read_person(text: str) -> str:
    if not text:
        raise FieldInvalid("by", "must be set")
    return read_optional_id(text, "by")


def read_pushed_rates(request: pb.PushRatesRequest) -> list[PushedRate]:
    if not 1 <= len(request.rates) <= MAX_RATES:
        raise FieldInvalid("rates", f"must be 1 to {MAX_RATES} rates")
    return [_read_pushed_rate(rate, f"rates[{index}]") for index, rate in enumerate(request.rates)]


def _read_pushed_rate(message: pb.PushedRate, path: str) -> PushedRate:
    """Whether the pair is known is decided where pairs are kept: one that is not refuses no others."""
    return PushedRate(
        base=read_optional_id(message.base, f"{path}.base"),
        quote=read_optional_id(message.quote, f"{path}.quote"),
        mid=_read_mid(message.mid, f"{path}.mid"),
        published_ms=_read_time(
            message.published_time if message.HasField("published_time") else None, f"{path}.published_time"
        ),
    )


def push_response(results: Sequence[PushResult]) -> pb.PushRatesResponse:
    return pb.PushRatesResponse(results=[_push_result_message(result) for result in results])


def _push_result_message(result: PushResult) -> pb.PushResult:
    message = pb.PushResult(outcome=_OUTCOMES[result.outcome], rate_id=result.rate_id, reason=result.reason)
    if result.outcome is PushOutcome.PAIR_UNKNOWN:
        message.refusal_reason = error_reason_pb2.ERROR_REASON_PAIR_UNKNOWN
    return message


def rate_message(recorded: RecordedRate) -> pb.Rate:
    rate = recorded.rate
    message = pb.Rate(
        rate_id=rate.rate_id,
        source=rate.source,
        base=rate.base,
        quote=rate.quote,
        mid=_decimal_text(rate.mid),
        published_time=_timestamp(rate.published_ms),
        received_time=_timestamp(rate.received_ms),
        state=_STATES[rate.state],
        pushed_by=recorded.pushed_by,
        held_reason=recorded.reason,
        decided_by=recorded.decided_by,
        decision_reason=recorded.decision_reason,
    )
    if recorded.decided_ms is not None:
        message.decided_time.CopyFrom(_timestamp(recorded.decided_ms))
    return message


def rate_messages(page: RatePage) -> list[pb.Rate]:
    return [rate_message(recorded) for recorded in page.rates]


def read_pair_key(base: str, quote: str, registry: Registry, path: str = "") -> tuple[str, str]:
    base = registry.currency(base, f"{path}base").code
    quote = registry.currency(quote, f"{path}quote").code
    if base == quote:
        raise FieldInvalid(f"{path}quote", "must be another currency than the base")
    return base, quote


def read_rate_period(request: pb.ListRatesRequest, registry: Registry) -> RatePeriod:
    base, quote = read_pair_key(request.base, request.quote, registry)
    start_ms = _bound_ms(request.start_time, "start_time") if request.HasField("start_time") else 0
    end_ms = _bound_ms(request.end_time, "end_time") if request.HasField("end_time") else None
    if end_ms is not None and end_ms < start_ms:
        raise FieldInvalid("end_time", "must not be before start_time")
    return RatePeriod(base, quote, start_ms, end_ms)


def read_rate_times(request: pb.GetRateAtRequest) -> tuple[int, int | None]:
    """The time at which the rate held, and the one as of which it was known, None for now."""
    known_ms = unix_ms_of(request.known_time, "known_time") if request.HasField("known_time") else None
    return _read_time(request.time if request.HasField("time") else None, "time"), known_ms


def read_pair(message: pb.Pair, registry: Registry) -> Pair:
    base, quote = read_pair_key(message.base, message.quote, registry, "pair.")
    has_peg = bool(message.peg)
    return Pair(
        base=base,
        quote=quote,
        stale_after_s=_read_number(message.stale_after_s, "pair.stale_after_s", 1, MAX_STALE_AFTER_S),
        jump_bps=_read_number(message.jump_bps, "pair.jump_bps", 1, MAX_DIFFERENCE_BPS),
        two_person_bps=_read_number(message.two_person_bps, "pair.two_person_bps", 0, MAX_DIFFERENCE_BPS),
        peg=_read_mid(message.peg, "pair.peg") if has_peg else None,
        peg_band_bps=_read_number(
            message.peg_band_bps, "pair.peg_band_bps", int(has_peg), MAX_SPREAD_BPS if has_peg else 0
        ),
    )


def pair_message(pair: Pair) -> pb.Pair:
    return pb.Pair(
        base=pair.base,
        quote=pair.quote,
        stale_after_s=pair.stale_after_s,
        jump_bps=pair.jump_bps,
        two_person_bps=pair.two_person_bps,
        peg="" if pair.peg is None else _decimal_text(pair.peg),
        peg_band_bps=pair.peg_band_bps,
    )


def read_pivots(request: pb.PutPivotsRequest, registry: Registry) -> list[str]:
    codes = list(request.pivot_currency_codes)
    if len(codes) > MAX_PIVOTS or len(set(codes)) < len(codes):
        raise FieldInvalid("pivot_currency_codes", f"must be at most {MAX_PIVOTS} currencies, each once")
    return [
        registry.currency(code, f"pivot_currency_codes[{index}]").code for index, code in enumerate(codes)
    ]


def read_spread(message: pb.Spread, registry: Registry) -> Spread:
    bps = _read_number(message.bps, "spread.bps", 0, MAX_SPREAD_BPS)
    return _read_scope(message, registry, "spread.", bps)


def read_spread_scope(request: pb.DeleteSpreadRequest, registry: Registry) -> Spread:
    """The spread of this scope; its size does not matter."""
    return _read_scope(request, registry, "", 0)


def _read_scope(
    message: pb.Spread | pb.DeleteSpreadRequest, registry: Registry, path: str, bps: int
) -> Spread:
    return Spread(
        bps=bps,
        currency=_read_optional_code(message.currency_code, registry, f"{path}currency_code"),
        wallet_currency=_read_optional_code(
            message.wallet_currency_code, registry, f"{path}wallet_currency_code"
        ),
        side=_read_optional_side(message.side, f"{path}side"),
        player_group=read_player_group(message.player_group, f"{path}player_group"),
    )


def spread_message(spread: Spread) -> pb.Spread:
    return pb.Spread(
        currency_code=spread.currency,
        wallet_currency_code=spread.wallet_currency,
        side=_SIDES[spread.side],
        player_group=spread.player_group,
        bps=spread.bps,
    )


def read_side(number: int) -> Side:
    side = _read_optional_side(number, "side")
    if side is None:
        raise FieldInvalid("side", "must be one of its named values")
    return side


def read_player_group(text: str, field: str) -> str:
    if len(text) > MAX_GROUP_CHARACTERS:
        raise FieldInvalid(field, f"must be at most {MAX_GROUP_CHARACTERS} printable ASCII characters")
    return read_optional_id(text, field)


def read_conversion_amount(request: pb.GetConversionRequest, scales: CurrencyScales) -> int | None:
    """Minor units; None where only the rate is asked for."""
    if not request.amount:
        return None
    try:
        return parse_amount(request.amount, scales.scale_of(request.currency_code))
    except AmountInvalid as error:
        raise FieldInvalid("amount", str(error)) from None


def conversion_response(
    lock: RateLock, amount: int | None, scales: CurrencyScales
) -> pb.GetConversionResponse:
    wallet_scale = scales.scale_of(lock.wallet_currency)
    response = pb.GetConversionResponse(
        rate=_multiplier_text(lock.rate, lock, scales),
        mid_rate=_multiplier_text(lock.mid, lock, scales),
        spread_bps=lock.spread_bps,
        rate_id=lock.rate_id,
        published_time=_timestamp(lock.published_ms),
        received_time=_timestamp(lock.received_ms),
    )
    if amount is not None:
        converted = lock.rate.convert(amount, lock.side.rounding)
        response.converted.CopyFrom(
            money_pb2.Money(currency_code=lock.wallet_currency, amount=format_amount(converted, wallet_scale))
        )
    return response


def _multiplier_text(multiplier: Multiplier, lock: RateLock, scales: CurrencyScales) -> str:
    """Units of the wallet's currency for one unit of the other."""
    return _decimal_text(
        multiplier.major(
            from_scale=scales.scale_of(lock.currency), to_scale=scales.scale_of(lock.wallet_currency)
        )
    )


def _decimal_text(number: Decimal) -> str:
    return format(number, "f")


def _read_mid(text: str, field: str) -> Decimal:
    try:
        return read_mid(text)
    except RateInvalid as error:
        raise FieldInvalid(field, str(error)) from None


def _read_optional_code(code: str, registry: Registry, field: str) -> str:
    return registry.currency(code, field).code if code else ""


def _read_optional_side(number: int, field: str) -> Side | None:
    for side, known in _SIDES.items():
        if known == number:
            return side
    raise FieldInvalid(field, "must be one of its named values")


def _read_number(number: int, field: str, least: int, most: int) -> int:
    if not least <= number <= most:
        raise FieldInvalid(field, f"must be {least} to {most}" if least < most else f"must be {least}")
    return number


def _read_time(timestamp: Timestamp | None, field: str) -> int:
    if timestamp is None:
        raise FieldInvalid(field, "must be set")
    return unix_ms_of(timestamp, field)


def _bound_ms(timestamp: Timestamp, field: str) -> int:
    """Rates have whole milliseconds, so that rounding a bound up changes nothing."""
    return unix_ms_of(timestamp, field) + (timestamp.nanos % _NANOS_PER_MS > 0)


def _timestamp(unix_ms: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(unix_ms)
    return timestamp
