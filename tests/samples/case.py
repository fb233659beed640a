"""How a case is written down, and how an answer is held against it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.answers import Done, RefusedTransaction
from tests.reference import Policies, Step


@dataclass(frozen=True, slots=True)
class Ok:
    """An expected result; what is None is not looked at. ``after`` and ``now`` are cash."""

    outcome: str = "APPLIED"
    replayed: bool = False
    after: str | None = None
    now: str | None = None
    late: bool = False
    receivable_change: str = ""
    version: int | None = None

    def differences(self, done: Done) -> Iterator[str]:
        yield from _difference("outcome", self.outcome, done.outcome)
        yield from _difference("replayed", self.replayed, done.replayed)
        yield from _difference("late", self.late, done.late)
        yield from _difference("receivable_change", self.receivable_change, done.receivable_change)
        yield from _difference("after", self.after, done.after and done.after.cash)
        yield from _difference("now", self.now, done.now and done.now.cash)
        yield from _difference("version", self.version, done.after and done.after.version)


@dataclass(frozen=True, slots=True)
class No:
    """An expected refusal of a transaction."""

    reason: str
    replayed: bool = False
    cash: str | None = None
    step: int = 0

    def differences(self, reason: str, refusal: RefusedTransaction) -> Iterator[str]:
        yield from _difference("reason", self.reason, reason)
        yield from _difference("replayed", self.replayed, refusal.replayed)
        yield from _difference("step", self.step, refusal.step_index)
        yield from _difference("cash", self.cash, refusal.balance and refusal.balance.cash)


@dataclass(frozen=True, slots=True)
class SetStatus:
    """An operator sets the status of the EUR wallet."""

    status: str


Call = tuple[Sequence[Step], Sequence[Ok] | No]


@dataclass(frozen=True, slots=True)
class Case:
    """The player begins with ``start`` in an EUR wallet at version 2: opened, and one deposit.

    ``cash`` and ``receivable`` are those of the EUR wallet in the end, ``version`` too where given.
    """

    name: str
    calls: Sequence[Call | SetStatus]
    cash: str
    receivable: str = "0.00"
    version: int | None = None
    start: str = "100"
    credit_line: str = ""
    policies: Policies = field(default_factory=Policies)


def one(step: Step, expected: Ok | No | None = None) -> Call:
    """A call of one step, applied unless something else is expected."""
    return [step], expected if isinstance(expected, No) else [expected or Ok()]


def again(outcome: str = "APPLIED", *, after: str | None = None, now: str | None = None) -> Ok:
    """An expected replay."""
    return Ok(outcome, replayed=True, after=after, now=now)


def _difference(name: str, expected: object, actual: object) -> Iterator[str]:
    if expected is not None and expected != actual:
        yield f"{name} is {actual!r} instead of {expected!r}"
