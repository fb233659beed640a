"""Adapters read any bytes and write any finding; amounts are exact; every refusal has a word."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fx.amounts import AmountInvalid, format_amount
from fx.denominations import Denomination
from persistence import errors
from persistence.errors import RefusalDetails, RefusalReason, Refused
from persistence.transactions import TransactionId
from service.errors import ERROR_CODES
from service.providers.adapter import (
    Adapter,
    Asked,
    BalanceAsked,
    BetAsked,
    Finding,
    Problem,
    Request,
    RollbackAsked,
    TransactionAsked,
    Unreadable,
    WinAsked,
)
from service.providers.amounts import Balance, to_minor
from service.providers.house_json import HouseJson, HouseOptions
from service.providers.hub88 import STATUSES, Hub88, Hub88Options
from service.providers.problems import REFUSALS, problem_of
from tests.providers_house import hub88_bet
from tests.unit.test_error_table import CALLER_ERRORS

HUB88 = Hub88(Hub88Options())
HOUSE = HouseJson(HouseOptions())
ADAPTERS = st.sampled_from([HUB88, HOUSE])
HUB88_PATHS = ("/user/info", "/user/balance", "/transaction/bet", "/transaction/win", "/transaction/rollback")
PATHS = st.sampled_from([*HUB88_PATHS, "/balance", "/bet", "/win", "/rollback", "/", "/x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
BETS = st.fixed_dictionaries(
    {name: JSON | st.just(value) for name, value in hub88_bet("p", "t", "b").items()}
    | dict.fromkeys(("player_id", "transaction_id", "original_id", "reference_transaction_uuid"), JSON)
)
UNIT = Denomination("EUR", "EUR", -5)


def read(adapter: Adapter, path: str, body: bytes) -> Asked:
    """What it asks for, or what could be read of it: nothing else may come of any bytes."""
    try:
        return adapter.read(Request("POST", path, body))
    except Unreadable as unreadable:
        if unreadable.problem not in {Problem.SYNTAX, Problem.TYPES, Problem.NO_SUCH_PATH}:
            raise
        return unreadable.asked


@given(ADAPTERS, PATHS, st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(adapter: Adapter, path: str, body: bytes) -> None:
    read(adapter, path, body)


@given(ADAPTERS, PATHS, BETS, st.sampled_from([None, *Problem]))
def test_whatever_is_asked_can_be_answered(
    adapter: Adapter, path: str, fields: dict[str, Any], problem: Problem | None
) -> None:
    asked = read(adapter, path, json.dumps(fields).encode())

    answer = adapter.write(asked, Finding(problem, Balance(-12345, 8, UNIT)))

    said = json.loads(answer.body)
    assert isinstance(said["status"], str)
    assert answer.status_code == 503 if problem is Problem.RETRY else answer.status_code != 503
    for text in (asked.request_id, asked.player_id, asked.token):
        assert text.isascii()
        text.encode()
    if isinstance(asked, TransactionAsked):
        assert asked.transaction_id
        assert len(asked.metadata) <= 16
    assert isinstance(asked, Asked | BalanceAsked | BetAsked | WinAsked | RollbackAsked)


@given(st.integers(0, 10**36 - 1), st.integers(0, 8))
def test_hundred_thousandths_become_minor_units_exactly_or_not_at_all(amount: int, scale: int) -> None:
    try:
        minor = to_minor(amount, UNIT, scale)
    except AmountInvalid:
        assert amount % 10 ** max(0, 5 - scale) or amount * 10**scale >= 10 ** (36 + 5)
        return

    assert minor * 10**5 == amount * 10**scale
    assert Balance(minor, scale, UNIT).counted() == amount


@given(st.integers(-(10**20), 10**36 - 1), st.integers(0, 8))
def test_a_balance_is_never_shown_as_more_than_it_is(minor: int, scale: int) -> None:
    counted = Balance(minor, scale, UNIT).counted()

    assert counted * 10**scale <= minor * 10**5 < (counted + 1) * 10**scale


@given(st.integers(0, 10**36 - 1), st.integers(0, 8))
def test_decimal_texts_come_and_go_exactly(minor: int, scale: int) -> None:
    whole = Denomination("EUR", "EUR", 0)

    assert to_minor(format_amount(minor, scale), whole, scale) == minor
    assert to_minor(Balance(minor, scale, whole).written(), whole, scale) == minor


@pytest.mark.parametrize("exponent", [-3, -6, -8])
@given(minor=st.integers(0, 10**24))
def test_denominations_of_coins_are_counted_exactly(exponent: int, minor: int) -> None:
    unit = Denomination("xBTC", "BTC", exponent - 5)

    assert to_minor(Balance(minor, 8, unit).counted(), unit, 8) == minor


def test_hub88_has_a_status_for_each_problem() -> None:
    assert set(STATUSES) == set(Problem)
    documented = {
        "RS_ERROR_UNKNOWN",
        "RS_ERROR_INVALID_PARTNER",
        "RS_ERROR_INVALID_TOKEN",
        "RS_ERROR_INVALID_GAME",
        "RS_ERROR_WRONG_CURRENCY",
        "RS_ERROR_NOT_ENOUGH_MONEY",
        "RS_ERROR_USER_DISABLED",
        "RS_ERROR_INVALID_SIGNATURE",
        "RS_ERROR_TOKEN_EXPIRED",
        "RS_ERROR_WRONG_SYNTAX",
        "RS_ERROR_WRONG_TYPES",
        "RS_ERROR_DUPLICATE_TRANSACTION",
        "RS_ERROR_TRANSACTION_DOES_NOT_EXIST",
        "RS_ERROR_TRANSACTION_ROLLED_BACK",
    }
    assert set(STATUSES.values()) == documented


NOT_OF_PROVIDERS = {
    reason
    for reason in RefusalReason
    if reason.startswith(("HOLD_", "SLIP_", "QUOTE_", "STAKE_")) or reason is RefusalReason.VERSION_MISMATCH
}


def test_every_reason_that_a_provider_can_run_into_is_a_problem() -> None:
    assert set(REFUSALS) | NOT_OF_PROVIDERS == set(RefusalReason)
    assert not set(REFUSALS) & NOT_OF_PROVIDERS


def test_what_is_not_certain_is_never_a_refusal() -> None:
    """Errors that gRPC calls unavailable, overloaded or late are RETRY, and no others."""
    for error in CALLER_ERRORS:
        code = ERROR_CODES[type(error)][0].name
        if code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} or isinstance(error, errors.Overloaded):
            assert problem_of(error) is Problem.RETRY, error
        else:
            assert problem_of(error) is not Problem.RETRY or isinstance(error, errors.RateUnusable), error


def test_a_reason_that_providers_do_not_know_is_no_answer_to_them() -> None:
    details = RefusalDetails(RefusalReason.HOLD_CLOSED, TransactionId("t"), 0, False, None, "", "")

    assert problem_of(Refused(details, {})) is None


def test_tokens_and_bodies_are_not_shown() -> None:
    asked = HUB88.read(Request("POST", "/transaction/bet", json.dumps(hub88_bet("p", "hunter2")).encode()))

    assert "hunter2" not in repr(asked)
    assert "hunter2" not in repr(Request("POST", "/x", b"hunter2"))
