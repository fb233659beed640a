"""Slips as a list of what was done on them and stands: everything else about a slip is told by that list.

A rollback takes the newest change off the list, and can be undone itself for as long as it is the newest
thing that happened; a new change ends that. Amounts are minor units.
"""

from dataclasses import dataclass, replace

from tests.reference.steps import SlipOpening

OF_HOLDS = frozenset({"CAPTURE", "RELEASE", "EXPIRE"})
_NEEDS = {
    "CAPTURE": "HELD",
    "RELEASE": "HELD",
    "EXPIRE": "HELD",
    "SETTLE": "OPEN",
    "VOID": "OPEN",
    "CASH_OUT": "OPEN",
    "RESETTLE": "SETTLED",
    "UNSETTLE": "SETTLED",
    "REOPEN": "VOIDED",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing done on a slip. ``amount`` and ``stake`` are resolved: what "all of it" came to."""

    transaction_id: str
    operation: str
    amount: int = 0
    stake: int = 0
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """A change that was rolled back, and by what."""

    change: Change
    rollback_id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a slip stands."""

    state: str
    held: int = 0
    staked: int = 0
    live: int = 0
    paid: int = 0
    cashed: int = 0


@dataclass(frozen=True, slots=True)
class ShownSlip:
    """A slip as callers are told of it."""

    slip_id: str
    currency: str
    version: int
    standing: Standing
    expires_s: int | None
    last: str
    undone_by: str


@dataclass(frozen=True, slots=True)
class Slip:
    """``undone`` are the rollbacks that can still be undone, the newest last."""

    opening: SlipOpening
    amount: int
    changes: tuple[Change, ...] = ()
    undone: tuple[Undone, ...] = ()
    version: int = 1
    cancelled_by: str = ""

    @property
    def slip_id(self) -> str:
        return self.opening.transaction_id

    @property
    def is_bet(self) -> bool:
        return self.opening.kind == "BET"

    @property
    def last(self) -> str:
        """The newest transaction that stands."""
        return self.changes[-1].transaction_id if self.changes else self.slip_id

    @property
    def standing(self) -> Standing:
        if self.cancelled_by:
            return Standing("CANCELLED")
        holds = self.opening.operation == "HOLD"
        standing = Standing(
            "HELD" if holds else "OPEN",
            held=self.amount if holds else 0,
            staked=0 if holds else self.amount,
            live=0 if holds else self.amount,
        )
        for change in self.changes:
            standing = _after(standing, change, is_bet=self.is_bet)
        return standing

    @property
    def shown(self) -> ShownSlip:
        return ShownSlip(
            slip_id=self.slip_id,
            currency=self.opening.money.currency,
            version=self.version,
            standing=self.standing,
            expires_s=self.opening.expires_s,
            last=self.last,
            undone_by=self.cancelled_by or (self.undone[-1].rollback_id if self.undone else ""),
        )

    def is_due(self, now_s: float) -> bool:
        return self.opening.expires_s is not None and now_s >= self.opening.expires_s

    def with_change(self, change: Change) -> "Slip":
        return replace(self, changes=(*self.changes, change), undone=(), version=self.version + 1)

    def without(self, transaction_id: str, rollback_id: str) -> "Slip":
        """After the rollback of the newest change, or of what opened it."""
        if transaction_id == self.slip_id:
            return replace(self, cancelled_by=rollback_id, undone=(), version=self.version + 1)
        gone = Undone(self.changes[-1], rollback_id)
        return replace(self, changes=self.changes[:-1], undone=(*self.undone, gone), version=self.version + 1)

    def with_undone_change(self) -> "Slip":
        """After the rollback of the newest rollback."""
        back = self.undone[-1].change
        return replace(self, changes=(*self.changes, back), undone=self.undone[:-1], version=self.version + 1)


def _after(slip: Standing, change: Change, *, is_bet: bool) -> Standing:
    if change.operation in OF_HOLDS:
        return _after_hold(slip, change, is_bet=is_bet)
    live = slip.live - change.stake
    paid, cashed = slip.paid + change.amount, slip.cashed + change.amount
    return {
        "SETTLE": replace(slip, paid=paid, state="SETTLED" if change.is_last else slip.state),
        "RESETTLE": replace(slip, paid=change.amount),
        "UNSETTLE": replace(slip, paid=0, state="OPEN"),
        "VOID": replace(slip, state="VOIDED"),
        "REOPEN": replace(slip, state="OPEN"),
        "CASH_OUT": replace(slip, live=live, cashed=cashed, state=slip.state if live else "CASHED_OUT"),
    }[change.operation]


def _after_hold(slip: Standing, change: Change, *, is_bet: bool) -> Standing:
    taken = change.amount if change.operation == "CAPTURE" else 0
    slip = replace(slip, held=slip.held - change.amount, staked=slip.staked + taken, live=slip.live + taken)
    if slip.held and not change.is_last:
        return slip
    if slip.staked:
        return replace(slip, held=0, state="OPEN" if is_bet else "CAPTURED")
    return replace(slip, held=0, state="EXPIRED" if change.operation == "EXPIRE" else "RELEASED")


def why_not(slip: Slip, operation: str, amount: int | None, stake: int | None, *, due: bool) -> str:
    """The reason for which a slip does not allow this now; empty where it does."""
    standing = slip.standing
    if standing.state != _NEEDS[operation]:
        return _misplaced(standing.state, operation)
    obstacles = {
        "HOLD_EXPIRED": operation == "CAPTURE" and due,
        "HOLD_NOT_DUE": operation == "EXPIRE" and not due,
        "HOLD_EXCEEDED": operation in OF_HOLDS and (amount or 0) > standing.held,
        "SLIP_SETTLED": operation == "VOID" and standing.paid > 0,
        "STAKE_EXCEEDED": operation == "CASH_OUT" and (stake or 0) > standing.live,
    }
    return next((reason for reason, stands_in_the_way in obstacles.items() if stands_in_the_way), "")


def _misplaced(state: str, operation: str) -> str:
    if operation == "EXPIRE":
        return "HOLD_NOT_DUE"
    ends = {"HELD": "SLIP_NOT_PLACED", "RELEASED": "HOLD_RELEASED", "EXPIRED": "HOLD_EXPIRED"}
    if state in ends:
        return ends[state]
    if operation in OF_HOLDS:
        return "HOLD_CLOSED"
    if operation == "REOPEN":
        return "SLIP_NOT_VOIDED"
    over = {"SETTLED": "SLIP_SETTLED", "VOIDED": "SLIP_VOIDED", "CASHED_OUT": "SLIP_CASHED_OUT"}
    return over.get(state, "SLIP_NOT_SETTLED")


@dataclass(frozen=True, slots=True)
class Movement:
    """What a change asks of the wallet. ``given`` is below zero where it is taken back; ``freed`` comes from
    what is held, and ``held`` is how much less that is. ``amount`` is what the transaction is recorded with.
    """

    amount: int
    given: int = 0
    freed: int = 0
    held: int = 0


def movement(before: Standing, after: Standing, change: Change) -> Movement:
    """Of a change that is allowed."""
    if change.operation in OF_HOLDS:
        held = before.held - after.held
        taken = change.amount if change.operation == "CAPTURE" else 0
        return Movement(change.amount, freed=held - taken, held=held)
    given = {
        "VOID": before.live,
        "REOPEN": -before.live,
        "CASH_OUT": change.amount,
    }.get(change.operation, after.paid - before.paid)
    return Movement(abs(given), given=given)
