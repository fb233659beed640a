"""Requests of the API, built from the steps that the reference understands too."""

import re
from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from stakehold.v1 import command_pb2, money_pb2, transaction_pb2
from stakehold.v1 import round_service_pb2 as round_pb
from stakehold.v1 import sportsbook_service_pb2 as sportsbook_pb
from stakehold.v1 import wallet_service_pb2 as pb
from tests.reference import (
    Asked,
    Credit,
    Debit,
    Money,
    Rollback,
    RoundClosing,
    SlipChange,
    SlipOpening,
    Step,
)

SportsbookRequest = (
    sportsbook_pb.PlaceSlipRequest
    | sportsbook_pb.SettleSlipRequest
    | sportsbook_pb.ResettleSlipRequest
    | sportsbook_pb.UnsettleSlipRequest
    | sportsbook_pb.VoidSlipRequest
    | sportsbook_pb.ReopenSlipRequest
    | sportsbook_pb.CashOutSlipRequest
)
Request = (
    pb.DebitRequest
    | pb.CreditRequest
    | pb.RollbackRequest
    | pb.TransactRequest
    | pb.HoldRequest
    | pb.CaptureRequest
    | pb.ReleaseRequest
    | SportsbookRequest
    | round_pb.CloseRoundRequest
)


def call(source_id: str, player_id: str, steps: Sequence[Asked]) -> Request:
    """The RPC of its own that a single step has, or Transact."""
    if len(steps) != 1:
        return transact(source_id, player_id, steps)
    step, caller = steps[0], {"source_id": source_id, "player_id": player_id}
    match step:
        case SlipOpening():
            return _opening_request(caller, step)
        case SlipChange():
            return _change_request(caller, step)
        case _:
            return _plain_request(caller, step)


def _plain_request(caller: dict[str, Any], step: Debit | Credit | Rollback | RoundClosing) -> Request:
    match step:
        case Debit():
            return pb.DebitRequest(**caller, **_movement(step))
        case Credit():
            return pb.CreditRequest(**caller, **_movement(step))
        case Rollback():
            return pb.RollbackRequest(**caller, **_rollback(step))
        case RoundClosing():
            return round_pb.CloseRoundRequest(
                **caller,
                transaction_id=step.transaction_id,
                round_id=step.round_id,
                game_id=step.game_id,
            )


def may_be_a_step(step: Step) -> bool:
    """Whether Transact knows it; what sportsbooks do has RPCs of its own alone."""
    return not isinstance(step, SlipOpening | SlipChange) or step.operation in _STEPS


_STEPS = {"HOLD", "CAPTURE", "RELEASE"}


def transact(source_id: str, player_id: str, steps: Sequence[Asked]) -> pb.TransactRequest:
    return pb.TransactRequest(
        source_id=source_id, player_id=player_id, steps=[_transact_step(step) for step in steps]
    )


def command(request: Request) -> command_pb2.Command:
    """What is sent in bulk, or submitted, in the place of this request."""
    name = type(request).__name__.removesuffix("Request")
    field = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return command_pb2.Command(**{field: request})  # type: ignore[arg-type]


def money(amount: Money) -> money_pb2.Money:
    return money_pb2.Money(currency_code=amount.currency, amount=amount.amount)


def kind(word: str) -> transaction_pb2.TransactionKind.ValueType:
    return transaction_pb2.TransactionKind.Value(f"TRANSACTION_KIND_{word}")


def _transact_step(step: Asked) -> pb.TransactStep:
    match step:
        case Debit():
            return pb.TransactStep(debit=pb.DebitStep(**_movement(step)))
        case Credit():
            return pb.TransactStep(credit=pb.CreditStep(**_movement(step)))
        case Rollback():
            return pb.TransactStep(rollback=pb.RollbackStep(**_rollback(step)))
        case SlipOpening(operation="HOLD"):
            return pb.TransactStep(hold=pb.HoldStep(**_hold(step)))
        case SlipChange(operation="CAPTURE"):
            return pb.TransactStep(capture=pb.CaptureStep(**_change(step), final=step.is_last))
        case SlipChange(operation="RELEASE"):
            return pb.TransactStep(release=pb.ReleaseStep(**_change(step)))
        case SlipOpening() | SlipChange() | RoundClosing():
            raise ValueError(f"{step} is no step of Transact")


def _opening_request(caller: dict[str, Any], step: SlipOpening) -> Request:
    if step.operation == "HOLD":
        return pb.HoldRequest(**caller, **_hold(step))
    return sportsbook_pb.PlaceSlipRequest(
        **caller,
        transaction_id=step.transaction_id,
        stake=money(step.money),
        game_id=step.game_id,
        expected_version=step.expected_version,
    )


def _change_request(caller: dict[str, Any], step: SlipChange) -> Request:
    fields = {**caller, **_change(step)}
    amount = fields.pop("amount")
    match step.operation:
        case "CAPTURE":
            return pb.CaptureRequest(**fields, amount=amount, final=step.is_last)
        case "RELEASE":
            return pb.ReleaseRequest(**fields, amount=amount)
        case _:
            return _settling_request(fields, amount, step)


def _settling_request(fields: dict[str, Any], amount: object, step: SlipChange) -> SportsbookRequest:
    stake = None if step.stake is None else money(step.stake)
    own: dict[str, tuple[Any, dict[str, Any]]] = {
        "SETTLE": (sportsbook_pb.SettleSlipRequest, {"amount": amount, "partial": not step.is_last}),
        "RESETTLE": (sportsbook_pb.ResettleSlipRequest, {"total": amount}),
        "UNSETTLE": (sportsbook_pb.UnsettleSlipRequest, {}),
        "VOID": (sportsbook_pb.VoidSlipRequest, {}),
        "REOPEN": (sportsbook_pb.ReopenSlipRequest, {}),
        "CASH_OUT": (sportsbook_pb.CashOutSlipRequest, {"amount": amount, "stake": stake}),
    }
    message, more = own[step.operation]
    return message(**fields, **more)  # type: ignore[no-any-return]


def _hold(step: SlipOpening) -> dict[str, Any]:
    return {
        "transaction_id": step.transaction_id,
        "kind": kind(step.kind),
        "amount": money(step.money),
        "game_id": step.game_id,
        "expire_time": None if step.expires_s is None else Timestamp(seconds=step.expires_s),
        "expected_version": step.expected_version,
    }


def _change(step: SlipChange) -> dict[str, Any]:
    return {
        "transaction_id": step.transaction_id,
        "slip_id": step.slip_id,
        "amount": None if step.money is None else money(step.money),
        "expected_version": step.expected_version,
    }


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
