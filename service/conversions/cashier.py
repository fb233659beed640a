"""Between CashierService's messages and cases."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from fx.amounts import AmountInvalid, format_amount, parse_amount
from persistence.cashier.cases import (
    HOUSE,
    Case,
    CaseFilter,
    CaseKind,
    CaseMessage,
    CaseName,
    CaseState,
    Message,
    NewCase,
    References,
    Told,
)
from persistence.errors import FieldInvalid
from persistence.transactions import CurrencyCode
from service.approval_limits import ApprovalLimits
from service.conversions.amounts import money_message
from service.conversions.callers import read_caller
from service.conversions.fields import (
    read_money,
    read_optional_id,
    read_player_id,
    read_transaction_id,
    unix_ms_of,
)
from service.conversions.results import refusal_reason
from service.registry import CurrencyScales, Registry
from stakehold.v1 import cashier_service_pb2 as pb

MAX_REASON_CHARACTERS = 256
_REFERENCE = re.compile(r"[\x20-\x7e]{0,256}")
_SINCE_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_S = CaseState

DEPOSIT_STATES: Mapping[CaseState, pb.DepositState.ValueType] = {
    _S.CREATED: pb.DEPOSIT_STATE_CREATED,
    _S.PENDING: pb.DEPOSIT_STATE_PENDING,
    _S.CREDITING: pb.DEPOSIT_STATE_CREDITING,
    _S.CREDITED: pb.DEPOSIT_STATE_CREDITED,
    _S.FAILED: pb.DEPOSIT_STATE_FAILED,
    _S.EXPIRED: pb.DEPOSIT_STATE_EXPIRED,
    _S.CHARGING_BACK: pb.DEPOSIT_STATE_CHARGING_BACK,
    _S.CHARGED_BACK: pb.DEPOSIT_STATE_CHARGED_BACK,
    _S.REFUSED: pb.DEPOSIT_STATE_REFUSED,
}
WITHDRAWAL_STATES: Mapping[CaseState, pb.WithdrawalState.ValueType] = {
    _S.HOLDING: pb.WITHDRAWAL_STATE_HOLDING,
    _S.REQUESTED: pb.WITHDRAWAL_STATE_REQUESTED,
    _S.APPROVED_ONCE: pb.WITHDRAWAL_STATE_APPROVED_ONCE,
    _S.APPROVED: pb.WITHDRAWAL_STATE_APPROVED,
    _S.SENT: pb.WITHDRAWAL_STATE_SENT,
    _S.PAYING: pb.WITHDRAWAL_STATE_PAYING,
    _S.PAID: pb.WITHDRAWAL_STATE_PAID,
    _S.REJECTING: pb.WITHDRAWAL_STATE_REJECTING,
    _S.REJECTED: pb.WITHDRAWAL_STATE_REJECTED,
    _S.FAILING: pb.WITHDRAWAL_STATE_FAILING,
    _S.FAILED: pb.WITHDRAWAL_STATE_FAILED,
    _S.CANCELLING: pb.WITHDRAWAL_STATE_CANCELLING,
    _S.CANCELLED: pb.WITHDRAWAL_STATE_CANCELLED,
    _S.GIVING_UP: pb.WITHDRAWAL_STATE_REFUSED,
    _S.REFUSED: pb.WITHDRAWAL_STATE_REFUSED,
}
CORRECTION_STATES: Mapping[CaseState, pb.CorrectionState.ValueType] = {
    _S.PROPOSED: pb.CORRECTION_STATE_PROPOSED,
    _S.APPLYING: pb.CORRECTION_STATE_APPLYING,
    _S.APPLIED: pb.CORRECTION_STATE_APPLIED,
    _S.REJECTED: pb.CORRECTION_STATE_REJECTED,
    _S.GIVING_UP: pb.CORRECTION_STATE_REFUSED,
    _S.REFUSED: pb.CORRECTION_STATE_REFUSED,
}

_AboutDeposit = (
    pb.MarkDepositPendingRequest
    | pb.CreditDepositRequest
    | pb.FailDepositRequest
    | pb.ChargeBackDepositRequest
    | pb.GetDepositRequest
)
_AboutWithdrawal = (
    pb.ApproveWithdrawalRequest
    | pb.RejectWithdrawalRequest
    | pb.MarkWithdrawalSentRequest
    | pb.MarkWithdrawalPaidRequest
    | pb.FailWithdrawalRequest
    | pb.CancelWithdrawalRequest
    | pb.GetWithdrawalRequest
)
_AboutCorrection = pb.ApproveCorrectionRequest | pb.RejectCorrectionRequest | pb.GetCorrectionRequest
_Service = (
    pb.MarkDepositPendingRequest
    | pb.CreditDepositRequest
    | pb.FailDepositRequest
    | pb.ChargeBackDepositRequest
    | pb.MarkWithdrawalSentRequest
    | pb.MarkWithdrawalPaidRequest
    | pb.FailWithdrawalRequest
)


def deposit_name(request: _AboutDeposit, registry: Registry) -> CaseName:
    source_id = registry.source(request.source_id).source_id
    return CaseName(CaseKind.DEPOSIT, source_id, read_transaction_id(request.deposit_id, "deposit_id"))


def withdrawal_name(request: _AboutWithdrawal, registry: Registry) -> CaseName:
    source_id = registry.source(request.source_id).source_id
    case_id = read_transaction_id(request.withdrawal_id, "withdrawal_id")
    return CaseName(CaseKind.WITHDRAWAL, source_id, case_id)


def correction_name(request: _AboutCorrection) -> CaseName:
    case_id = read_transaction_id(request.correction_id, "correction_id")
    return CaseName(CaseKind.CORRECTION, HOUSE, case_id)


def new_deposit(
    request: pb.CreateDepositRequest, registry: Registry, *, now: datetime, expiry_s: float
) -> NewCase:
    player_id, source = read_caller(request, registry)
    currency, amount = _some_money(request, registry)
    expires = now + timedelta(seconds=expiry_s)
    if request.HasField("expire_time"):
        expires = _SINCE_1970 + timedelta(milliseconds=unix_ms_of(request.expire_time, "expire_time"))
    deposit_id = read_transaction_id(request.deposit_id, "deposit_id")
    return NewCase(
        CaseName(CaseKind.DEPOSIT, source.source_id, deposit_id),
        player_id,
        currency,
        amount,
        opened_by=source.source_id,
        references=_references(request.references),
        expires_time=expires,
    )


def new_withdrawal(
    request: pb.RequestWithdrawalRequest, registry: Registry, limits: ApprovalLimits
) -> NewCase:
    player_id, source = read_caller(request, registry)
    currency, amount = _some_money(request, registry)
    withdrawal_id = read_transaction_id(request.withdrawal_id, "withdrawal_id")
    return NewCase(
        CaseName(CaseKind.WITHDRAWAL, source.source_id, withdrawal_id),
        player_id,
        currency,
        amount,
        opened_by=read_optional_id(request.requested_by, "requested_by") or player_id,
        is_debit=True,
        needs_second_approval=limits.needs_second(currency, amount),
        references=_references(request.references),
    )


def new_correction(request: pb.ProposeCorrectionRequest, registry: Registry) -> NewCase:
    currency = registry.currency(request.currency_code, "currency_code")
    is_debit = request.amount.startswith("-")
    try:
        amount = parse_amount(request.amount.removeprefix("-"), currency.scale)
    except AmountInvalid as error:
        raise FieldInvalid("amount", str(error)) from None
    if amount == 0:
        raise FieldInvalid("amount", "must not be zero")
    reason = _read_reason(request.reason)
    if not reason:
        raise FieldInvalid("reason", f"must be 1 to {MAX_REASON_CHARACTERS} characters")
    correction_id = read_transaction_id(request.correction_id, "correction_id")
    return NewCase(
        CaseName(CaseKind.CORRECTION, HOUSE, correction_id),
        read_player_id(request.player_id),
        CurrencyCode(currency.code),
        amount,
        opened_by=_read_person(request.author, "author"),
        is_debit=is_debit,
        reason=reason,
        corrected_entry_id=read_optional_id(request.corrected_entry_id, "corrected_entry_id"),
    )


def told_by_service(message: Message, request: _Service, registry: Registry) -> Told:
    """What a payment service says."""
    amount: int | None = None
    currency: CurrencyCode | None = None
    if isinstance(
        request, pb.CreditDepositRequest | pb.ChargeBackDepositRequest | pb.MarkWithdrawalPaidRequest
    ) and request.HasField("amount"):
        currency, amount = _some_money(request, registry)
    reason = ""
    if isinstance(request, pb.FailDepositRequest | pb.ChargeBackDepositRequest | pb.FailWithdrawalRequest):
        reason = _read_reason(request.reason)
    references = References()
    if not isinstance(request, pb.ChargeBackDepositRequest):
        references = _references(request.references)
    return Told(message, request.source_id, amount, currency, reason, references)


def approval(person: str) -> Told:
    return Told(Message.APPROVE, _read_person(person, "approver"))


def rejection(request: pb.RejectWithdrawalRequest | pb.RejectCorrectionRequest) -> Told:
    person = _read_person(request.rejected_by, "rejected_by")
    return Told(Message.REJECT, person, reason=_read_reason(request.reason))


def cancellation(request: pb.CancelWithdrawalRequest) -> Told:
    person = read_optional_id(request.cancelled_by, "cancelled_by") or "player"
    return Told(Message.CANCEL, person, reason=_read_reason(request.reason))


def read_deposit_filter(request: pb.ListDepositsRequest) -> CaseFilter:
    states = _read_states(request.states, DEPOSIT_STATES)
    return _filter(CaseKind.DEPOSIT, request.player_id, request.source_id, states)


def read_withdrawal_filter(request: pb.ListWithdrawalsRequest) -> CaseFilter:
    states = _read_states(request.states, WITHDRAWAL_STATES)
    return _filter(CaseKind.WITHDRAWAL, request.player_id, request.source_id, states)


def read_correction_filter(request: pb.ListCorrectionsRequest) -> CaseFilter:
    return _filter(
        CaseKind.CORRECTION, request.player_id, "", _read_states(request.states, CORRECTION_STATES)
    )


def deposit_message(case: Case, scales: CurrencyScales) -> pb.Deposit:
    message = pb.Deposit(
        source_id=case.source_id,
        player_id=case.player_id,
        deposit_id=case.name.case_id,
        amount=money_message(case.amount, case.currency, scales),
        state=DEPOSIT_STATES[case.state],
        references=_references_message(case.references),
        reason=case.ending_reason,
        credit_entry_id=case.opening_entry_id,
        charge_back_entry_id=case.closing_entry_id,
        created_time=_timestamp(case.created_time),
        changed_time=_timestamp(case.changed_time),
    )
    if case.expires_time is not None:
        message.expire_time.CopyFrom(_timestamp(case.expires_time))
    if case.refusal:
        message.refusal_reason = refusal_reason(case.refusal)
    return message


def withdrawal_message(case: Case, scales: CurrencyScales) -> pb.Withdrawal:
    message = pb.Withdrawal(
        source_id=case.source_id,
        player_id=case.player_id,
        withdrawal_id=case.name.case_id,
        amount=money_message(case.amount, case.currency, scales),
        state=WITHDRAWAL_STATES[case.state],
        references=_references_message(case.references),
        requested_by=case.opened_by,
        needs_second_approval=case.needs_second_approval,
        approvers=case.approvers,
        reason=case.ending_reason,
        hold_entry_id=case.opening_entry_id,
        closing_entry_id=case.closing_entry_id,
        created_time=_timestamp(case.created_time),
        changed_time=_timestamp(case.changed_time),
    )
    if case.refusal:
        message.refusal_reason = refusal_reason(case.refusal)
    return message


def correction_message(case: Case, scales: CurrencyScales) -> pb.Correction:
    signed = -case.amount if case.is_debit else case.amount
    message = pb.Correction(
        correction_id=case.name.case_id,
        player_id=case.player_id,
        currency_code=case.currency,
        amount=format_amount(signed, scales.scale_of(case.currency)),
        state=CORRECTION_STATES[case.state],
        author=case.opened_by,
        reason=case.reason,
        corrected_entry_id=case.corrected_entry_id,
        approver=case.first_approver,
        rejection_reason=case.ending_reason,
        entry_id=case.opening_entry_id,
        created_time=_timestamp(case.created_time),
        changed_time=_timestamp(case.changed_time),
    )
    if case.refusal:
        message.refusal_reason = refusal_reason(case.refusal)
    return message


def said_messages(said: Iterable[CaseMessage]) -> list[pb.CaseMessage]:
    return [
        pb.CaseMessage(
            message_number=message.number,
            message=message.message,
            told_by=message.told_by,
            accepted=message.is_accepted,
            state_before=message.state_before,
            state_after=message.state_after,
            details=message.details,
            told_time=_timestamp(message.told_time),
        )
        for message in said
    ]


def _some_money(
    request: pb.CreateDepositRequest
    | pb.RequestWithdrawalRequest
    | pb.CreditDepositRequest
    | pb.ChargeBackDepositRequest
    | pb.MarkWithdrawalPaidRequest,
    registry: Registry,
) -> tuple[CurrencyCode, int]:
    currency, amount = read_money(request.amount, registry, "amount")
    if amount == 0:
        raise FieldInvalid("amount", "must be more than zero")
    return CurrencyCode(currency.code), amount


def _references(message: pb.PaymentReferences) -> References:
    return References(
        _read_reference(message.provider, "provider"),
        _read_reference(message.provider_reference, "provider_reference"),
        _read_reference(message.chain, "chain"),
        _read_reference(message.address, "address"),
        _read_reference(message.tx_hash, "tx_hash"),
    )


def _references_message(references: References) -> pb.PaymentReferences:
    return pb.PaymentReferences(
        provider=references.provider,
        provider_reference=references.provider_reference,
        chain=references.chain,
        address=references.address,
        tx_hash=references.tx_hash,
    )


def _read_reference(text: str, field: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise FieldInvalid(f"references.{field}", "must be at most 256 printable ASCII characters")
    return text


def _read_person(text: str, field: str) -> str:
    return read_transaction_id(text, field)


def _read_reason(text: str) -> str:
    if len(text) > MAX_REASON_CHARACTERS or "\x00" in text:
        raise FieldInvalid("reason", f"must be at most {MAX_REASON_CHARACTERS} characters, without NUL")
    return text


def _read_states(numbers: Iterable[int], known: Mapping[CaseState, int]) -> tuple[CaseState, ...]:
    by_number = {number: state for state, number in known.items()}
    states = []
    for index, number in enumerate(numbers):
        if number not in by_number:
            raise FieldInvalid(f"states[{index}]", "must be one of its named values")
        states.append(by_number[number])
    return tuple(states)


def _filter(kind: CaseKind, player_id: str, source_id: str, states: tuple[CaseState, ...]) -> CaseFilter:
    return CaseFilter(
        kind,
        read_optional_id(player_id, "player_id"),
        read_optional_id(source_id, "source_id"),
        states,
    )


def _timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
