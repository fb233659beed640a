"""Requests of the API, built from the steps that the reference understands too."""

from collections.abc import Sequence
from typing import Any

from stakehold.v1 import money_pb2, transaction_pb2
from stakehold.v1 import wallet_service_pb2 as pb
from tests.reference import Credit, Debit, Money, Rollback, Step

Request = pb.DebitRequest | pb.CreditRequest | pb.RollbackRequest | pb.TransactRequest


def call(source_id: str, player_id: str, steps: Sequence[Step]) -> Request:
    """The RPC of its own that a single step has, or Transact."""
    if len(steps) != 1:
        return transact(source_id, player_id, steps)
    step = steps[0]
    match step:
        case Debit():
            return pb.DebitRequest(source_id=source_id, player_id=player_id, **_movement(step))
        case Credit():
            return pb.CreditRequest(source_id=source_id, player_id=player_id, **_movement(step))
        case Rollback():
            return pb.RollbackRequest(source_id=source_id, player_id=player_id, **_rollback(step))


def transact(source_id: str, player_id: str, steps: Sequence[Step]) -> pb.TransactRequest:
    return pb.TransactRequest(
        source_id=source_id, player_id=player_id, steps=[_transact_step(step) for step in steps]
    )


def money(amount: Money) -> money_pb2.Money:
    return money_pb2.Money(currency_code=amount.currency, amount=amount.amount)


def kind(word: str) -> transaction_pb2.TransactionKind.ValueType:
    return transaction_pb2.TransactionKind.Value(f"TRANSACTION_KIND_{word}")


def _transact_step(step: Step) -> pb.TransactStep:
    match step:
        case Debit():
            return pb.TransactStep(debit=pb.DebitStep(**_movement(step)))
        case Credit():
            return pb.TransactStep(credit=pb.CreditStep(**_movement(step)))
        case Rollback():
            return pb.TransactStep(rollback=pb.RollbackStep(**_rollback(step)))


def _movement(step: Debit | Credit) -> dict[str, Any]:
    return {
        "transaction_id": step.transaction_id,
        "kind": kind(step.kind),
        "amount": money(step.money),
        "round_id": step.round_id,
        "game_id": step.game_id,
        "reference_transaction_id": step.reference_transaction_id,
        "close_round": step.close_round,
        "expected_version": step.expected_version,
    }


def _rollback(step: Rollback) -> dict[str, Any]:
    return {
        "transaction_id": step.transaction_id,
        "original_transaction_id": step.original_transaction_id,
        "amount": None if step.money is None else money(step.money),
        "round_id": step.round_id,
        "game_id": step.game_id,
    }
