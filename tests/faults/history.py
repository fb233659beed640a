"""What callers asked and what they were told, and when: all that the checker believes.

A run's history is also written as JSON lines, so that it can be checked again.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.answers import Balance, Done, RefusedTransaction, ShownSlip
from tests.reference import Asked, Credit, Debit, Money, Rollback, RoundClosing, SlipChange, SlipOpening

NOTHING_WAS_DONE = frozenset(
    {"STORE_UNAVAILABLE", "PARTITION_FENCED", "LEDGER_UNAVAILABLE", "OVERLOADED", "DEADLINE_EXCEEDED"}
)
"""Reasons with which the service says that it did nothing; a deadline that only the caller saw has none."""
UNKNOWN_CODES = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"}
)
"""With these the same id asks again."""
NOT_REMEMBERED = frozenset({"WALLET_NOT_FOUND", "REFERENCE_NOT_FOUND", "VERSION_MISMATCH", "SLIP_NOT_PLACED"})
"""Refused for now: an earlier attempt that is still on its way may yet be taken."""


class Id(NamedTuple):
    """What a transaction id is unique in."""

    player: str
    source: str
    transaction_id: str

    def __str__(self) -> str:
        return f"{self.player}/{self.source}/{self.transaction_id}"


@dataclass(frozen=True, slots=True)
class Call:
    """A request, the same for all its attempts. ``number`` is its own in a run."""

    number: int
    source: str
    player: str
    steps: tuple[Asked, ...]

    def id_of(self, step: Asked) -> Id:
        return Id(self.player, self.source, step.transaction_id)


@dataclass(frozen=True, slots=True)
class Answered:
    """OK: one result for each step."""

    results: tuple[Done, ...]


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """Any other answer, or none. ``refusal`` is there where a transaction was refused."""

    code: str
    reason: str = ""
    refusal: RefusedTransaction | None = None

    @property
    def unknown(self) -> bool:
        """Whether the caller has to ask again."""
        return self.code in UNKNOWN_CODES

    @property
    def nothing_was_done(self) -> bool:
        """Whether the service says that this attempt did nothing, and never will."""
        return self.unknown and self.reason in NOTHING_WAS_DONE


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a call, to one of the servers. Times are of this machine's monotonic clock."""

    call: Call
    server: int
    called_s: float
    returned_s: float
    answer: Answered | NotAnswered

    @property
    def certain(self) -> bool:
        """Whether the caller knows what became of the call."""
        return isinstance(self.answer, Answered) or not self.answer.unknown

    def results(self) -> Iterator[tuple[Asked, Done]]:
        """Each step with its result; none where the answer was another than OK."""
        if isinstance(self.answer, Answered):
            yield from zip(self.call.steps, self.answer.results, strict=True)


@dataclass(slots=True)
class History:
    """All attempts in the order in which they returned."""

    attempts: list[Attempt] = field(default_factory=list)
    file: IO[str] | None = None

    def add(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        if self.file is not None:
            self.file.write(json.dumps(asdict(attempt), separators=(",", ":")) + "\n")

    def calls(self) -> Iterator[Call]:
        """Each call once, as it was first sent."""
        yield from {attempt.call.number: attempt.call for attempt in self.attempts}.values()

    def by_id(self) -> dict[Id, list[Attempt]]:
        """For each id the attempts of all calls that carry it, in the order in which they were made."""
        found: defaultdict[Id, list[Attempt]] = defaultdict(list)
        for attempt in sorted(self.attempts, key=lambda attempt: attempt.called_s):
            for identity in {attempt.call.id_of(step) for step in attempt.call.steps}:
                found[identity].append(attempt)
        return dict(found)

    def unknown_calls(self) -> list[Call]:
        """Calls of which nobody was ever told what became of them."""
        certain = {attempt.call.number for attempt in self.attempts if attempt.certain}
        return [call for call in self.calls() if call.number not in certain]


def read_history(path: Path) -> History:
    with path.open() as lines:
        return History([_attempt(json.loads(line)) for line in lines])


def _attempt(told: dict[str, Any]) -> Attempt:
    call, answer = told["call"], told["answer"]
    return Attempt(
        Call(call["number"], call["source"], call["player"], tuple(_steps(call["steps"]))),
        told["server"],
        told["called_s"],
        told["returned_s"],
        Answered(tuple(map(_done, answer["results"]))) if "results" in answer else _not_answered(answer),
    )


def _steps(told: Iterable[dict[str, Any]]) -> Iterator[Asked]:
    for step in told:
        if "money" not in step:
            yield RoundClosing(**step)
            continue
        fields = {**step, "money": Money(**step["money"]) if step["money"] else None}
        if "original_transaction_id" in step:
            yield Rollback(**fields)
        elif "expires_s" in step:
            yield SlipOpening(**fields)
        elif "slip_id" in step:
            stake = step["stake"]
            yield SlipChange(**{**fields, "stake": Money(**stake) if stake else None})
        else:
            yield (Debit if step["kind"] in _DEBITS else Credit)(**fields)


_DEBITS = frozenset({"BET", "TIP", "WITHDRAWAL"})
"""Corrections go both ways, so players make none."""


def _done(told: dict[str, Any]) -> Done:
    slip = ShownSlip(**told["slip"]) if told["slip"] else None
    return Done(**{**told, "after": _balance(told["after"]), "now": _balance(told["now"]), "slip": slip})


def _not_answered(told: dict[str, Any]) -> NotAnswered:
    refusal = told["refusal"]
    return NotAnswered(
        told["code"],
        told["reason"],
        refusal and RefusedTransaction(**{**refusal, "balance": _balance(refusal["balance"])}),
    )


def _balance(told: dict[str, Any] | None) -> Balance | None:
    return None if told is None else Balance(**told)
