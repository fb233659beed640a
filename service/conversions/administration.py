"""Between AdminService's messages and currencies, denominations, sources and wallet statuses."""

import re
from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from fx.currencies import MAX_SCALE, Currency, CurrencyKind, CurrencyStatus
from fx.denominations import Denomination
from persistence.calls import (
    ForeignCurrencyPolicy,
    LateWinPolicy,
    RateLimit,
    SettledRollbackPolicy,
    ShortfallPolicy,
    Source,
    SourceStatus,
    UnknownBetPolicy,
    ZeroAmountPolicy,
)
from persistence.errors import FieldInvalid
from persistence.transactions import OPERATOR_SOURCE, SourceId, WalletStatus
from service.conversions.results import WALLET_STATUSES
from service.registry import Registry
from stakehold.v1 import admin_service_pb2 as pb

MAX_NAME_CHARACTERS = 128
MAX_REASON_CHARACTERS = 256
MIN_ORPHAN_HORIZON_S = 60
MAX_ORPHAN_HORIZON_S = 10 * 365 * 86_400
MAX_CALLS_PER_S = 1_000_000

_CURRENCY_CODE = re.compile(r"[A-Z][A-Z0-9]{2,11}")
_DENOMINATION_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")
_SOURCE_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

_CURRENCY_KINDS = {
    pb.CURRENCY_KIND_FIAT: CurrencyKind.FIAT,
    pb.CURRENCY_KIND_STABLECOIN: CurrencyKind.STABLECOIN,
    pb.CURRENCY_KIND_CRYPTO: CurrencyKind.CRYPTO,
}
_CURRENCY_STATUSES = {
    pb.CURRENCY_STATUS_ENABLED: CurrencyStatus.ENABLED,
    pb.CURRENCY_STATUS_NO_NEW_DEBITS: CurrencyStatus.NO_NEW_DEBITS,
    pb.CURRENCY_STATUS_DISABLED: CurrencyStatus.DISABLED,
}
_SOURCE_STATUSES = {
    pb.SOURCE_STATUS_UNSPECIFIED: SourceStatus.ENABLED,
    pb.SOURCE_STATUS_ENABLED: SourceStatus.ENABLED,
    pb.SOURCE_STATUS_DISABLED: SourceStatus.DISABLED,
}
_SETTLED_ROLLBACKS = {
    pb.SETTLED_ROLLBACK_POLICY_UNSPECIFIED: SettledRollbackPolicy.REFUSE,
    pb.SETTLED_ROLLBACK_POLICY_REFUSE: SettledRollbackPolicy.REFUSE,
    pb.SETTLED_ROLLBACK_POLICY_ALLOW: SettledRollbackPolicy.ALLOW,
}
_UNKNOWN_BETS = {
    pb.UNKNOWN_BET_POLICY_UNSPECIFIED: UnknownBetPolicy.REFUSE,
    pb.UNKNOWN_BET_POLICY_REFUSE: UnknownBetPolicy.REFUSE,
    pb.UNKNOWN_BET_POLICY_ACCEPT: UnknownBetPolicy.ACCEPT,
}
_LATE_WINS = {
    pb.LATE_WIN_POLICY_UNSPECIFIED: LateWinPolicy.ACCEPT,
    pb.LATE_WIN_POLICY_ACCEPT: LateWinPolicy.ACCEPT,
    pb.LATE_WIN_POLICY_REFUSE: LateWinPolicy.REFUSE,
}
_SHORTFALLS = {
    pb.SHORTFALL_POLICY_UNSPECIFIED: ShortfallPolicy.NEGATIVE,
    pb.SHORTFALL_POLICY_NEGATIVE: ShortfallPolicy.NEGATIVE,
    pb.SHORTFALL_POLICY_CLAMP: ShortfallPolicy.CLAMP,
    pb.SHORTFALL_POLICY_REJECT: ShortfallPolicy.REJECT,
}
_ZERO_AMOUNTS = {
    pb.ZERO_AMOUNT_POLICY_UNSPECIFIED: ZeroAmountPolicy.ACCEPT,
    pb.ZERO_AMOUNT_POLICY_ACCEPT: ZeroAmountPolicy.ACCEPT,
    pb.ZERO_AMOUNT_POLICY_REFUSE: ZeroAmountPolicy.REFUSE,
}
_FOREIGN_CURRENCIES = {
    pb.FOREIGN_CURRENCY_POLICY_UNSPECIFIED: ForeignCurrencyPolicy.REFUSE,
    pb.FOREIGN_CURRENCY_POLICY_REFUSE: ForeignCurrencyPolicy.REFUSE,
    pb.FOREIGN_CURRENCY_POLICY_CONVERT: ForeignCurrencyPolicy.CONVERT,
}

_Number = TypeVar("_Number", bound=int)
_Word = TypeVar("_Word")


def read_currency(message: pb.Currency) -> Currency:
    if not _CURRENCY_CODE.fullmatch(message.currency_code):
        rule = "must be 3 to 12 characters, A to Z and 0 to 9, starting with a letter"
        raise FieldInvalid("currency.currency_code", rule)
    if not 0 <= message.scale <= MAX_SCALE:
        raise FieldInvalid("currency.scale", f"must be 0 to {MAX_SCALE}")
    return Currency(
        code=message.currency_code,
        display_name=_read_text(message.display_name, "currency.display_name", MAX_NAME_CHARACTERS),
        scale=message.scale,
        kind=_read_enum(_CURRENCY_KINDS, message.kind, "currency.kind"),
        status=_read_enum(_CURRENCY_STATUSES, message.status, "currency.status"),
    )


