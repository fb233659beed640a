"""What the service answered, without its wire format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from stakehold.v1 import (
    admin_service_pb2,
    cashier_service_pb2,
    command_pb2,
    error_reason_pb2,
    fx_service_pb2,
    sportsbook_service_pb2,
    submission_service_pb2,
    transaction_pb2,
    wallet_service_pb2,
)

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
    slip: transaction_pb2.Slip | None = None


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
    slips: Mapping[str, transaction_pb2.Slip] = field(default_factory=dict)
    replayed: bool = False
    submission: submission_service_pb2.Submission | None = None
    commands: "Sequence[Submitted]" = ()
    pushed: Sequence[str] = ()
    mid_rate: str = ""
    case_entry_ids: Sequence[str] = ()
    next_page_token: str = ""

    def after(self, first: "Answer") -> "Answer":
        """With the page that came before it."""
        return replace(self, commands=(*first.commands, *self.commands), slips={**first.slips, **self.slips})

    def decided(self) -> int:
        """How many commands of the submission that it tells of are decided."""
        told = self.submission
        return told.applied_count + told.refused_count + told.dead_count if told is not None else 0

    @property
    def final(self) -> bool:
        """Whether asking again would not tell anything else."""
        return self.submission is not None and not self.submission.waiting_count

    @property
    def refused(self) -> bool:
        """Whether the transaction was decided, and against the caller."""
        return self.refusal is not None

    def entry_ids(self) -> set[str]:
        """The ledger entries that this answer speaks of."""
        ids = {*self.case_entry_ids, *(result.entry_id for result in self.results)}
        if self.refusal is not None:
            ids.add(self.refusal.entry_id)
        return ids - {""}

    def __str__(self) -> str:
        if self.code != "OK":
            return f"{self.code} {self.reason} ({self.message})"
        outcomes = [result.outcome + " (replayed)" * result.replayed for result in self.results]
        return " ".join(["OK", *outcomes, self.state]).rstrip()


@dataclass(frozen=True, slots=True)
class Submitted:
    """A command of a submission, and its answer."""

    source: str
    player: str
    transaction_id: str
    answer: Answer


@dataclass(slots=True)
class _Details:
    reason: str = ""
    retry_delay_s: float = 0.0
    refusal: transaction_pb2.Refusal | None = field(default=None)


def answer_of(response: Message) -> Answer:
    """An OK answer."""
    return next(filter(None, (reader(response) for reader in _READERS)), Answer("OK"))


def _of_transactions(response: Message) -> Answer | None:
    match response:
        case wallet_service_pb2.TransactResponse():
            return Answer("OK", results=tuple(map(_result, response.results)))
        case wallet_service_pb2.GetTransactionResponse():
            name = wallet_service_pb2.TransactionState.Name(response.state)
            return Answer("OK", state=name.removeprefix("TRANSACTION_STATE_"))
        case _:
            # Every other transaction is answered by one result.
            result = getattr(response, "result", None)
            if isinstance(result, transaction_pb2.TransactionResult):
                return Answer("OK", results=(_result(result),))
            return None


def _of_wallets(response: Message) -> Answer | None:
    match response:
        case wallet_service_pb2.GetWalletResponse():
            return Answer("OK", wallets=tuple(response.balances))
        case admin_service_pb2.OpenWalletResponse() | admin_service_pb2.SetWalletStatusResponse():
            return Answer("OK", wallets=(response.balance,))
        case _:
            return None


def _of_slips(response: Message) -> Answer | None:
    match response:
        case sportsbook_service_pb2.GetSlipResponse():
            return Answer("OK", slips={response.slip.slip_id: response.slip})
        case sportsbook_service_pb2.ListSlipsResponse():
            slips = {listed.slip.slip_id: listed.slip for listed in response.slips}
            return Answer("OK", slips=slips, next_page_token=response.next_page_token)
        case _:
            return None


def _of_submissions(response: Message) -> Answer | None:
    match response:
        case submission_service_pb2.SubmitResponse():
            return Answer("OK", replayed=response.replayed)
        case submission_service_pb2.GetSubmissionResponse():
            return Answer("OK", submission=response.submission)
        case submission_service_pb2.ListResultsResponse():
            commands = tuple(map(_submitted, response.commands))
            return Answer("OK", commands=commands, next_page_token=response.next_page_token)
        case _:
            return None


def _of_rates(response: Message) -> Answer | None:
    match response:
        case fx_service_pb2.PushRatesResponse():
            names = (fx_service_pb2.PushOutcome.Name(pushed.outcome) for pushed in response.results)
            return Answer("OK", pushed=[name.removeprefix("PUSH_OUTCOME_") for name in names])
        case fx_service_pb2.GetConversionResponse():
            return Answer("OK", mid_rate=response.mid_rate)
        case _:
            return None


def _of_cases(response: Any) -> Answer | None:
    """Each of the cashier's answers has one case, a list of which is never asked for."""
    for kind, names, states in _CASES:
        if kind in response.DESCRIPTOR.fields_by_name and "replayed" in response.DESCRIPTOR.fields_by_name:
            case = getattr(response, kind)
            return Answer(
                "OK",
                state=states.Name(case.state).removeprefix(f"{kind.upper()}_STATE_"),
                replayed=response.replayed,
                case_entry_ids=[getattr(case, name) for name in names],
            )
    return None


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


def _submitted(command: submission_service_pb2.SubmittedCommand) -> Submitted:
    answer = _command_answer(command.result) if command.HasField("result") else Answer("NONE")
    return Submitted(command.source_id, command.player_id, command.transaction_id, answer)


def _command_answer(result: command_pb2.CommandResult) -> Answer:
    if result.HasField("done"):
        return Answer("OK", results=tuple(map(_result, result.done.results)))
    error = result.error
    reason = error_reason_pb2.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    refusal = error.refusal if error.HasField("refusal") else None
    return Answer(_CODES[error.code], reason=reason, message=error.message, refusal=refusal)


_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def _result(result: transaction_pb2.TransactionResult) -> Result:
    return Result(
        transaction_id=result.transaction_id,
        outcome=transaction_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_"),
        replayed=result.replayed,
        entry_id=result.entry_id,
        late=result.late,
        balance_after=result.balance_after if result.HasField("balance_after") else None,
        balance_now=result.balance_now if result.HasField("balance_now") else None,
        slip=result.slip if result.HasField("slip") else None,
    )


_CASES: tuple[tuple[str, Sequence[str], Any], ...] = (
    ("deposit", ("credit_entry_id", "charge_back_entry_id"), cashier_service_pb2.DepositState),
    ("withdrawal", ("hold_entry_id", "closing_entry_id"), cashier_service_pb2.WithdrawalState),
    ("correction", ("entry_id",), cashier_service_pb2.CorrectionState),
)
_READERS = (_of_transactions, _of_wallets, _of_slips, _of_submissions, _of_rates, _of_cases)
