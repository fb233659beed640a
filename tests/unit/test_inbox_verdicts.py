"""What becomes of a command that was not answered OK."""

import pytest

from persistence import errors
from persistence.calls import Call, Source, Step
from persistence.errors import RefusalReason
from persistence.inbox import CommandState
from persistence.transactions import (
    CurrencyCode,
    Operation,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
)
from persistence.valkey.replies import decode_transact_reply
from service.working.inbox.verdicts import Hope, Patience, hope_of, judge
from tests.unit.test_error_table import CALLER_ERRORS, DOCUMENTED

PATIENCE = Patience(missing_s=100.0, outage_s=1000.0)

HOPES = {
    "WALLET_NOT_FOUND": Hope.MISSING,
    "REFERENCE_NOT_FOUND": Hope.MISSING,
    "SOURCE_NOT_FOUND": Hope.MISSING,
    "SLIP_NOT_PLACED": Hope.MISSING,
    "RATE_UNKNOWN": Hope.OUTAGE,
    "RATE_STALE": Hope.OUTAGE,
    "RATE_HELD": Hope.OUTAGE,
    "CURRENCY_DEPEGGED": Hope.OUTAGE,
}
"""Of what is told NOT_FOUND or FAILED_PRECONDITION; everything else of these codes is hopeless."""


def refused(
    reason: RefusalReason, *, remembered: bool, version: int = 7, expected: int = 6
) -> errors.Refused:
    step = Step(
        Operation.CREDIT,
        TransactionKind.WIN,
        TransactionId("t1"),
        CurrencyCode("EUR"),
        100,
        game="g1",
        round="r1",
        reference="b1",
        expected_version=expected,
    )
    call = Call(PlayerId("p1"), Source(SourceId("games")), (step,))
    fields = ["REFUSED", reason, "0", "0", "1-5-0" if remembered else "", "", "EUR", str(version), "active"]
    fields += ["100", "0", "0", "0", "0"]
    with pytest.raises(errors.Refused) as caught:
        decode_transact_reply([field.encode() for field in fields], call, 3)
    return caught.value


@pytest.mark.parametrize("reason", RefusalReason)
def test_what_the_wallet_remembers_is_a_result(reason: RefusalReason) -> None:
    verdict = judge(refused(reason, remembered=True), attempts=1, age_s=0.0, patience=PATIENCE)

    assert (verdict.state, verdict.is_remembered, verdict.retry_in_s) == (CommandState.REFUSED, True, None)


@pytest.mark.parametrize("reason", [reason for reason in RefusalReason if not DOCUMENTED[reason].final])
def test_a_refusal_that_is_not_remembered_is_tried_again_or_given_up(reason: RefusalReason) -> None:
    error = refused(reason, remembered=False)

    state = judge(error, attempts=1, age_s=0.0, patience=PATIENCE).state

    if reason is RefusalReason.TRANSACTION_ROLLED_BACK:  # the rollback is what is remembered
        assert state is CommandState.REFUSED
    elif reason in HOPES:
        assert state is CommandState.WAITING
        assert judge(error, attempts=9, age_s=1000.0, patience=PATIENCE).state is CommandState.DEAD
    else:
        assert state is CommandState.DEAD


@pytest.mark.parametrize("error", CALLER_ERRORS, ids=lambda error: type(error).__name__)
def test_outages_are_waited_for_and_what_cannot_change_is_given_up_at_once(
    error: errors.StakeholdError,
) -> None:
    if isinstance(error, errors.NotDone | errors.OutcomeUnknown | errors.RateUnusable):
        expected = Hope.OUTAGE
    elif isinstance(error, errors.SourceNotFound | errors.WalletNotFound):
        expected = Hope.MISSING
    else:
        expected = Hope.NONE

    assert hope_of(error) is expected


@pytest.mark.parametrize(("version", "hope"), [(5, Hope.MISSING), (6, Hope.NONE), (7, Hope.NONE)])
def test_an_expected_version_may_come_but_never_comes_again(version: int, hope: Hope) -> None:
    error = refused(RefusalReason.VERSION_MISMATCH, remembered=False, version=version)

    assert hope_of(error) is hope


def test_a_bug_is_tried_again_for_a_while() -> None:
    assert (
        judge(RuntimeError("a bug"), attempts=1, age_s=99.0, patience=PATIENCE).state is CommandState.WAITING
    )
    assert judge(RuntimeError("a bug"), attempts=1, age_s=100.0, patience=PATIENCE).state is CommandState.DEAD


def test_patience_is_counted_from_the_first_attempt_and_differs() -> None:
    missing = refused(RefusalReason.REFERENCE_NOT_FOUND, remembered=False)
    outage = errors.StoreUnavailable("gone")

    states = [judge(error, attempts=3, age_s=500.0, patience=PATIENCE).state for error in (missing, outage)]

    assert states == [CommandState.DEAD, CommandState.WAITING]


def test_pauses_grow_with_the_attempts_and_respect_what_an_overload_says() -> None:
    def pauses(error: Exception, attempts: int) -> list[float]:
        verdicts = [judge(error, attempts=attempts, age_s=0.0, patience=PATIENCE) for _ in range(300)]
        return [verdict.retry_in_s for verdict in verdicts if verdict.retry_in_s is not None]

    gone = errors.StoreUnavailable("gone")
    full = errors.Overloaded("full", retry_delay_ms=5000)

    assert max(pauses(gone, 1)) <= 0.2
    assert 30.0 < max(pauses(gone, 40)) <= 60.0
    assert min(pauses(full, 1)) >= 5.0