def currency_message(currency: Currency) -> pb.Currency:
    return pb.Currency(
        currency_code=currency.code,
        display_name=currency.display_name,
        scale=currency.scale,
        kind=_number_of(_CURRENCY_KINDS, currency.kind),
        status=_number_of(_CURRENCY_STATUSES, currency.status),
    )


def read_denomination(message: pb.Denomination, registry: Registry) -> Denomination:
    if not _DENOMINATION_CODE.fullmatch(message.denomination_code):
        rule = 'must be 1 to 32 of A-Z, a-z, 0-9, "_", "." and "-", starting with a letter'
        raise FieldInvalid("denomination.denomination_code", rule)
    if not -MAX_SCALE <= message.exponent <= MAX_SCALE:
        raise FieldInvalid("denomination.exponent", f"must be -{MAX_SCALE} to {MAX_SCALE}")
    currency = registry.currency(message.currency_code, "denomination.currency_code")
    return Denomination(message.denomination_code, currency.code, message.exponent)


def denomination_message(denomination: Denomination) -> pb.Denomination:
    return pb.Denomination(
        denomination_code=denomination.code,
        currency_code=denomination.currency,
        exponent=denomination.exponent,
    )


def read_source(message: pb.Source) -> Source:
    """A source with its defaults spelled out."""
    if not _SOURCE_ID.fullmatch(message.source_id) or message.source_id == OPERATOR_SOURCE:
        rule = (
            'must be 1 to 64 of a-z, 0-9, "-", "_" and ".", starting with a letter or digit, not "stakehold"'
        )
        raise FieldInvalid("source.source_id", rule)
    return Source(
        source_id=SourceId(message.source_id),
        display_name=_read_text(message.display_name, "source.display_name", MAX_NAME_CHARACTERS),
        status=_read_enum(_SOURCE_STATUSES, message.status, "source.status"),
        settled_rollback=_read_enum(_SETTLED_ROLLBACKS, message.settled_rollback, "source.settled_rollback"),
        unknown_bet=_read_enum(_UNKNOWN_BETS, message.unknown_bet, "source.unknown_bet"),
        late_win=_read_enum(_LATE_WINS, message.late_win, "source.late_win"),
        shortfall=_read_enum(_SHORTFALLS, message.shortfall, "source.shortfall"),
        zero_amount=_read_enum(_ZERO_AMOUNTS, message.zero_amount, "source.zero_amount"),
        foreign_currency=_read_enum(_FOREIGN_CURRENCIES, message.foreign_currency, "source.foreign_currency"),
        orphan_horizon_ms=_read_orphan_horizon(message),
        rate_limit=_read_rate_limit(message),
    )


def _duration(ms: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(ms)
    return duration


def _read_orphan_horizon(message: pb.Source) -> int | None:
    if not message.HasField("orphan_horizon"):
        return None
    horizon = message.orphan_horizon
    in_range = MIN_ORPHAN_HORIZON_S <= horizon.seconds <= MAX_ORPHAN_HORIZON_S
    if not in_range or not 0 <= horizon.nanos < 1_000_000_000:
        raise FieldInvalid("source.orphan_horizon", "must be one minute to ten years, or absent for never")
    return horizon.seconds * 1000 + horizon.nanos // 1_000_000


def _read_rate_limit(message: pb.Source) -> RateLimit | None:
    if not message.HasField("rate_limit"):
        return None
    calls_per_s, burst = message.rate_limit.calls_per_second, message.rate_limit.burst
    if not 1 <= calls_per_s <= MAX_CALLS_PER_S:
        raise FieldInvalid("source.rate_limit.calls_per_second", f"must be 1 to {MAX_CALLS_PER_S}")
    if not 0 <= burst <= MAX_CALLS_PER_S:
        raise FieldInvalid("source.rate_limit.burst", f"must be 0 to {MAX_CALLS_PER_S}")
    return RateLimit(calls_per_s, burst or calls_per_s)


def _rate_limit_message(limit: RateLimit | None) -> pb.RateLimit | None:
    return None if limit is None else pb.RateLimit(calls_per_second=limit.calls_per_s, burst=limit.burst)


def source_message(source: Source) -> pb.Source:
    horizon_ms = source.orphan_horizon_ms
    return pb.Source(
        orphan_horizon=None if horizon_ms is None else _duration(horizon_ms),
        rate_limit=_rate_limit_message(source.rate_limit),
        source_id=source.source_id,
        display_name=source.display_name,
        status=_number_of(_SOURCE_STATUSES, source.status),
        settled_rollback=_number_of(_SETTLED_ROLLBACKS, source.settled_rollback),
        unknown_bet=_number_of(_UNKNOWN_BETS, source.unknown_bet),
        late_win=_number_of(_LATE_WINS, source.late_win),
        shortfall=_number_of(_SHORTFALLS, source.shortfall),
        zero_amount=_number_of(_ZERO_AMOUNTS, source.zero_amount),
        foreign_currency=_number_of(_FOREIGN_CURRENCIES, source.foreign_currency),
    )


def read_wallet_status(number: int) -> WalletStatus:
    statuses = {number: status for status, number in WALLET_STATUSES.items()}
    return _read_enum(statuses, number, "status")


def read_reason(text: str) -> str:
    return _read_text(text, "reason", MAX_REASON_CHARACTERS)


def _read_text(text: str, field: str, longest: int) -> str:
    if len(text) > longest or "\x00" in text:
        raise FieldInvalid(field, f"must be at most {longest} characters, without NUL")
    return text


def _read_enum(words: Mapping[_Number, _Word], number: int, field: str) -> _Word:
    for known, word in words.items():
        if known == number:
            return word
    raise FieldInvalid(field, "must be one of its named values")


def _number_of(words: Mapping[_Number, _Word], word: _Word) -> _Number:
    """The number of a word; where the unspecified value means it too, the word's own."""
    return max(number for number, meaning in words.items() if meaning == word)
