"""What callers are told, and what is remembered of it. Amounts are integers of minor units."""

from dataclasses import dataclass
from enum import StrEnum

from tests.reference.slips import ShownSlip


@dataclass(frozen=True, slots=True)
class Wallet:
    """One player's money in one currency, at one version."""

    currency: str
    version: int
    status: str
    cash: int
    receivable: int
    credit_line: int
    held: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one step of a call that was done.

    ``moved`` is false for rollbacks that had nothing to move: their answer may show a balance or not.
    """

    transaction_id: str
    outcome: str
    moved: bool
    replayed: bool = False
    balance_after: Wallet | None = None
    balance_now: Wallet | None = None
    late: bool = False
    receivable_change: int = 0
    slip: ShownSlip | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not done.

    ``balance`` must be shown where ``looked_at_wallet``; where there is none, what is shown is left open.
    ``related`` holds the ids that may be named as standing in the way; None leaves it open.
    """

    reason: str
    transaction_id: str
    step_index: int
    remembered: bool
    replayed: bool = False
    looked_at_wallet: bool = False
    balance: Wallet | None = None
    related: frozenset[str] | None = None


class CallRefused(Exception):
    """The call was refused, and nothing of it was applied."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.transaction_id}: {refusal.reason}")
        self.refusal = refusal


class Malformed(Exception):
    """The call was refused before any transaction was looked at."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class State(StrEnum):
    """What is known about a transaction id."""

    NOT_SEEN = "NOT_SEEN"
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    ROLLED_BACK = "ROLLED_BACK"
    TOMBSTONED = "TOMBSTONED"


@dataclass(frozen=True, slots=True)
class Lookup:
    """What became of an id."""

    state: State
    kind: str = ""
    result: Result | None = None
    refusal: Refusal | None = None
    rollback_transaction_id: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to opening a wallet."""

    balance: Wallet
    created: bool


@dataclass(frozen=True, slots=True)
class StatusSet:
    """The answer to setting a wallet's status."""

    balance: Wallet
    changed: bool
