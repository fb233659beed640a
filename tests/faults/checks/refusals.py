"""Refusals are true and remembered, what was not done is not there, and what is there was asked for."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.answers import RefusedTransaction
from tests.faults.books import OPERATOR, Books, Entry, amounts_of, minor_units
from tests.faults.checks.case import Breach, Case, Violation
from tests.faults.checks.once import describes
from tests.faults.history import Attempt, Call, Id, NotAnswered
from tests.reference import Asked, Debit, Rollback, SlipOpening


def check_refusals(case: Case) -> Iterator[Violation]:
    entries, undone = case.books.by_id(), _undone(case.books)
    for attempt in case.history.attempts:
        answer = attempt.answer
        if isinstance(answer, NotAnswered) and answer.refusal is not None:
            identity = Id(attempt.call.player, attempt.call.source, answer.refusal.transaction_id)
            found = entries.get(identity, [])
            refused = _Refused(identity, attempt, answer, answer.refusal, found, undone=identity in undone)
            yield from refused.check(lost=case.may_be_lost(attempt))
    yield from _check_not_done(case, entries)
    yield from _check_asked_for(case)


def _undone(books: Books) -> set[Id]:
    return {
        Id(entry.player, entry.source, entry.reference)
        for entry in books.entries
        if entry.operation == "rollback" and entry.type == "applied"
    }


@dataclass(frozen=True, slots=True)
class _Refused:
    """One refusal, and what the ledger has under the id."""

    id: Id
    attempt: Attempt
    answer: NotAnswered
    refusal: RefusedTransaction
    found: Sequence[Entry]
    undone: bool

    def check(self, *, lost: bool) -> Iterator[Violation]:
        """``lost``: the store lost data after it said so, and may know better now."""
        if self.answer.reason == "INSUFFICIENT_FUNDS" and had_the_money(self.attempt.call, self.refusal):
            yield Violation(Breach.REFUSAL_WRONG, f"{self.id}: {self.refusal.balance} is enough")
        if lost:
            return
        if self.refusal.entry_id:
            yield from self._check_remembered()
        elif self.answer.reason == "TRANSACTION_ROLLED_BACK":
            forestalled = any(entry.type == "tombstone" for entry in self.found)
            if not self.undone and not forestalled and not self._rolled_back_in_the_call():
                yield Violation(Breach.REFUSAL_WRONG, f"{self.id} was never rolled back")
        elif self.answer.reason == "TRANSACTION_ID_CONFLICT":
            step = self.attempt.call.steps[self.refusal.step_index]
            if all(describes(step, entry) for entry in self.found):
                yield Violation(Breach.REFUSAL_WRONG, f"{self.id} has no other payload than {step}")

    def _rolled_back_in_the_call(self) -> bool:
        """Then the refusal undid the rollback too."""
        return any(
            isinstance(step, Rollback) and step.original_transaction_id == self.id.transaction_id
            for step in self.attempt.call.steps
        )

    def _check_remembered(self) -> Iterator[Violation]:
        there = [(str(entry.place), entry.refusal_reason) for entry in self.found]
        if (self.refusal.entry_id, self.answer.reason) in there:
            return
        moved = any(entry.type == "applied" for entry in self.found)
        yield Violation(
            Breach.REFUSED_MOVED if moved else Breach.REFUSAL_LOST,
            f"{self.id}, {self.answer.reason} as {self.refusal.entry_id}: in the ledger {list(self.found)}",
        )


def had_the_money(call: Call, refusal: RefusedTransaction) -> bool:
    """Whether the balance that was shown is certainly enough for the refused debit and the debits before it.

    Credits before it in the call count for nothing: they may be replays. Beside rollbacks nothing is certain,
    and a replay may be of an id that was only refused together with another.
    """
    steps = call.steps[: refusal.step_index + 1]
    balance = refusal.balance
    if balance is None or refusal.replayed or not isinstance(steps[-1], Debit | SlipOpening):
        return False
    if any(isinstance(step, Rollback) for step in steps):
        return False
    taken = sum(
        minor_units(step.money.amount, balance.currency)
        for step in steps
        if isinstance(step, Debit | SlipOpening) and step.money.currency == balance.currency
    )
    return amounts_of(balance).cash - taken >= -minor_units(balance.credit_line, balance.currency)


def _check_not_done(case: Case, entries: dict[Id, list[Entry]]) -> Iterator[Violation]:
    """Where no attempt can have done it but those that did nothing, it is not in the ledger.

    A rollback may have forestalled the id all the same.
    """
    for identity, attempts in case.history.by_id().items():
        if any(_may_have_done_it(identity, attempt) for attempt in attempts):
            continue
        for entry in entries.get(identity, []):
            if entry.type != "tombstone":
                yield Violation(Breach.NOT_DONE_MOVED, f"{identity}: {entry}")


def _may_have_done_it(identity: Id, attempt: Attempt) -> bool:
    """Whether it is not known that the attempt did nothing, and it was no replay."""
    answer = attempt.answer
    if isinstance(answer, NotAnswered):
        replayed = answer.refusal is not None and answer.refusal.replayed
        return not answer.nothing_was_done and not replayed
    return any(not done.replayed for step, done in attempt.results() if attempt.call.id_of(step) == identity)


def _check_asked_for(case: Case) -> Iterator[Violation]:
    asked: defaultdict[Id, list[Asked]] = defaultdict(list)
    held_for_a_while: set[Id] = set()
    forestalled: set[Id] = set()
    for call in case.history.calls():
        for step in call.steps:
            asked[call.id_of(step)].append(step)
            if isinstance(step, SlipOpening) and step.expires_s is not None:
                held_for_a_while.add(call.id_of(step))
            if isinstance(step, Rollback):
                forestalled.add(Id(call.player, call.source, step.original_transaction_id))
    for entry in case.books.entries:
        if entry.source == OPERATOR:
            continue
        if entry.type == "tombstone":
            if entry.id not in forestalled:
                yield Violation(Breach.NEVER_SENT, f"tombstone of {entry.id}")
        elif entry.operation == "expire":
            if Id(entry.player, entry.source, entry.reference) not in held_for_a_while:
                yield Violation(Breach.NEVER_SENT, f"{entry}")
        elif not any(describes(step, entry) for step in asked[entry.id]):
            yield Violation(Breach.NEVER_SENT, f"{entry}")
