"""What the service answered, read into plain values that tests compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

from stakehold.v1 import command_pb2
from stakehold.v1 import transaction_pb2 as pb
from stakehold.v1.error_reason_pb2 import ErrorReason

DOMAIN = "stakehold.v1"
STATUS_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Balance:
    """A wallet as the service shows it: amounts are its texts, the status is its word without prefix."""

    currency: str
    version: int
    status: str
    cash: str
    bonus: str
    held: str
    receivable: str
    credit_line: str


@dataclass(frozen=True, slots=True)
class ShownSlip:
    """A slip as the service shows it: amounts are its texts, the state is its word without prefix."""

    slip_id: str
    state: str
    version: int
    currency: str
    held: str
    staked: str
    live: str
    paid: str
    cashed: str
    expires_s: int | None
    last: str
    undone_by: str


@dataclass(frozen=True, slots=True)
class Done:
    """One transaction answered OK. ``receivable_change`` is empty where there was none."""

    transaction_id: str
    outcome: str
    replayed: bool
    entry_id: str
    after: Balance | None
    now: Balance | None
    late: bool
    receivable_change: str
    booked_ns: int
    slip: ShownSlip | None = None


class Refused(Exception):
    """Any answer other than OK, with all that came with it."""

    def __init__(self, code: str, refusal: "RefusedDetails") -> None:
        super().__init__(f"{code} {refusal}")
        self.code = code
        self.details = refusal
        self.reason = refusal.reason


@dataclass(frozen=True, slots=True)
class RefusedDetails:
    """``refusal`` is only there for refused transactions, ``fields`` only for malformed requests."""

    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    refusal: "RefusedTransaction | None" = None
    fields: Sequence[str] = ()
    retry_delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedTransaction:
    """The Refusal message."""

    transaction_id: str
    step_index: int
    replayed: bool
    balance: Balance | None
    entry_id: str
    related: str


def read_balance(balance: pb.WalletBalance) -> Balance:
    return Balance(
        currency=balance.currency_code,
        version=balance.version,
        status=pb.WalletStatus.Name(balance.status).removeprefix("WALLET_STATUS_"),
        cash=balance.cash,
        bonus=balance.bonus,
        held=balance.held,
        receivable=balance.receivable,
        credit_line=balance.credit_line,
    )


def read_result(result: pb.TransactionResult) -> Done:
    return Done(
        transaction_id=result.transaction_id,
        outcome=pb.Outcome.Name(result.outcome).removeprefix("OUTCOME_"),
        replayed=result.replayed,
        entry_id=result.entry_id,
        after=read_balance(result.balance_after) if result.HasField("balance_after") else None,
        now=read_balance(result.balance_now) if result.HasField("balance_now") else None,
        late=result.late,
        receivable_change=result.receivable_change.amount if result.HasField("receivable_change") else "",
        booked_ns=result.booked_time.ToNanoseconds(),
        slip=read_slip(result.slip) if result.HasField("slip") else None,
    )


def read_slip(slip: pb.Slip) -> ShownSlip:
    amounts = (slip.held, slip.staked, slip.live, slip.paid, slip.cashed)
    [currency] = {amount.currency_code for amount in amounts}
    return ShownSlip(
        slip_id=slip.slip_id,
        state=pb.SlipState.Name(slip.state).removeprefix("SLIP_STATE_"),
        version=slip.version,
        currency=currency,
        held=slip.held.amount,
        staked=slip.staked.amount,
        live=slip.live.amount,
        paid=slip.paid.amount,
        cashed=slip.cashed.amount,
        expires_s=slip.expire_time.ToSeconds() if slip.HasField("expire_time") else None,
        last=slip.last_transaction_id,
        undone_by=slip.undone_by_transaction_id,
    )


def read_refusal(refusal: pb.Refusal) -> RefusedTransaction:
    return RefusedTransaction(
        transaction_id=refusal.transaction_id,
        step_index=refusal.step_index,
        replayed=refusal.replayed,
        balance=read_balance(refusal.balance) if refusal.HasField("balance") else None,
        entry_id=refusal.entry_id,
        related=refusal.related_transaction_id,
    )


def refused(error: grpc.RpcError) -> Refused:
    """Reads the code and everything attached to it."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError)
    message = error.details() or ""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS:
            assert isinstance(value, bytes)
            return Refused(error.code().name, _read_details(message, status_pb2.Status.FromString(value)))
    return Refused(error.code().name, RefusedDetails(message))


def read_command_result(result: command_pb2.CommandResult) -> "list[Done] | Refused":
    """What the unary call would have returned, or raised."""
    if result.WhichOneof("answer") == "done":
        return [read_result(step) for step in result.done.results]
    assert result.WhichOneof("answer") == "error", result
    return _read_error(result.error)


def _read_error(error: command_pb2.CommandError) -> Refused:
    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    return Refused(
        codes[error.code],
        RefusedDetails(
            error.message,
            reason=ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_"),
            metadata=dict(error.metadata),
            refusal=read_refusal(error.refusal) if error.HasField("refusal") else None,
            fields=tuple(violation.field for violation in error.field_violations),
            retry_delay_ms=error.retry_delay.ToMilliseconds() if error.HasField("retry_delay") else None,
        ),
    )


def read_status(status: status_pb2.Status) -> RefusedDetails:
    """Everything that a rich status says beside its code."""
    return _read_details(status.message, status)


def _read_details(message: str, status: status_pb2.Status) -> RefusedDetails:
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, refusal = error_details_pb2.RetryInfo(), pb.Refusal()
    has_retry, has_refusal = _unpack(status.details, retry), _unpack(status.details, refusal)
    _unpack(status.details, bad_request)
    if _unpack(status.details, info):
        assert info.domain == DOMAIN, info
    return RefusedDetails(
        message,
        reason=info.reason,
        metadata=dict(info.metadata),
        refusal=read_refusal(refusal) if has_refusal else None,
        fields=tuple(violation.field for violation in bad_request.field_violations),
        retry_delay_ms=retry.retry_delay.ToMilliseconds() if has_retry else None,
    )


def _unpack(
    details: Sequence[Any],
    into: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo
    | pb.Refusal,
) -> bool:
    return any(detail.Unpack(into) for detail in details)
