"""What is remembered under a transaction id."""

from dataclasses import dataclass

from tests.reference.answers import Refusal, Result
from tests.reference.steps import Credit, Debit, Movement, Rollback, SlipChange, SlipOpening, Step

Fingerprint = tuple[object, ...]
RoundKey = tuple[str, str]
"""A game and a round in it; the source is that of the record."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A step that moved money, and what it did to its wallet; rollbacks have records of their own.

    ``slip_id`` names the slip that it opened or changed, if it did.
    """

    step: Movement | SlipOpening | SlipChange
    fingerprint: Fingerprint
    amount: int
    cash_change: int
    receivable_change: int
    round: RoundKey | None
    result: Result
    rolled_back_by: str = ""
    kind: str = ""
    currency: str = ""
    held_change: int = 0
    slip_id: str = ""

    @property
    def live(self) -> bool:
        return not self.rolled_back_by

    @property
    def is_bet(self) -> bool:
        """Whether wins can settle it."""
        return isinstance(self.step, Debit) and self.step.kind == "BET"

    @property
    def may_have_wins(self) -> bool:
        """Wins may have been accepted before what they refer to was known."""
        return isinstance(self.step, Debit | SlipOpening) and self.step.kind == "BET"

    @property
    def settles(self) -> bool:
        return isinstance(self.step, Credit) and self.step.settles


@dataclass(frozen=True, slots=True)
class AnsweredRollback:
    """A rollback that was answered OK, whatever its outcome. The rest is there where it undid what changed a
    slip, or undid such a rollback: ``original`` is what it undid.
    """

    step: Rollback
    fingerprint: Fingerprint
    result: Result
    amount: int = 0
    currency: str = ""
    cash_change: int = 0
    receivable_change: int = 0
    held_change: int = 0
    slip_id: str = ""
    original_is_rollback: bool = False
    rolled_back_by: str = ""

    @property
    def live(self) -> bool:
        return not self.rolled_back_by


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
