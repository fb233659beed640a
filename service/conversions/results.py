"""Writes what the engine answered as messages."""

from collections.abc import Iterable

from fx.amounts import format_amount
from persistence.calls import StepResult, TransactionRecord, TransactionState
from persistence.errors import RefusalDetails
from persistence.transactions import Operation, Outcome, TransactionKind, WalletBalance, WalletStatus
from service.conversions.amounts import money_message
from service.conversions.rate_locks import conversion_message
from service.conversions.slips import slip_message
from service.conversions.times import timestamp_of_ms
from service.registry import CurrencyScales
from stakehold.v1 import error_reason_pb2, money_pb2, transaction_pb2, wallet_service_pb2

OUTCOMES = {
    Outcome.APPLIED: transaction_pb2.OUTCOME_APPLIED,
    Outcome.NO_ORIGINAL: transaction_pb2.OUTCOME_NO_ORIGINAL,
    Outcome.ALREADY_ROLLED_BACK: transaction_pb2.OUTCOME_ALREADY_ROLLED_BACK,
    Outcome.ORIGINAL_REFUSED: transaction_pb2.OUTCOME_ORIGINAL_REFUSED,
    Outcome.ALREADY_CLOSED: transaction_pb2.OUTCOME_ALREADY_CLOSED,
}

WALLET_STATUSES = {
    WalletStatus.ACTIVE: transaction_pb2.WALLET_STATUS_ACTIVE,
    WalletStatus.DEBITS_FROZEN: transaction_pb2.WALLET_STATUS_DEBITS_FROZEN,
    WalletStatus.CLOSED: transaction_pb2.WALLET_STATUS_CLOSED,
}

KINDS = {
    TransactionKind.BET: transaction_pb2.TRANSACTION_KIND_BET,
    TransactionKind.WIN: transaction_pb2.TRANSACTION_KIND_WIN,
    TransactionKind.REFUND: transaction_pb2.TRANSACTION_KIND_REFUND,
    TransactionKind.JACKPOT_WIN: transaction_pb2.TRANSACTION_KIND_JACKPOT_WIN,
    TransactionKind.PROMOTIONAL_WIN: transaction_pb2.TRANSACTION_KIND_PROMOTIONAL_WIN,
    TransactionKind.TIP: transaction_pb2.TRANSACTION_KIND_TIP,
    TransactionKind.DEPOSIT: transaction_pb2.TRANSACTION_KIND_DEPOSIT,
    TransactionKind.WITHDRAWAL: transaction_pb2.TRANSACTION_KIND_WITHDRAWAL,
    TransactionKind.BONUS: transaction_pb2.TRANSACTION_KIND_BONUS,
    TransactionKind.CORRECTION: transaction_pb2.TRANSACTION_KIND_CORRECTION,
    TransactionKind.EXCHANGE: transaction_pb2.TRANSACTION_KIND_EXCHANGE,
    TransactionKind.ROUND_CLOSING: transaction_pb2.TRANSACTION_KIND_ROUND_CLOSING,
    TransactionKind.CASH_OUT: transaction_pb2.TRANSACTION_KIND_CASH_OUT,
    TransactionKind.ROLLBACK: transaction_pb2.TRANSACTION_KIND_ROLLBACK,
}

STATES = {
    TransactionState.NOT_SEEN: wallet_service_pb2.TRANSACTION_STATE_NOT_SEEN,
    TransactionState.APPLIED: wallet_service_pb2.TRANSACTION_STATE_APPLIED,
    TransactionState.NO_MOVEMENT: wallet_service_pb2.TRANSACTION_STATE_APPLIED,
    TransactionState.REFUSED: wallet_service_pb2.TRANSACTION_STATE_REFUSED,
    TransactionState.ROLLED_BACK: wallet_service_pb2.TRANSACTION_STATE_ROLLED_BACK,
    TransactionState.TOMBSTONE: wallet_service_pb2.TRANSACTION_STATE_TOMBSTONED,
    TransactionState.ROUND_CLOSED: wallet_service_pb2.TRANSACTION_STATE_APPLIED,
}


def balance_message(balance: WalletBalance, scales: CurrencyScales) -> transaction_pb2.WalletBalance:
    scale = scales.scale_of(balance.currency)
    buckets = balance.buckets
    return transaction_pb2.WalletBalance(
        currency_code=balance.currency,
        version=balance.version,
        status=WALLET_STATUSES[balance.status],
        cash=format_amount(buckets.cash, scale),
        bonus=format_amount(buckets.bonus, scale),
        held=format_amount(buckets.held, scale),
        receivable=format_amount(buckets.receivable, scale),
        credit_line=format_amount(balance.credit_line, scale),
    )


