"""Every way to fail has one code and one reason, the same in Lua, in Python and in the API's own words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from lua import load_script, script_names
from persistence import errors
from persistence.calls import Call, Source, Step
from persistence.errors import RATE_REASONS, RefusalReason, Refused
from persistence.transactions import (
    CurrencyCode,
    Operation,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
)
from persistence.valkey.replies import decode_transact_reply
from service.errors import (
    DOMAIN,
    ERROR_CODES,
    INTERNAL_REASON,
    REFUSAL_CODES,
    internal_status,
    status_of,
)
from stakehold.v1 import transaction_pb2
from stakehold.v1.error_reason_pb2 import ErrorReason

PROTO = Path(__file__).parents[2] / "protos" / "stakehold" / "v1" / "error_reason.proto"
PREFIX = "ERROR_REASON_"

CALLER_ERRORS: tuple[errors.StakeholdError, ...] = (
    errors.Unauthenticated("nobody that is known", cause="certificate_unknown"),
    errors.SourceNotPermitted("another's", caller="games", method="/m", verb="debit", source_id="psp"),
    errors.VerbNotPermitted("not a game's", caller="games", method="/m", verb="credit DEPOSIT"),
    errors.StoreUnavailable("gone"),
    errors.PartitionFenced(3),
    errors.IncarnationChanged("f" * 40),
    errors.LedgerUnavailable("gone"),
    errors.OutcomeUnknown("silent"),
    errors.Overloaded("full", retry_delay_ms=100),
    errors.Stopping(),
    errors.DeadlineExceeded("late"),
    errors.WalletNotFound("p1", "EUR"),
    errors.SourceNotFound("games"),
    errors.BalanceNotFound("not yet", currency="EUR", version=7),
    errors.SlipNotFound("s1"),
    errors.PairUnknown("EUR", "USD"),
    errors.RateNotFound("there is no rate 7"),
    errors.SubmissionNotFound("match-1"),
    errors.RoundNotFound("g1", "r1"),
    errors.ReviewNotFound(7),
    errors.CaseNotFound("deposit", "d1"),
    errors.ProviderNotFound("hub88"),
    errors.SessionNotFound(),
    errors.CurrencyUnknown("amount.currency_code", "XYZ"),
    errors.PageTokenInvalid(),
    errors.FieldInvalid("player_id", "must be an id"),
    errors.QuoteInvalid(),
    errors.QuoteOfAnotherPlayer(),
    errors.QuoteSideMismatch("other", {"sell_currency_code": "EUR", "buy_currency_code": "USD"}),
    errors.QuoteAmountMismatch("other", {"sell_amount": "1.00", "buy_amount": "1.09"}),
    errors.CurrencyImmutable("EUR"),
    errors.CurrencyDisabled("EUR"),
    errors.RateUnknown("no rate", currency="BRL", wallet_currency="EUR"),
    errors.RateStale("too old", currency="BRL", wallet_currency="EUR"),
    errors.RateHeld("held", currency="BRL", wallet_currency="EUR"),
    errors.CurrencyDepegged("off its peg", currency="USDT", wallet_currency="EUR"),
    errors.RateNotHeld(7, "accepted"),
    errors.SamePerson(7, "alice"),
    errors.SubmissionIdConflict("match-1"),
    errors.CursorInvalid(),
    errors.CursorNotInLedger("elsewhere", cause="other_ledger"),
    errors.SubscriberStalled("cursor"),
    errors.ReviewResolved(7, "alice"),
    errors.InvalidTransition("withdrawal", "w1", state="paid", message="fail"),
    errors.CaseIdConflict("deposit", "d1"),
    errors.ApprovalBySamePerson("correction", "c1", "alice"),
    errors.SessionConflict(),
)
UNTOLD = (errors.SetupRefused, errors.LedgerBroken)
"""Ends of the command line and of the drainer: no call raises them."""


@dataclass(frozen=True, slots=True)
class Documented:
    """What the API says about a reason."""

    code: str
    metadata: frozenset[str]
    final: bool


class Scales:
    """Every currency has cents."""

    def scale_of(self, code: str) -> int:
        return 2


def documented_reasons() -> dict[str, Documented]:
    comment, reasons = "", {}
    for line in PROTO.read_text(encoding="utf-8").partition("enum ErrorReason")[2].splitlines():
        if text := re.fullmatch(r"  // (.*)", line):
            comment += f" {text[1]}"
        elif value := re.match(rf"  {PREFIX}(\w+) = \d+;", line):
            code = re.match(r" \[(\w+)\]", comment)
            named = re.search(r"Metadata: ([\w, ]+)\.", comment)
            metadata = frozenset(named[1].split(", ") if named else ())
            reasons[value[1]] = Documented(code[1] if code else "", metadata, " Final." in comment)
            comment = ""
    return reasons


DOCUMENTED = documented_reasons()


def words_of_scripts() -> Iterator[tuple[str, str]]:
    """Each way in which a script refuses, with its word."""
    for name in script_names():
        source = load_script(name).source
        yield from re.findall(r"\b(refuse_\w+)\(\s*step, '(\w+)'", source)
        yield from re.findall(r"\{ ('REFUSED'), '(\w+)'", source)


def exceptions_for_callers(root: type[errors.StakeholdError]) -> Iterator[type[errors.StakeholdError]]:
    for kind in root.__subclasses__():
        if kind.__module__.startswith(f"{errors.__name__}.") and kind not in UNTOLD:
            yield kind
            yield from exceptions_for_callers(kind)


def info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    [info] = [
        detail for detail in map(_info, status.details) if isinstance(detail, error_details_pb2.ErrorInfo)
    ]
    return info


def _info(detail: object) -> object:
    info = error_details_pb2.ErrorInfo()
    return info if detail.Unpack(info) else detail  # type: ignore[attr-defined]


def has_retry_delay(status: status_pb2.Status) -> bool:
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)


def refused(reason: RefusalReason) -> Refused:
    """A refusal as the scripts reply it, read as the engine reads it."""
    step = Step(
        Operation.CREDIT,
        TransactionKind.WIN,
        TransactionId("t1"),
        CurrencyCode("EUR"),
        100,
        game="g1",
        round="r1",
        reference="b1",
        expected_version=6,
    )
    call = Call(PlayerId("p1"), Source(SourceId("games")), (step,))
    fields = [
        "REFUSED", reason, "0", "0", "1-5-0", "r9", "EUR", "7", "active", "100", "0", "0", "0", "0",
    ]  # fmt: skip
    with pytest.raises(Refused) as caught:
        decode_transact_reply([field.encode() for field in fields], call, 3)
    return caught.value


def test_the_api_documents_every_reason() -> None:
    assert set(DOCUMENTED) == {name.removeprefix(PREFIX) for name in ErrorReason.keys()}  # noqa: SIM118


def test_every_reason_has_a_canonical_code() -> None:
    without = {reason for reason, documented in DOCUMENTED.items() if not documented.code}

    assert without == {"UNSPECIFIED"}
    assert {documented.code for documented in DOCUMENTED.values()} - {""} <= {
        code.name for code in grpc.StatusCode
    }


def test_every_reason_is_produced_and_nothing_else_is() -> None:
    produced = {*REFUSAL_CODES, *(reason for _, reason in ERROR_CODES.values()), INTERNAL_REASON}

    assert produced == set(DOCUMENTED) - {"UNSPECIFIED"}


def test_no_two_exceptions_share_a_reason() -> None:
    reasons = [reason for _, reason in ERROR_CODES.values()]

    assert len(reasons) == len(set(reasons))


def test_every_code_is_the_one_that_the_api_documents() -> None:
    table = {(reason.value, code.name) for reason, code in REFUSAL_CODES.items()}
    table |= {(reason, code.name) for code, reason in ERROR_CODES.values()}

    assert table == {(reason, DOCUMENTED[reason].code) for reason, _ in table}


def test_every_refusal_has_a_code_and_a_reason_of_the_same_name() -> None:
    assert set(REFUSAL_CODES) == set(RefusalReason)
    assert {reason.name for reason in RefusalReason} == {reason.value for reason in RefusalReason}
    assert set(RefusalReason) <= set(DOCUMENTED)


def test_the_scripts_refuse_with_exactly_the_known_words() -> None:
    # Why there is no rate is what the script was told.
    assert {word for _, word in words_of_scripts()} == set(RefusalReason) - set(RATE_REASONS)


def test_the_api_calls_those_refusals_final_that_the_scripts_remember() -> None:
    remembered = {word for way, word in words_of_scripts() if way == "refuse_finally"}

    assert {reason for reason, told in DOCUMENTED.items() if told.final} == remembered


def test_a_final_refusal_never_has_a_code_that_clients_retry() -> None:
    codes = {told.code for told in DOCUMENTED.values() if told.final}

    assert codes == {"FAILED_PRECONDITION"}


def test_every_exception_that_may_reach_a_caller_is_in_the_table() -> None:
    only_groups = {
        errors.NotPermitted,
        errors.NotDone,
        errors.NotFound,
        errors.QuoteMismatch,
        errors.RateUnusable,
    }

    assert set(ERROR_CODES) == set(exceptions_for_callers(errors.StakeholdError)) - only_groups - {Refused}


def test_the_tree_of_exceptions_is_the_one_that_is_drawn() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    defined = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.StakeholdError)
    }

    assert drawn == defined - {"StakeholdError"}


def test_the_samples_below_are_all_exceptions_of_the_table() -> None:
    assert [type(error) for error in CALLER_ERRORS] == list(ERROR_CODES)


@pytest.mark.parametrize("error", CALLER_ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_told_with_its_reason_and_the_metadata_that_the_api_lists(
    error: errors.StakeholdError,
) -> None:
    code, status = status_of(error, Scales())
    info = info_of(status)

    assert (code, info.reason, info.domain) == (*ERROR_CODES[type(error)], DOMAIN)
    assert status.code == code.value[0]
    assert status.message
    assert set(info.metadata) == DOCUMENTED[info.reason].metadata
    assert all(info.metadata.values())


@pytest.mark.parametrize("reason", RefusalReason)
def test_a_refusal_is_told_with_the_metadata_that_the_api_lists(reason: RefusalReason) -> None:
    code, status = status_of(refused(reason), Scales())
    info, refusal = info_of(status), transaction_pb2.Refusal()

    assert (code, info.reason, info.domain) == (REFUSAL_CODES[reason], reason, DOMAIN)
    assert DOCUMENTED[reason].metadata <= set(info.metadata)
    assert any(detail.Unpack(refusal) for detail in status.details)
    assert (refusal.transaction_id, refusal.entry_id) == ("t1", "3-1-5-0")
    assert (refusal.balance.cash, refusal.balance.version) == ("1.00", 7)


@pytest.mark.parametrize("error", CALLER_ERRORS, ids=lambda error: type(error).__name__)
def test_exactly_what_may_succeed_later_comes_with_a_retry_delay(error: errors.StakeholdError) -> None:
    _, status = status_of(error, Scales())

    assert has_retry_delay(status) == isinstance(error, errors.NotDone | errors.OutcomeUnknown)


@pytest.mark.parametrize(
    ("told", "metadata"),
    [
        ({}, {"cause": "queue"}),
        ({"cause": errors.Shortage.SOURCE, "source_id": "games"}, {"cause": "source", "source_id": "games"}),
        ({"cause": errors.Shortage.OUTBOX, "partition": 0}, {"cause": "outbox", "partition": "0"}),
    ],
)
def test_an_overload_says_what_is_short_and_whose_it_is(
    told: dict[str, Any], metadata: dict[str, str]
) -> None:
    _, status = status_of(errors.Overloaded("full", retry_delay_ms=100, **told), Scales())

    assert dict(info_of(status).metadata) == metadata


def test_the_api_names_every_cause_of_an_overload() -> None:
    named = re.search(r"The cause is(.*?)Metadata", PROTO.read_text(encoding="utf-8"), re.DOTALL)

    assert named
    assert set(re.findall(r'"(\w+)"', named[1])) == set(errors.Shortage)


@pytest.mark.parametrize("delay_ms", [1, 100, 999, 1000, 1500, 60_000])
def test_a_retry_delay_is_what_was_asked_for_however_long(delay_ms: int) -> None:
    _, status = status_of(errors.Overloaded("full", retry_delay_ms=delay_ms), Scales())

    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToMilliseconds() == delay_ms
    assert 0 <= retry.retry_delay.nanos < 1_000_000_000


@pytest.mark.parametrize(
    "error", [errors.SetupRefused("no"), errors.VersionGap("gap"), errors.StakeholdError()]
)
def test_what_is_not_meant_for_callers_has_no_status(error: errors.StakeholdError) -> None:
    with pytest.raises(KeyError):
        status_of(error, Scales())


def test_a_bug_is_told_by_an_id_alone() -> None:
    code, status = internal_status("c0ffee")
    info = info_of(status)

    assert code is grpc.StatusCode.INTERNAL
    assert (info.reason, dict(info.metadata)) == ("INTERNAL", {"incident_id": "c0ffee"})
    assert set(info.metadata) == DOCUMENTED["INTERNAL"].metadata
    assert "c0ffee" in status.message
