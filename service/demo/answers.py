"""What the service answered, without its wire format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from stakehold.v1 import admin_service_pb2, transaction_pb2, wallet_service_pb2

STATUS_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Result:
    """One transaction that was answered OK."""

    transaction_id: str
    outcome: str
    replayed: bool
    entry_id: str
    late: bool
    balance_after: transaction_pb2.WalletBalance | None
    balance_now: transaction_pb2.WalletBalance | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One call's answer. Fields that its kind of answer does not have are empty."""

    code: str
    reason: str = ""
    message: str = ""
    retry_delay_s: float = 0.0
    results: Sequence[Result] = ()
    refusal: transaction_pb2.Refusal | None = None
    state: str = ""
    wallets: Sequence[transaction_pb2.WalletBalance] = ()

    @property
    def refused(self) -> bool:
        """Whether the transaction was decided, and against the caller."""
        return self.refusal is not None

    def entry_ids(self) -> set[str]:
        """The ledger entries that this answer speaks of."""
        ids = {result.entry_id for result in self.results}
        if self.refusal is not None:
            ids.add(self.refusal.entry_id)
        return ids - {""}

    def __str__(self) -> str:
        if self.code != "OK":
            return f"{self.code} {self.reason} ({self.message})"
        outcomes = [result.outcome + " (replayed)" * result.replayed for result in self.results]
        return " ".join(["OK", *outcomes, self.state]).rstrip()


@dataclass(slots=True)
class _Details:
    reason: str = ""
    retry_delay_s: float = 0.0
    refusal: transaction_pb2.Refusal | None = field(default=None)


def answer_of(response: Message) -> Answer:
    """An OK answer."""
    match response:
        case (
            wallet_service_pb2.DebitResponse()
            | wallet_service_pb2.CreditResponse()
            | wallet_service_pb2.RollbackResponse()
        ):
            return Answer("OK", results=(_result(response.result),))
        case wallet_service_pb2.TransactResponse():
            return Answer("OK", results=tuple(map(_result, response.results)))
        case wallet_service_pb2.GetTransactionResponse():
            name = wallet_service_pb2.TransactionState.Name(response.state)
            return Answer("OK", state=name.removeprefix("TRANSACTION_STATE_"))
        case wallet_service_pb2.GetWalletResponse():
            return Answer("OK", wallets=tuple(response.balances))
        case admin_service_pb2.OpenWalletResponse() | admin_service_pb2.SetWalletStatusResponse():
            return Answer("OK", wallets=(response.balance,))
        case _:
            return Answer("OK")


def answer_of_error(error: grpc.aio.AioRpcError) -> Answer:
    """An answer that is not OK."""
    details = _details(error)
    return Answer(
        error.code().name,
        reason=details.reason,
        message=error.details() or "",
        retry_delay_s=details.retry_delay_s,
        refusal=details.refusal,
    )


def total(balance: transaction_pb2.WalletBalance) -> Decimal:
    """Cash, bonus and held together."""
    return Decimal(balance.cash) + Decimal(balance.bonus) + Decimal(balance.held)


def _details(error: grpc.aio.AioRpcError) -> _Details:
    details, status = _Details(), status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS:
            status.ParseFromString(value if isinstance(value, bytes) else value.encode())
    info, retry, refusal = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RetryInfo(),
        transaction_pb2.Refusal(),
    )
    for detail in status.details:
        if detail.Unpack(info):
            details.reason = info.reason
        elif detail.Unpack(retry):
            details.retry_delay_s = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(refusal):
            details.refusal = refusal
    return details


def _result(result: transaction_pb2.TransactionResult) -> Result:
    return Result(
        transaction_id=result.transaction_id,
        outcome=transaction_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_"),
        replayed=result.replayed,
        entry_id=result.entry_id,
        late=result.late,
        balance_after=result.balance_after if result.HasField("balance_after") else None,
        balance_now=result.balance_now if result.HasField("balance_now") else None,
    )
