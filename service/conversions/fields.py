"""Reads single fields of requests. What is malformed is refused with its path; nothing is repaired."""

import json
import re
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from fx.amounts import AmountInvalid, parse_amount
from fx.currencies import Currency
from persistence.errors import FieldInvalid
from persistence.transactions import CurrencyCode, PlayerId, TransactionId
from service.registry import Registry
from stakehold.v1 import money_pb2, round_service_pb2, sportsbook_service_pb2, wallet_service_pb2

MAX_METADATA_PAIRS = 16
MAX_METADATA_CHARACTERS = 256

_Contextual = (
    wallet_service_pb2.DebitRequest
    | wallet_service_pb2.CreditRequest
    | wallet_service_pb2.RollbackRequest
    | wallet_service_pb2.ExchangeRequest
    | wallet_service_pb2.DebitStep
    | wallet_service_pb2.CreditStep
    | wallet_service_pb2.RollbackStep
    | round_service_pb2.CloseRoundRequest
    | wallet_service_pb2.HoldRequest
    | wallet_service_pb2.HoldStep
    | wallet_service_pb2.CaptureRequest
    | wallet_service_pb2.CaptureStep
    | wallet_service_pb2.ReleaseRequest
    | wallet_service_pb2.ReleaseStep
    | sportsbook_service_pb2.PlaceSlipRequest
    | sportsbook_service_pb2.SettleSlipRequest
    | sportsbook_service_pb2.ResettleSlipRequest
    | sportsbook_service_pb2.UnsettleSlipRequest
    | sportsbook_service_pb2.VoidSlipRequest
    | sportsbook_service_pb2.ReopenSlipRequest
    | sportsbook_service_pb2.CashOutSlipRequest
)

_ID = re.compile(r"[\x20-\x7e]{1,128}")
_OPTIONAL_ID = re.compile(r"[\x20-\x7e]{0,128}")
_ID_RULE = "must be 1 to 128 printable ASCII characters"


def read_player_id(text: str, field: str = "player_id") -> PlayerId:
    if not _ID.fullmatch(text):
        raise FieldInvalid(field, _ID_RULE)
    return PlayerId(text)


def read_transaction_id(text: str, field: str) -> TransactionId:
    if not _ID.fullmatch(text):
        raise FieldInvalid(field, _ID_RULE)
    return TransactionId(text)


def read_optional_id(text: str, field: str) -> str:
    """An id that may be left out, such as a round's."""
    if not _OPTIONAL_ID.fullmatch(text):
        raise FieldInvalid(field, "must be at most 128 printable ASCII characters")
    return text


def read_money(message: money_pb2.Money, registry: Registry, field: str) -> tuple[Currency, int]:
    """The currency and the amount in its minor units, also of an amount in a denomination of the currency.

    Raises FieldInvalid and CurrencyUnknown.
    """
    code = message.currency_code
    if not code and not message.amount:
        raise FieldInvalid(field, "must be set")
    denomination = registry.denomination(code)
    currency = registry.currency(denomination.currency if denomination else code, f"{field}.currency_code")
    try:
        if denomination:
            return currency, denomination.to_minor(message.amount, currency.scale)
        return currency, parse_amount(message.amount, currency.scale)
    except AmountInvalid as error:
        raise FieldInvalid(f"{field}.amount", str(error)) from None


def read_metadata(pairs: Mapping[str, str], field: str) -> str:
    """Free text pairs as a JSON object, "" where there are none."""
    if not pairs:
        return ""
    if len(pairs) > MAX_METADATA_PAIRS:
        raise FieldInvalid(field, f"must have at most {MAX_METADATA_PAIRS} pairs")
    for key, value in pairs.items():
        if not key or len(key) > MAX_METADATA_CHARACTERS or len(value) > MAX_METADATA_CHARACTERS:
            raise FieldInvalid(
                field, f"keys and values must have at most {MAX_METADATA_CHARACTERS} characters"
            )
        if "\x00" in key or "\x00" in value:
            raise FieldInvalid(field, "keys and values must not contain NUL")
    return json.dumps(dict(pairs), separators=(",", ":"), sort_keys=True)


def unix_ms_of(timestamp: Timestamp, field: str) -> int:
    """Whole milliseconds since 1970. Raises FieldInvalid outside the years 1970 to 9999."""
    in_range = 0 <= timestamp.seconds <= 253_402_300_799
    if not in_range or not 0 <= timestamp.nanos < 1_000_000_000:
        raise FieldInvalid(field, "must be a time of the years 1970 to 9999")
    return timestamp.seconds * 1000 + timestamp.nanos // 1_000_000


def read_version(version: int, field: str = "expected_version") -> int:
    if version < 1:
        raise FieldInvalid(field, "must be at least 1, the version of a wallet that was just opened")
    return version


def read_wallet_currency(code: str, registry: Registry, path: str) -> CurrencyCode | None:
    """Which wallet is meant, where a request names it."""
    return CurrencyCode(registry.currency(code, f"{path}wallet_currency_code").code) if code else None


def read_context(message: _Contextual, path: str) -> tuple[int | None, str]:
    """When it happened, and the metadata as JSON, as far as the caller says."""
    if not message.HasField("context"):
        return None, ""
    context = message.context
    occurred_ms = None
    if context.HasField("occurred_time"):
        occurred_ms = unix_ms_of(context.occurred_time, f"{path}context.occurred_time")
    return occurred_ms, read_metadata(context.metadata, f"{path}context.metadata")
