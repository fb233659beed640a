"""How each error of the lower layers is told to callers: one table, and what is made from it.

An error is explained once, and leaves as the status of a call or as the result of one command among many.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from persistence import errors
from persistence.errors import RefusalReason
from service.conversions.results import refusal_message
from service.registry import CurrencyScales
from stakehold.v1 import error_reason_pb2, transaction_pb2

DOMAIN = "stakehold.v1"
_UNAVAILABLE_RETRY_MS = 200

_Code = grpc.StatusCode

REFUSAL_CODES: dict[RefusalReason, grpc.StatusCode] = {
    RefusalReason.WALLET_NOT_FOUND: _Code.NOT_FOUND,
    RefusalReason.REFERENCE_NOT_FOUND: _Code.NOT_FOUND,
    RefusalReason.TRANSACTION_ID_CONFLICT: _Code.ALREADY_EXISTS,
    RefusalReason.TRANSACTION_ROLLED_BACK: _Code.FAILED_PRECONDITION,
    RefusalReason.BET_ROLLED_BACK: _Code.FAILED_PRECONDITION,
    RefusalReason.BET_REFUSED: _Code.FAILED_PRECONDITION,
    RefusalReason.BET_SETTLED: _Code.FAILED_PRECONDITION,
    RefusalReason.REFERENCE_MISMATCH: _Code.FAILED_PRECONDITION,
    RefusalReason.AMOUNT_MISMATCH: _Code.FAILED_PRECONDITION,
    RefusalReason.NOT_REVERSIBLE: _Code.FAILED_PRECONDITION,
    RefusalReason.ROUND_CLOSED: _Code.FAILED_PRECONDITION,
    RefusalReason.ZERO_AMOUNT_REFUSED: _Code.FAILED_PRECONDITION,
    RefusalReason.CURRENCY_DISABLED: _Code.FAILED_PRECONDITION,
    RefusalReason.SOURCE_DISABLED: _Code.FAILED_PRECONDITION,
    RefusalReason.WALLET_FROZEN: _Code.FAILED_PRECONDITION,
    RefusalReason.WALLET_CLOSED: _Code.FAILED_PRECONDITION,
    RefusalReason.INSUFFICIENT_FUNDS: _Code.FAILED_PRECONDITION,
    RefusalReason.BALANCE_OVERFLOW: _Code.FAILED_PRECONDITION,
    RefusalReason.VERSION_MISMATCH: _Code.ABORTED,
    RefusalReason.WALLET_AMBIGUOUS: _Code.FAILED_PRECONDITION,
    RefusalReason.AMOUNT_TOO_SMALL: _Code.FAILED_PRECONDITION,
    RefusalReason.RATE_UNKNOWN: _Code.FAILED_PRECONDITION,
    RefusalReason.RATE_STALE: _Code.FAILED_PRECONDITION,
    RefusalReason.RATE_HELD: _Code.FAILED_PRECONDITION,
    RefusalReason.CURRENCY_DEPEGGED: _Code.FAILED_PRECONDITION,
    RefusalReason.QUOTE_EXPIRED: _Code.FAILED_PRECONDITION,
    RefusalReason.QUOTE_USED: _Code.FAILED_PRECONDITION,
    RefusalReason.HOLD_CLOSED: _Code.FAILED_PRECONDITION,
    RefusalReason.HOLD_RELEASED: _Code.FAILED_PRECONDITION,
    RefusalReason.HOLD_EXPIRED: _Code.FAILED_PRECONDITION,
    RefusalReason.HOLD_EXCEEDED: _Code.FAILED_PRECONDITION,
    RefusalReason.HOLD_NOT_DUE: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_NOT_PLACED: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_SETTLED: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_NOT_SETTLED: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_VOIDED: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_NOT_VOIDED: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_CASHED_OUT: _Code.FAILED_PRECONDITION,
    RefusalReason.STAKE_EXCEEDED: _Code.FAILED_PRECONDITION,
    RefusalReason.SLIP_MOVED_ON: _Code.FAILED_PRECONDITION,
    RefusalReason.SESSION_UNKNOWN: _Code.FAILED_PRECONDITION,
    RefusalReason.SESSION_OVER: _Code.FAILED_PRECONDITION,
    RefusalReason.SESSION_MISMATCH: _Code.FAILED_PRECONDITION,
}
"""What the scripts refuse. The reason's name is the same in Lua, here and in the API."""

