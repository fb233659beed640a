"""What is remembered under a transaction id."""

from dataclasses import dataclass

from tests.reference.answers import Refusal, Result
from tests.reference.steps import Credit, Movement, Rollback, Step

Fingerprint = tuple[str, str, str, int | None, str, str, str]
RoundKey = tuple[str, str]
"""A game and a round in it; the source is that of the record."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A debit or credit that was applied, and what it did to its wallet."""

    step: Movement
    fingerprint: Fingerprint
    amount: int
    cash_change: int
    receivable_change: int
    round: RoundKey | None
    result: Result
    rolled_back_by: str = ""

    @property
    def live(self) -> bool:
        return not self.rolled_back_by

    @property
    def is_bet(self) -> bool:
        return self.step.kind == "BET"

    @property
    def settles(self) -> bool:
        return isinstance(self.step, Credit) and self.step.settles


@dataclass(frozen=True, slots=True)
class AnsweredRollback:
    """A rollback that was answered OK, whatever its outcome."""

    step: Rollback
    fingerprint: Fingerprint
    result: Result


@dataclass(frozen=True, slots=True)
class Refused:
    """A step that was refused for good."""

    step: Step
    fingerprint: Fingerprint
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An id whose rollback came first."""

    rollback_transaction_id: str


@dataclass(frozen=True, slots=True)
class Closing:
    """A round was closed under this id, or had been already."""

    fingerprint: Fingerprint
    outcome: str


Record = Applied | AnsweredRollback | Refused | Tombstone | Closing
