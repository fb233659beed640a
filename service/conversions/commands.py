"""Reads commands as calls of the engine, and writes what became of them."""

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import Message

from persistence.calls import Call, StepResult
from persistence.errors import FieldInvalid
from service.conversions import slips
from service.conversions.calls import credit_call, debit_call, rollback_call, transact_call
from service.conversions.quotes import exchange_call
from service.conversions.results import result_message
from service.conversions.rounds import close_round_call
from service.errors import Explanation, duration_of_ms
from service.quotes import Quotes
from service.registry import CurrencyScales, Registry
from stakehold.v1 import command_pb2 as pb
from stakehold.v1 import error_reason_pb2

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}

OPERATIONS: dict[str, Callable[[Any, Registry, Quotes], Call]] = {
    "debit": lambda request, registry, quotes: debit_call(request, registry),
    "credit": lambda request, registry, quotes: credit_call(request, registry),
    "rollback": lambda request, registry, quotes: rollback_call(request, registry),
    "transact": lambda request, registry, quotes: transact_call(request, registry),
    "exchange": lambda request, registry, quotes: exchange_call(request, quotes, registry),
    "hold": lambda request, registry, quotes: slips.hold_call(request, registry),
    "capture": lambda request, registry, quotes: slips.capture_call(request, registry),
    "release": lambda request, registry, quotes: slips.release_call(request, registry),
    "place_slip": lambda request, registry, quotes: slips.place_call(request, registry),
    "settle_slip": lambda request, registry, quotes: slips.settle_call(request, registry),
    "resettle_slip": lambda request, registry, quotes: slips.resettle_call(request, registry),
    "unsettle_slip": lambda request, registry, quotes: slips.unsettle_call(request, registry),
    "void_slip": lambda request, registry, quotes: slips.void_call(request, registry),
    "reopen_slip": lambda request, registry, quotes: slips.reopen_call(request, registry),
    "cash_out_slip": lambda request, registry, quotes: slips.cash_out_call(request, registry),
    "close_round": lambda request, registry, quotes: close_round_call(request, registry),
}
"""How each operation of a command is read, by its name in the message."""


def command_call(command: pb.Command, registry: Registry, quotes: Quotes) -> Call:
    """Raises what the unary call would raise for the request, and FieldInvalid where there is none."""
    name = command.WhichOneof("operation")
    if name is None:
        raise FieldInvalid("operation", f"must be set: one of {', '.join(OPERATIONS)}")
    return OPERATIONS[name](getattr(command, name), registry, quotes)


def source_id_of(command: pb.Command) -> str:
    """Whose command it is, as it says; "" where it says nothing."""
    name = command.WhichOneof("operation")
    return getattr(command, name).source_id if name else ""


def player_id_of(command: pb.Command) -> str:
    """Whose wallets it is about, as it says; "" where it says nothing."""
    name = command.WhichOneof("operation")
    return getattr(command, name).player_id if name else ""


def done_result(results: Iterable[StepResult], scales: CurrencyScales) -> pb.CommandResult:
    """One result for each step. The currencies have to be known to ``scales``."""
    done = pb.CommandDone(results=[result_message(result, scales) for result in results])
    return pb.CommandResult(done=done)


def code_of(result: pb.CommandResult) -> str:
    """The name of the gRPC code of an answer."""
    return _CODES[result.error.code]


def reason_of(result: pb.CommandResult) -> str:
    """Why it was not done, in the word that programs are told; "" where it was."""
    if not result.HasField("error"):
        return ""
    return error_reason_pb2.ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")


def error_result(explanation: Explanation) -> pb.CommandResult:
    """The same that the status of a unary call says."""
    reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{explanation.reason}")
    error = pb.CommandError(
        code=explanation.code.value[0],
        message=explanation.message,
        reason=reason,
        metadata=explanation.metadata,
        refusal=explanation.refusal,
    )
    if explanation.violation is not None:
        field, description = explanation.violation
        error.field_violations.add(field=field, description=description, reason=reason)
    if explanation.retry_delay_ms is not None:
        error.retry_delay.CopyFrom(duration_of_ms(explanation.retry_delay_ms))
    return pb.CommandResult(error=error)


def without_metadata(serialised: bytes) -> bytes:
    """A command without any metadata; the very same bytes where it has none."""
    command = pb.Command.FromString(serialised)
    return command.SerializeToString() if _strip(command) else serialised


def _strip(message: Message) -> bool:
    """Whether there was anything, in the message or in those inside of it."""
    found = False
    for field, value in message.ListFields():
        if field.name == "metadata":
            message.ClearField(field.name)
            found = True
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            inner = value if field.is_repeated else [value]
            found = sum(map(_strip, inner)) > 0 or found
    return found
