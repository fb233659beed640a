"""What an attempt's end means for its command: decided, or tried again later, or given up."""

from dataclasses import dataclass
from enum import Enum

from persistence.errors import (
    RATE_REASONS,
    NotDone,
    OutcomeUnknown,
    Overloaded,
    RateUnusable,
    RefusalReason,
    Refused,
    SourceNotFound,
    StakeholdError,
    WalletNotFound,
)
from persistence.inbox import CommandState
from service.working.jobs import Backoff

BACKOFF = Backoff(first_s=0.2, last_s=60.0)

_MISSING = {
    RefusalReason.WALLET_NOT_FOUND,
    RefusalReason.REFERENCE_NOT_FOUND,
    RefusalReason.SLIP_NOT_PLACED,
}
_NEVER_CHANGES = {RefusalReason.TRANSACTION_ROLLED_BACK}


class Hope(Enum):
    """What trying again may bring."""

    NONE = "none"
    MISSING = "missing"
    """What it refers to may come: a bet, a wallet. Soon, or never."""
    OUTAGE = "outage"
    """Something is down, too busy or too old, and will be well again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a command is tried again, from its first attempt on."""

    missing_s: float
    outage_s: float

    def of(self, hope: Hope) -> float:
        match hope:
            case Hope.NONE:
                return 0.0
            case Hope.MISSING:
                return self.missing_s
            case Hope.OUTAGE:
                return self.outage_s


@dataclass(frozen=True, slots=True)
class Verdict:
    """``is_remembered``: whoever tries again gets the same. ``retry_in_s`` is None where it is decided."""

    state: CommandState
    is_remembered: bool
    retry_in_s: float | None


APPLIED = Verdict(CommandState.APPLIED, True, None)


def judge(error: Exception, *, attempts: int, age_s: float, patience: Patience) -> Verdict:
    """What becomes of a command that raised an error at its latest of so many attempts."""
    if isinstance(error, Refused) and _is_remembered(error):
        return Verdict(CommandState.REFUSED, True, None)
    if age_s >= patience.of(hope_of(error)):
        return Verdict(CommandState.DEAD, False, None)
    retry_in_s = BACKOFF.pause_s(attempts)
    if isinstance(error, Overloaded):
        retry_in_s += error.retry_delay_ms / 1000
    return Verdict(CommandState.WAITING, False, retry_in_s)


def hope_of(error: Exception) -> Hope:
    """Whether the same command may succeed later. A bug may be gone with the next release."""
    match error:
        case Refused():
            return _hope_of_refusal(error)
        case SourceNotFound() | WalletNotFound():
            return Hope.MISSING
        case NotDone() | OutcomeUnknown() | RateUnusable():
            return Hope.OUTAGE
        case StakeholdError():
            return Hope.NONE
        case _:
            return Hope.MISSING


def _hope_of_refusal(refusal: Refused) -> Hope:
    reason = refusal.details.reason
    if reason in RATE_REASONS:
        return Hope.OUTAGE
    if reason is RefusalReason.VERSION_MISMATCH:
        return Hope.MISSING if _is_ahead(refusal) else Hope.NONE
    return Hope.MISSING if reason in _MISSING else Hope.NONE


def _is_ahead(refusal: Refused) -> bool:
    """Whether the wallet may yet come to the expected version."""
    balance = refusal.details.balance
    return balance is not None and balance.version < int(refusal.context["expected_version"])


def _is_remembered(refusal: Refused) -> bool:
    return bool(refusal.details.entry_id) or refusal.details.reason in _NEVER_CHANGES
