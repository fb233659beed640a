"""What is checked: a history, the books in the end, and what was broken on purpose meanwhile."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tests.answers import Done
from tests.faults.books import Books
from tests.faults.history import Attempt, History, Id
from tests.reference import Asked

REPORTED_WITHIN_S = 15.0
"""How long after a loss a server has to report what it had answered."""


class Breach(StrEnum):
    """How a promise is broken."""

    LOST = "acknowledged, and not in the ledger"
    DOUBLED = "took effect twice"
    ENTRY_DIFFERS = "the ledger's entry is not what was asked and answered"
    WRONG_BALANCE = "a balance is not what the ledger's entries come to"
    VERSION_GAP = "a wallet's versions have a gap"
    ORDER_INVERTED = "a later call saw an earlier wallet"
    REPLAY_DIFFERS = "a replay is not the first answer again"
    REFUSED_MOVED = "refused, and yet it moved money"
    NOT_DONE_MOVED = "nothing was done, it was said, and yet it is in the ledger"
    REFUSAL_WRONG = "refused without reason"
    REFUSAL_LOST = "refused for good, and the ledger does not know"
    NEVER_SENT = "in the ledger, and nobody asked for it"
    ROLLBACK_INEXACT = "a rollback did not give back what was taken"
    TOMBSTONE_VIOLATED = "rolled back, and yet it was taken afterwards"
    RULES = "the ledger's order of calls cannot come to these answers by the rules"
    HELD_DIFFERS = "what a wallet holds is not what its slips hold"
    SLIP_UNBALANCED = "what a slip says was staked and paid is not what was moved"
    EXPIRED_WRONGLY = "given back as expired before its time, or when nothing was held"
    NOT_EXPIRED = "held, and its time has long been over"
    HOT_DIFFERS = "a hot wallet is not what the ledger says"
    NAMED_IN_VAIN = "reported as lost, and it is there"
    AUDIT = "the service's own audit finds something"
    STUCK = "something did not come to an end"
    UNCHECKED = "the check itself failed"


@dataclass(frozen=True, slots=True)
class Violation:
    breach: Breach
    what: str

    def __str__(self) -> str:
        return f"{self.breach.name} ({self.breach}): {self.what}"


class Loss(NamedTuple):
    """A time during which the store was made to lose what it had on disk."""

    began_s: float
    ended_s: float


class Death(NamedTuple):
    """A server was killed, and with it its memory of what it had answered."""

    server: int
    moment_s: float


class Told(NamedTuple):
    """One OK answer for one step."""

    attempt: Attempt
    step: Asked
    done: Done


@dataclass(frozen=True, slots=True)
class Case:
    """``losses`` are empty where durability was never broken on purpose: then nothing may be missing.

    ``deaths`` are of servers, by their numbers.
    """

    history: History
    books: Books
    losses: Sequence[Loss] = ()
    deaths: Sequence[Death] = ()

    def may_be_unreported(self, attempt: Attempt) -> bool:
        """Whether the server that answered died before it could be expected to have reported a loss.

        What a server has answered stands nowhere but in the store and in its own memory: when both go within
        seconds, nobody is left to report it.
        """
        reported_s = max((loss.ended_s for loss in self.losses), default=0.0) + REPORTED_WITHIN_S
        return any(
            death.server == attempt.server and attempt.returned_s < death.moment_s < reported_s
            for death in self.deaths
        )

    def may_be_lost(self, attempt: Attempt) -> bool:
        """Whether the store lost data after it may have answered this."""
        return any(attempt.called_s < loss.ended_s for loss in self.losses)

    def told(self) -> dict[Id, list[Told]]:
        """For each acknowledged id all OK answers, in the order in which they came."""
        found: defaultdict[Id, list[Told]] = defaultdict(list)
        for attempt in self.history.attempts:
            for step, done in attempt.results():
                found[attempt.call.id_of(step)].append(Told(attempt, step, done))
        return dict(found)

    def told_and_kept(self) -> dict[Id, list[Told]]:
        """The same without answers of a life of the store that ended with a loss."""
        if not self.losses:
            return self.told()
        kept_entries = {str(entry.place) for entry in self.books.entries}
        kept = {
            identity: [told for told in answers if told.done.entry_id in kept_entries]
            for identity, answers in self.told().items()
        }
        return {identity: answers for identity, answers in kept.items() if answers}