def refusal_reason(reason: str) -> error_reason_pb2.ErrorReason.ValueType:
    """The API's number of a refusal's word."""
    return error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")


def result_message(result: StepResult, scales: CurrencyScales) -> transaction_pb2.TransactionResult:
    message = transaction_pb2.TransactionResult(
        transaction_id=result.transaction_id,
        outcome=OUTCOMES[result.outcome],
        replayed=result.replayed,
        entry_id=result.entry_id,
        booked_time=timestamp_of_ms(result.booked_ms),
        late=result.late,
    )
    _add_balances(message, result.balance_after, result.balance_now, result.receivable_change, scales)
    if result.conversion is not None:
        message.conversion.CopyFrom(conversion_message(result.conversion, result.converted, scales))
    if result.slip is not None:
        message.slip.CopyFrom(slip_message(result.slip, scales))
    return message


def currencies_of(results: Iterable[StepResult]) -> list[str]:
    """Of what a call touched, of what was converted, and of slips; a rollback's are not in its request."""
    currencies: list[str] = []
    for result in results:
        if result.balance_now is not None:
            currencies.append(result.balance_now.currency)
        if result.conversion is not None:
            currencies.append(result.conversion.lock.currency)
        if result.slip is not None:
            currencies.append(result.slip.currency)
    return currencies


def refusal_message(details: RefusalDetails, scales: CurrencyScales) -> transaction_pb2.Refusal:
    return transaction_pb2.Refusal(
        transaction_id=details.transaction_id,
        step_index=details.step_index,
        replayed=details.replayed,
        balance=None if details.balance is None else balance_message(details.balance, scales),
        entry_id=details.entry_id,
        related_transaction_id=details.related_transaction_id,
    )


def transaction_message(
    record: TransactionRecord, scales: CurrencyScales
) -> wallet_service_pb2.GetTransactionResponse:
    """What became of an id: its state, and the first answer or refusal under it."""
    is_rollback = record.operation is Operation.ROLLBACK
    kind = TransactionKind.ROLLBACK if is_rollback else record.kind
    message = wallet_service_pb2.GetTransactionResponse(
        state=STATES[record.state],
        kind=KINDS[kind] if kind else transaction_pb2.TRANSACTION_KIND_UNSPECIFIED,
        round_id=record.round,
        game_id=record.game,
        reference_transaction_id=record.reference,
    )
    if record.amount is not None and record.currency:
        message.amount.CopyFrom(money_message(record.amount, record.currency, scales))
    if record.conversion is not None:
        message.conversion.CopyFrom(conversion_message(record.conversion, record.amount or 0, scales))
    if record.slip is not None:
        message.slip.CopyFrom(slip_message(record.slip, scales))
    if record.outcome is not None:
        message.result.CopyFrom(_first_answer(record, record.outcome, scales))
        if record.conversion is not None:
            message.result.conversion.CopyFrom(message.conversion)
    if record.state is TransactionState.REFUSED:
        message.refusal_reason = refusal_reason(record.reason)
        message.refusal.CopyFrom(_first_refusal(record, scales))
    if record.state in (TransactionState.ROLLED_BACK, TransactionState.TOMBSTONE):
        message.rollback_transaction_id = record.related
    return message


def _first_answer(
    record: TransactionRecord, outcome: Outcome, scales: CurrencyScales
) -> transaction_pb2.TransactionResult:
    message = transaction_pb2.TransactionResult(
        transaction_id=record.transaction_id,
        outcome=OUTCOMES[outcome],
        replayed=True,
        entry_id=record.entry_id,
        booked_time=timestamp_of_ms(record.booked_ms),
        late=record.late,
    )
    now = record.balance_now if record.balance else None
    _add_balances(message, record.balance, now, record.receivable_change, scales)
    return message


def _first_refusal(record: TransactionRecord, scales: CurrencyScales) -> transaction_pb2.Refusal:
    return transaction_pb2.Refusal(
        transaction_id=record.transaction_id,
        replayed=True,
        balance=None if record.balance is None else balance_message(record.balance, scales),
        entry_id=record.entry_id,
        related_transaction_id=record.related,
    )


def _add_balances(
    message: transaction_pb2.TransactionResult,
    after: WalletBalance | None,
    now: WalletBalance | None,
    receivable_change: int,
    scales: CurrencyScales,
) -> None:
    if after is not None:
        message.balance_after.CopyFrom(balance_message(after, scales))
        if receivable_change:
            change = format_amount(receivable_change, scales.scale_of(after.currency))
            message.receivable_change.CopyFrom(money_pb2.Money(currency_code=after.currency, amount=change))
    if now is not None:
        same = now is after  # as it is for everything but replays
        message.balance_now.CopyFrom(message.balance_after if same else balance_message(now, scales))