ERROR_CODES: dict[type[errors.StakeholdError], tuple[grpc.StatusCode, str]] = {
    errors.Unauthenticated: (_Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    errors.SourceNotPermitted: (_Code.PERMISSION_DENIED, "SOURCE_NOT_PERMITTED"),
    errors.VerbNotPermitted: (_Code.PERMISSION_DENIED, "VERB_NOT_PERMITTED"),
    errors.StoreUnavailable: (_Code.UNAVAILABLE, "STORE_UNAVAILABLE"),
    errors.PartitionFenced: (_Code.UNAVAILABLE, "PARTITION_FENCED"),
    errors.IncarnationChanged: (_Code.UNAVAILABLE, "INCARNATION_CHANGED"),
    errors.LedgerUnavailable: (_Code.UNAVAILABLE, "LEDGER_UNAVAILABLE"),
    errors.OutcomeUnknown: (_Code.UNAVAILABLE, "OUTCOME_UNKNOWN"),
    errors.Overloaded: (_Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    errors.Stopping: (_Code.UNAVAILABLE, "STOPPING"),
    errors.DeadlineExceeded: (_Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    errors.WalletNotFound: (_Code.NOT_FOUND, "WALLET_NOT_FOUND"),
    errors.SourceNotFound: (_Code.NOT_FOUND, "SOURCE_NOT_FOUND"),
    errors.BalanceNotFound: (_Code.NOT_FOUND, "BALANCE_NOT_FOUND"),
    errors.SlipNotFound: (_Code.NOT_FOUND, "SLIP_NOT_FOUND"),
    errors.PairUnknown: (_Code.NOT_FOUND, "PAIR_UNKNOWN"),
    errors.RateNotFound: (_Code.NOT_FOUND, "RATE_NOT_FOUND"),
    errors.SubmissionNotFound: (_Code.NOT_FOUND, "SUBMISSION_NOT_FOUND"),
    errors.RoundNotFound: (_Code.NOT_FOUND, "ROUND_NOT_FOUND"),
    errors.ReviewNotFound: (_Code.NOT_FOUND, "REVIEW_NOT_FOUND"),
    errors.CaseNotFound: (_Code.NOT_FOUND, "CASE_NOT_FOUND"),
    errors.ProviderNotFound: (_Code.NOT_FOUND, "PROVIDER_NOT_FOUND"),
    errors.SessionNotFound: (_Code.NOT_FOUND, "SESSION_NOT_FOUND"),
    errors.CurrencyUnknown: (_Code.INVALID_ARGUMENT, "CURRENCY_UNKNOWN"),
    errors.PageTokenInvalid: (_Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"),
    errors.FieldInvalid: (_Code.INVALID_ARGUMENT, "INVALID_FIELD"),
    errors.QuoteInvalid: (_Code.INVALID_ARGUMENT, "QUOTE_INVALID"),
    errors.QuoteOfAnotherPlayer: (_Code.FAILED_PRECONDITION, "QUOTE_OF_ANOTHER_PLAYER"),
    errors.QuoteSideMismatch: (_Code.FAILED_PRECONDITION, "QUOTE_SIDE_MISMATCH"),
    errors.QuoteAmountMismatch: (_Code.FAILED_PRECONDITION, "QUOTE_AMOUNT_MISMATCH"),
    errors.CurrencyImmutable: (_Code.FAILED_PRECONDITION, "CURRENCY_IMMUTABLE"),
    errors.CurrencyDisabled: (_Code.FAILED_PRECONDITION, "CURRENCY_DISABLED"),
    errors.RateUnknown: (_Code.FAILED_PRECONDITION, "RATE_UNKNOWN"),
    errors.RateStale: (_Code.FAILED_PRECONDITION, "RATE_STALE"),
    errors.RateHeld: (_Code.FAILED_PRECONDITION, "RATE_HELD"),
    errors.CurrencyDepegged: (_Code.FAILED_PRECONDITION, "CURRENCY_DEPEGGED"),
    errors.RateNotHeld: (_Code.FAILED_PRECONDITION, "RATE_NOT_HELD"),
    errors.SamePerson: (_Code.FAILED_PRECONDITION, "SAME_PERSON"),
    errors.SubmissionIdConflict: (_Code.ALREADY_EXISTS, "SUBMISSION_ID_CONFLICT"),
    errors.CursorInvalid: (_Code.INVALID_ARGUMENT, "CURSOR_INVALID"),
    errors.CursorNotInLedger: (_Code.FAILED_PRECONDITION, "CURSOR_NOT_IN_LEDGER"),
    errors.SubscriberStalled: (_Code.RESOURCE_EXHAUSTED, "SUBSCRIBER_STALLED"),
    errors.ReviewResolved: (_Code.FAILED_PRECONDITION, "REVIEW_RESOLVED"),
    errors.InvalidTransition: (_Code.FAILED_PRECONDITION, "INVALID_TRANSITION"),
    errors.CaseIdConflict: (_Code.ALREADY_EXISTS, "CASE_ID_CONFLICT"),
    errors.ApprovalBySamePerson: (_Code.FAILED_PRECONDITION, "APPROVAL_BY_SAME_PERSON"),
    errors.SessionConflict: (_Code.ALREADY_EXISTS, "SESSION_CONFLICT"),
}

INTERNAL_REASON = "INTERNAL"

_ADVICE = {
    "OUTCOME_UNKNOWN": "it may have been applied; retry with the same id, or ask GetTransaction",
    "STORE_UNAVAILABLE": "nothing was done; retry with the same id",
    "LEDGER_UNAVAILABLE": "the ledger cannot be reached; nothing was done; retry",
    "PARTITION_FENCED": "nothing was done; the partition waits to be recovered",
    "INCARNATION_CHANGED": "nothing was done; the store is being taken over; retry with the same id",
    "OVERLOADED": "nothing was done; retry with the same id after the delay",
    "STOPPING": "nothing was done, for this server is stopping; retry with the same id",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a caller is told of an error. ``reason`` is an ErrorReason without its prefix.

    ``violation`` is the path of a malformed field and what it must be. ``retry_delay_ms`` is None where
    sending the same again would not help.
    """

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str]
    violation: tuple[str, str] | None = None
    refusal: transaction_pb2.Refusal | None = None
    retry_delay_ms: int | None = None

    def status(self) -> status_pb2.Status:
        """The rich status of a call."""
        details: list[Message] = [_error_info(self.reason, self.metadata)]
        if self.violation is not None:
            field, description = self.violation
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=field, description=description, reason=self.reason
            )
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_delay_ms is not None:
            details.append(error_details_pb2.RetryInfo(retry_delay=duration_of_ms(self.retry_delay_ms)))
        if self.refusal is not None:
            details.append(self.refusal)
        return _status(self.code, self.message, details)


def explain(error: errors.StakeholdError, scales: CurrencyScales) -> Explanation:
    """What to tell of an error that is meant for callers. Raises KeyError for those that are not: they are
    INTERNAL.
    """
    if isinstance(error, errors.Refused):
        return _explain_refusal(error, scales)
    code, reason = _row_of(error)
    return Explanation(
        code,
        reason,
        _ADVICE.get(reason, str(error)),
        error.metadata(),
        violation=(error.field, error.description) if isinstance(error, errors.FieldInvalid) else None,
        retry_delay_ms=_retry_delay_ms_of(error),
    )


def explain_bug(incident_id: str) -> Explanation:
    """What a bug looks like from outside: an id that finds it in the logs, and nothing else."""
    return Explanation(
        _Code.INTERNAL,
        INTERNAL_REASON,
        f"internal error {incident_id}; retry with the same id",
        {"incident_id": incident_id},
    )


def code_and_reason(error: Exception) -> tuple[grpc.StatusCode, str]:
    """How an error will be answered, whatever it is."""
    if isinstance(error, errors.Refused):
        return REFUSAL_CODES[error.details.reason], str(error.details.reason)
    try:
        return _row_of(error)
    except KeyError:
        return _Code.INTERNAL, INTERNAL_REASON


def _row_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Of the error's own class, or of the nearest one above. Raises KeyError for what no caller is told."""
    for kind in type(error).__mro__:
        if kind in ERROR_CODES:
            return ERROR_CODES[kind]
    raise KeyError(type(error))


def status_of(
    error: errors.StakeholdError, scales: CurrencyScales
) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """The canonical code and the rich status for an error that is meant for callers. Raises as explain."""
    explanation = explain(error, scales)
    return explanation.code, explanation.status()


def internal_status(incident_id: str) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """The code and the status of a bug."""
    return _Code.INTERNAL, explain_bug(incident_id).status()


def _explain_refusal(error: errors.Refused, scales: CurrencyScales) -> Explanation:
    details = error.details
    refusal = refusal_message(details, scales)
    metadata = {"transaction_id": details.transaction_id, **error.context}
    if details.related_transaction_id:
        metadata["related_transaction_id"] = details.related_transaction_id
    if details.balance is not None:
        metadata["currency_code"] = details.balance.currency
        metadata["version"] = str(details.balance.version)
        metadata["cash"] = refusal.balance.cash
    return Explanation(
        REFUSAL_CODES[details.reason],
        details.reason,
        f"transaction {details.transaction_id} refused: {details.reason}",
        metadata,
        refusal=refusal,
    )


def _retry_delay_ms_of(error: errors.StakeholdError) -> int | None:
    match error:
        case errors.Overloaded():
            return error.retry_delay_ms
        case errors.NotDone() | errors.OutcomeUnknown():
            return _UNAVAILABLE_RETRY_MS
        case _:
            return None


def _error_info(reason: str, metadata: Mapping[str, str]) -> error_details_pb2.ErrorInfo:
    error_reason_pb2.ErrorReason.Value(
        f"ERROR_REASON_{reason}"
    )  # no reason leaves that the API does not name
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def duration_of_ms(delay_ms: int) -> Duration:
    delay = Duration()
    delay.FromMilliseconds(delay_ms)
    return delay


def _status(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        wrapped = Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)
