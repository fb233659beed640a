"""What the wallet is asked for by a case that has something under way: under ids that follow from the case,
so at most once, however often it is asked.
"""

import json
from dataclasses import replace

from fx.currencies import CurrencyStatus
from persistence.calls import Call, ForeignCurrencyPolicy, Source, SourceStatus, Step
from persistence.cashier.cases import Case, CaseState
from persistence.slips import SlipTerms
from persistence.transactions import Operation, TransactionId, TransactionKind

CHARGE_BACK_PREFIX = "§charge-back:"
_DEPOSIT, _WITHDRAWAL, _CORRECTION = "§deposit:", "§withdrawal:", "§correction:"
_PAID, _RELEASED, _GIVEN_UP = "§withdrawal-paid:", "§withdrawal-released:", "§given-up:"
# No caller has ids like these: theirs are ASCII. So nobody but the cashier can capture, release or roll back
# what it moved.


def call_of(case: Case, source: Source, currency_status: CurrencyStatus) -> Call:
    """What has to be done for the case. Amounts are never converted: whoever pays in euros is credited euros.

    Only a new withdrawal asks whether the source and the currency are enabled: money that came in is
    credited.
    """
    step, status = _step(case), source.status
    if case.state is CaseState.HOLDING:
        step = replace(step, currency_status=currency_status)
    else:
        status = SourceStatus.ENABLED
    caller = Source(
        source.source_id,
        status=status,
        shortfall=source.shortfall,
        foreign_currency=ForeignCurrencyPolicy.REFUSE,
    )
    return Call(case.player_id, caller, (step,))


def money_id(case: Case) -> TransactionId:
    """The transaction with which the case's money moves first."""
    prefix = {"deposit": _DEPOSIT, "withdrawal": _WITHDRAWAL, "correction": _CORRECTION}[case.name.kind]
    return TransactionId(f"{prefix}{case.name.case_id}")


def _step(case: Case) -> Step:
    match case.state:
        case CaseState.CREDITING:
            return _movement(case, Operation.CREDIT, TransactionKind.DEPOSIT)
        case CaseState.APPLYING:
            operation = Operation.DEBIT if case.is_debit else Operation.CREDIT
            return _movement(case, operation, TransactionKind.CORRECTION)
        case CaseState.HOLDING:
            return _movement(case, Operation.HOLD, TransactionKind.WITHDRAWAL)
        case CaseState.CHARGING_BACK | CaseState.GIVING_UP:
            return _ending(case, Operation.ROLLBACK, _rollback_id(case))
        case CaseState.PAYING:
            return _ending(case, Operation.CAPTURE, f"{_PAID}{case.name.case_id}")
        case CaseState.REJECTING | CaseState.FAILING | CaseState.CANCELLING:
            return _ending(case, Operation.RELEASE, f"{_RELEASED}{case.name.case_id}")
        case _:
            raise ValueError(f"nothing is under way in state {case.state}")


def _rollback_id(case: Case) -> str:
    """Of a chargeback; or of what is given up, whose id is refused from now on. Should somebody have been
    faster, it is undone.
    """
    if case.state is CaseState.CHARGING_BACK:
        return f"{CHARGE_BACK_PREFIX}{case.attempt}:{case.name.case_id}"
    return f"{_GIVEN_UP}{money_id(case)}"


def _movement(case: Case, operation: Operation, kind: TransactionKind) -> Step:
    return Step(
        operation=operation,
        kind=kind,
        transaction_id=money_id(case),
        currency=case.currency,
        amount=case.amount,
        metadata=_metadata(case),
        terms=SlipTerms() if operation is Operation.HOLD else None,
    )


def _ending(case: Case, operation: Operation, transaction_id: str) -> Step:
    """Of what the case has moved before."""
    takes = operation is Operation.CAPTURE
    is_rollback = operation is Operation.ROLLBACK
    return Step(
        operation=operation,
        kind=TransactionKind.ROLLBACK if is_rollback else None,
        transaction_id=TransactionId(transaction_id),
        currency=case.currency if takes else None,
        amount=case.amount if takes else None,
        reference=money_id(case),
        metadata=_metadata(case),
        terms=None if is_rollback else SlipTerms(is_final=takes),
    )


def _metadata(case: Case) -> str:
    """Who, why and who approved: kept with the entry."""
    said = {
        f"stakehold.{case.name.kind}": case.name.case_id,
        "stakehold.state": str(case.state),
        "stakehold.opened_by": case.opened_by,
        "stakehold.approved_by": ", ".join(case.approvers),
        "stakehold.reason": case.reason,
        "stakehold.ending_reason": case.ending_reason,
        "stakehold.corrects": case.corrected_entry_id,
    }
    if case.state is CaseState.CHARGING_BACK:
        said["stakehold.charge_back_of"] = str(money_id(case))
    known = {f"stakehold.{name}": value for name, value in case.references.known().items()}
    pairs = {name: value for name, value in {**said, **known}.items() if value}
    return json.dumps(pairs, separators=(",", ":"), sort_keys=True)
