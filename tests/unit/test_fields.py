"""Single fields of requests: what is malformed is refused with its path, and nothing is repaired."""

import json
from collections.abc import Callable, Mapping

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from fx.currencies import Currency, CurrencyKind
from fx.denominations import Denomination
from persistence.calls import Source
from persistence.errors import CurrencyUnknown, FieldInvalid
from persistence.transactions import SEPARATOR
from service.conversions.fields import (
    read_metadata,
    read_money,
    read_optional_id,
    read_player_id,
    read_transaction_id,
    read_version,
    unix_ms_of,
)
from service.registry import Registry
from stakehold.v1 import money_pb2
from tests.malformed import MALFORMED_AMOUNTS

EUR = Currency("EUR", "Euro", 2, CurrencyKind.FIAT)
BTC = Currency("BTC", "Bitcoin", 8, CurrencyKind.CRYPTO)
UNITS = {
    unit.code: unit
    for unit in (
        Denomination("mBTC", "BTC", -3),
        Denomination("XBT", "BTC", 0),
        Denomination("EUR-100000ths", "EUR", -5),
        Denomination("kEUR", "EUR", 3),
    )
}
LONGEST_ID = 128

WELL_FORMED_IDS = ("1", "b1", "A-b_c.d:e/f", "!~", "{w1}:epoch", "x" * LONGEST_ID, '"', "\\", "%s", "0")
ILL_FORMED_IDS = (
    "x" * (LONGEST_ID + 1),
    "a\tb",
    "a\n",
    "\n",
    "a\r",
    "a\x00",
    "a\x1fb",
    "a\x7f",
    "a\x80",
    "bét",
    "ставка",
    "🎰",
    "a\u2028",
)


class Store:
    """A registry of two currencies, and of units of theirs."""

    async def read(self) -> tuple[Mapping[str, Currency], Mapping[str, Denomination], Mapping[str, Source]]:
        return {"EUR": EUR, "BTC": BTC}, UNITS, {}

    async def put_currency(self, currency: Currency) -> bool:
        raise NotImplementedError

    async def put_denomination(self, denomination: Denomination) -> bool:
        raise NotImplementedError

    async def put_source(self, source: Source) -> bool:
        raise NotImplementedError


@pytest_asyncio.fixture(scope="module")
async def registry() -> Registry:
    registry = Registry(Store())
    await registry.refresh()
    return registry


def refusal(read: Callable[[], object]) -> FieldInvalid:
    with pytest.raises(FieldInvalid) as caught:
        read()
    return caught.value


@pytest.mark.parametrize("text", WELL_FORMED_IDS)
def test_a_well_formed_id_is_taken_byte_for_byte(text: str) -> None:
    assert read_player_id(text) == text
    assert read_transaction_id(text, "transaction_id") == text
    assert read_optional_id(text, "round_id") == text


@pytest.mark.parametrize("text", ILL_FORMED_IDS)
def test_an_ill_formed_id_is_refused_with_its_field(text: str) -> None:
    assert refusal(lambda: read_player_id(text)).field == "player_id"
    assert refusal(lambda: read_transaction_id(text, "steps[3].debit.transaction_id")).field == (
        "steps[3].debit.transaction_id"
    )
    assert refusal(lambda: read_optional_id(text, "round_id")).field == "round_id"


def test_only_an_optional_id_may_be_empty() -> None:
    assert read_optional_id("", "round_id") == ""
    assert refusal(lambda: read_player_id("")).field == "player_id"
    assert refusal(lambda: read_transaction_id("", "transaction_id")).field == "transaction_id"


@given(text=st.text(max_size=130))
def test_no_accepted_id_can_contain_what_separates_stored_fields(text: str) -> None:
    try:
        accepted = read_optional_id(text, "round_id")
    except FieldInvalid:
        return

    assert SEPARATOR not in accepted
    assert accepted.isascii()
    assert accepted == "" or accepted.isprintable()


def test_money_is_read_in_minor_units_of_its_currency(registry: Registry) -> None:
    money = money_pb2.Money(currency_code="EUR", amount="12.5")

    assert read_money(money, registry, "amount") == (EUR, 1250)


@pytest.mark.parametrize(
    ("code", "amount", "currency", "minor"),
    [
        ("mBTC", "1.5", BTC, 150_000),
        ("mBTC", "0.00001", BTC, 1),
        ("XBT", "0.5", BTC, 50_000_000),
        ("EUR-100000ths", "150000", EUR, 150),
        ("EUR-100000ths", "0", EUR, 0),
        ("kEUR", "1.23456", EUR, 123_456),
    ],
)
def test_money_in_a_denomination_is_read_in_minor_units_of_its_currency(
    registry: Registry, code: str, amount: str, currency: Currency, minor: int
) -> None:
    money = money_pb2.Money(currency_code=code, amount=amount)

    assert read_money(money, registry, "amount") == (currency, minor)


