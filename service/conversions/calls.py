"""Reads requests as calls of the engine."""

from persistence.calls import Call, Source, Step
from persistence.errors import FieldInvalid
from persistence.transactions import CurrencyCode, Operation, PlayerId, TransactionKind
from service.conversions.fields import (
    read_context,
    read_money,
    read_optional_id,
    read_player_id,
    read_transaction_id,
    read_version,
)
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
_Grouped = (
    wallet_service_pb2.DebitRequest | wallet_service_pb2.CreditRequest | wallet_service_pb2.TransactRequest
)
_Reversal = wallet_service_pb2.RollbackRequest | wallet_service_pb2.RollbackStep


def debit_call(request: wallet_service_pb2.DebitRequest, registry: Registry) -> Call:
    player_id, source = _caller(request.player_id, request.source_id, registry)
    return Call(player_id, source, (_debit_step(request, registry, ""),), _read_group(request))


def credit_call(request: wallet_service_pb2.CreditRequest, registry: Registry) -> Call:
    player_id, source = _caller(request.player_id, request.source_id, registry)
    return Call(player_id, source, (_credit_step(request, registry, ""),), _read_group(request))


def rollback_call(request: wallet_service_pb2.RollbackRequest, registry: Registry) -> Call:
    player_id, source = _caller(request.player_id, request.source_id, registry)
    return Call(player_id, source, (_rollback_step(request, registry, ""),))


def transact_call(request: wallet_service_pb2.TransactRequest, registry: Registry) -> Call:
    player_id, source = _caller(request.player_id, request.source_id, registry)
    if not 1 <= len(request.steps) <= MAX_STEPS:
        raise FieldInvalid("steps", f"must be 1 to {MAX_STEPS} steps")
    steps = tuple(_step(step, registry, f"steps[{index}]") for index, step in enumerate(request.steps))
    return Call(player_id, source, steps, _read_group(request))


def _read_group(request: _Grouped) -> str:
    return read_optional_id(request.player_group, "player_group") if request.player_group else ""


def _caller(player_id: str, source_id: str, registry: Registry) -> tuple[PlayerId, Source]:
    return read_player_id(player_id), registry.source(source_id)


def _step(step: wallet_service_pb2.TransactStep, registry: Registry, field: str) -> Step:
    match step.WhichOneof("operation"):
        case "debit":
            return _debit_step(step.debit, registry, f"{field}.debit.")
        case "credit":
            return _credit_step(step.credit, registry, f"{field}.credit.")
        case "rollback":
            return _rollback_step(step.rollback, registry, f"{field}.rollback.")
        case None:
            raise FieldInvalid(field, "must be a debit, a credit or a rollback")


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
        wallet_currency=_read_wallet_currency(message.wallet_currency_code, registry, path),
    )


def _read_wallet_currency(code: str, registry: Registry, path: str) -> CurrencyCode | None:
    return CurrencyCode(registry.currency(code, f"{path}wallet_currency_code").code) if code else None


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
