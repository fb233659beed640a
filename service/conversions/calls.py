"""Reads requests as calls of the engine."""

from persistence.calls import Call, Step
from persistence.errors import FieldInvalid
from persistence.transactions import CurrencyCode, Operation, TransactionKind
from service.conversions.callers import read_caller, read_group
from service.conversions.fields import (
    read_context,
    read_money,
    read_optional_id,
    read_transaction_id,
    read_version,
    read_wallet_currency,
)
from service.conversions.slips import capture_step, hold_step, release_step
from service.registry import Registry
from stakehold.v1 import transaction_pb2, wallet_service_pb2

MAX_STEPS = 16

_DEBIT_KINDS = {
    transaction_pb2.TRANSACTION_KIND_BET: TransactionKind.BET,
    transaction_pb2.TRANSACTION_KIND_TIP: TransactionKind.TIP,
    transaction_pb2.TRANSACTION_KIND_WITHDRAWAL: TransactionKind.WITHDRAWAL,
    transaction_pb2.TRANSACTION_KIND_CORRECTION: TransactionKind.CORRECTION,
}
_CREDIT_KINDS = {
    transaction_pb2.TRANSACTION_KIND_WIN: TransactionKind.WIN,
    transaction_pb2.TRANSACTION_KIND_REFUND: TransactionKind.REFUND,
    transaction_pb2.TRANSACTION_KIND_JACKPOT_WIN: TransactionKind.JACKPOT_WIN,
    transaction_pb2.TRANSACTION_KIND_PROMOTIONAL_WIN: TransactionKind.PROMOTIONAL_WIN,
    transaction_pb2.TRANSACTION_KIND_DEPOSIT: TransactionKind.DEPOSIT,
    transaction_pb2.TRANSACTION_KIND_BONUS: TransactionKind.BONUS,
    transaction_pb2.TRANSACTION_KIND_CORRECTION: TransactionKind.CORRECTION,
}


_Movement = (
    wallet_service_pb2.DebitRequest
    | wallet_service_pb2.CreditRequest
    | wallet_service_pb2.DebitStep
    | wallet_service_pb2.CreditStep
)
_Reversal = wallet_service_pb2.RollbackRequest | wallet_service_pb2.RollbackStep


def debit_call(request: wallet_service_pb2.DebitRequest, registry: Registry) -> Call:
    player_id, source = read_caller(request, registry)
    return Call(player_id, source, (_debit_step(request, registry, ""),), read_group(request.player_group))


def credit_call(request: wallet_service_pb2.CreditRequest, registry: Registry) -> Call:
    player_id, source = read_caller(request, registry)
    return Call(player_id, source, (_credit_step(request, registry, ""),), read_group(request.player_group))


def rollback_call(request: wallet_service_pb2.RollbackRequest, registry: Registry) -> Call:
    player_id, source = read_caller(request, registry)
    return Call(player_id, source, (_rollback_step(request, registry, ""),))


def transact_call(request: wallet_service_pb2.TransactRequest, registry: Registry) -> Call:
    player_id, source = read_caller(request, registry)
    if not 1 <= len(request.steps) <= MAX_STEPS:
        raise FieldInvalid("steps", f"must be 1 to {MAX_STEPS} steps")
    steps = tuple(_step(step, registry, f"steps[{index}]") for index, step in enumerate(request.steps))
    return Call(player_id, source, steps, read_group(request.player_group))


def _step(step: wallet_service_pb2.TransactStep, registry: Registry, field: str) -> Step:
    match step.WhichOneof("operation"):
        case "debit":
            return _debit_step(step.debit, registry, f"{field}.debit.")
        case "credit":
            return _credit_step(step.credit, registry, f"{field}.credit.")
        case "rollback":
            return _rollback_step(step.rollback, registry, f"{field}.rollback.")
        case "hold":
            return hold_step(step.hold, registry, f"{field}.hold.")
        case "capture":
            return capture_step(step.capture, registry, f"{field}.capture.")
        case "release":
            return release_step(step.release, registry, f"{field}.release.")
        case None:
            raise FieldInvalid(field, "must be a debit, credit, rollback, hold, capture or release")


def _debit_step(message: _Movement, registry: Registry, path: str) -> Step:
    kind = _DEBIT_KINDS.get(message.kind)
    if kind is None:
        raise FieldInvalid(f"{path}kind", "must be BET, TIP, WITHDRAWAL or CORRECTION")
    return _movement_step(Operation.DEBIT, kind, message, registry, path)


def _credit_step(message: _Movement, registry: Registry, path: str) -> Step:
    kind = _CREDIT_KINDS.get(message.kind)
    if kind is None:
        raise FieldInvalid(
            f"{path}kind",
            "must be WIN, REFUND, JACKPOT_WIN, PROMOTIONAL_WIN, DEPOSIT, BONUS or CORRECTION",
        )
    return _movement_step(Operation.CREDIT, kind, message, registry, path)


def _movement_step(
    operation: Operation, kind: TransactionKind, message: _Movement, registry: Registry, path: str
) -> Step:
    currency, amount = read_money(message.amount, registry, f"{path}amount")
    round_id = read_optional_id(message.round_id, f"{path}round_id")
    if message.close_round and not round_id:
        raise FieldInvalid(f"{path}round_id", "must be set where close_round is")
    occurred_ms, metadata = read_context(message, path)
    return Step(
        operation=operation,
        kind=kind,
        transaction_id=read_transaction_id(message.transaction_id, f"{path}transaction_id"),
        currency=CurrencyCode(currency.code),
        amount=amount,
        currency_status=currency.status,
        game=read_optional_id(message.game_id, f"{path}game_id"),
        round=round_id,
        reference=read_optional_id(message.reference_transaction_id, f"{path}reference_transaction_id"),
        closes_round=message.close_round,
        expected_version=read_version(message.expected_version, f"{path}expected_version")
        if message.HasField("expected_version")
        else None,
        occurred_ms=occurred_ms,
        metadata=metadata,
        wallet_currency=read_wallet_currency(message.wallet_currency_code, registry, path),
    )


def _rollback_step(message: _Reversal, registry: Registry, path: str) -> Step:
    transaction_id = read_transaction_id(message.transaction_id, f"{path}transaction_id")
    original = read_transaction_id(message.original_transaction_id, f"{path}original_transaction_id")
    if original == transaction_id:
        raise FieldInvalid(f"{path}transaction_id", "must differ from original_transaction_id")
    currency: CurrencyCode | None = None
    amount: int | None = None
    if message.HasField("amount"):
        named, amount = read_money(message.amount, registry, f"{path}amount")
        currency = CurrencyCode(named.code)
    occurred_ms, metadata = read_context(message, path)
    return Step(
        operation=Operation.ROLLBACK,
        kind=TransactionKind.ROLLBACK,
        transaction_id=transaction_id,
        currency=currency,
        amount=amount,
        game=read_optional_id(message.game_id, f"{path}game_id"),
        round=read_optional_id(message.round_id, f"{path}round_id"),
        reference=original,
        occurred_ms=occurred_ms,
        metadata=metadata,
    )