@pytest.mark.parametrize(
    ("code", "amount", "why"),
    [
        ("mBTC", "0.000001", "must have at most 5 decimals"),
        ("mBTC", "-1", "must be digits"),
        ("EUR-100000ths", "150001", "must be a whole number of minor units"),
        ("EUR-100000ths", "150000.0", "must be digits without a point"),
        ("kEUR", "9" * 32, "must have at most 36 digits"),
    ],
)
def test_money_in_a_denomination_that_is_no_whole_minor_unit_is_refused_with_its_path(
    registry: Registry, code: str, amount: str, why: str
) -> None:
    money = money_pb2.Money(currency_code=code, amount=amount)

    refused = refusal(lambda: read_money(money, registry, "steps[0].credit.amount"))

    assert refused.field == "steps[0].credit.amount.amount"
    assert refused.description.startswith(why)


@pytest.mark.parametrize("text", MALFORMED_AMOUNTS)
def test_a_malformed_amount_is_refused_with_its_path(registry: Registry, text: str) -> None:
    money = money_pb2.Money(currency_code="EUR", amount=text)

    refused = refusal(lambda: read_money(money, registry, "steps[0].credit.amount"))

    assert refused.field == "steps[0].credit.amount.amount"
    assert refused.description.startswith("must ")


@pytest.mark.parametrize("code", ["", "eur", "EU", "EURO", " EUR", "EUR ", "ΕUR", "XXX"])
def test_another_currency_than_the_registrys_is_refused_with_its_path(registry: Registry, code: str) -> None:
    money = money_pb2.Money(currency_code=code, amount="not even an amount")

    refused = refusal(lambda: read_money(money, registry, "amount"))

    assert isinstance(refused, CurrencyUnknown)
    assert (refused.field, refused.currency) == ("amount.currency_code", code)


def test_metadata_is_one_json_text_whatever_its_order() -> None:
    text = read_metadata({"b": "2", "a": "1\x1f"}, "context.metadata")

    assert text == read_metadata({"a": "1\x1f", "b": "2"}, "context.metadata")
    assert json.loads(text) == {"a": "1\x1f", "b": "2"}
    assert SEPARATOR not in text
    assert text.isascii()


def test_no_metadata_is_an_empty_text() -> None:
    assert read_metadata({}, "context.metadata") == ""


@pytest.mark.parametrize(
    "pairs",
    [
        {str(number): "" for number in range(16)},
        {"k" * 256: "v" * 256},
        {"ключ": "значение 🎰"},
        {"a\nb": "\t"},
    ],
    ids=["16 pairs", "256 characters", "any script", "control characters"],
)
def test_metadata_within_its_limits_comes_back(pairs: dict[str, str]) -> None:
    assert json.loads(read_metadata(pairs, "context.metadata")) == pairs


@pytest.mark.parametrize(
    "pairs",
    [
        {str(number): "" for number in range(17)},
        {"k" * 257: "v"},
        {"k": "v" * 257},
        {"": "v"},
        {"k\x00": "v"},
        {"k": "v\x00"},
    ],
    ids=["17 pairs", "long key", "long value", "empty key", "NUL in a key", "NUL in a value"],
)
def test_metadata_beyond_its_limits_is_refused(pairs: dict[str, str]) -> None:
    assert refusal(lambda: read_metadata(pairs, "context.metadata")).field == "context.metadata"


@pytest.mark.parametrize(
    ("seconds", "nanos", "unix_ms"),
    [
        (0, 0, 0),
        (0, 999_999, 0),
        (1, 999_999_999, 1999),
        (1_700_000_000, 123_456_789, 1_700_000_000_123),
        (253_402_300_799, 999_999_999, 253_402_300_799_999),
    ],
)
def test_a_time_is_whole_milliseconds(seconds: int, nanos: int, unix_ms: int) -> None:
    assert unix_ms_of(Timestamp(seconds=seconds, nanos=nanos), "context.occurred_time") == unix_ms


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(-1, 0), (-62_135_596_800, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (2**62, 0)],
)
def test_a_time_outside_the_calendar_is_refused(seconds: int, nanos: int) -> None:
    time = Timestamp(seconds=seconds, nanos=nanos)

    assert refusal(lambda: unix_ms_of(time, "context.occurred_time")).field == "context.occurred_time"


@pytest.mark.parametrize("version", [1, 2, 2**63 - 1])
def test_a_version_of_a_wallet_is_at_least_one(version: int) -> None:
    assert read_version(version) == version


@pytest.mark.parametrize("version", [0, -1, -(2**63)])
def test_a_version_that_no_wallet_has_is_refused(version: int) -> None:
    assert refusal(lambda: read_version(version, "steps[0].debit.expected_version")).field == (
        "steps[0].debit.expected_version"
    )
