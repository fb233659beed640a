"""A rollback gives back exactly what was taken, once; what it forestalled or undid is never taken again."""

from collections.abc import Iterator

from tests.faults.books import Entry
from tests.faults.checks.case import Breach, Case, Violation
from tests.faults.history import Id
from tests.reference import Rollback

_UNDOES = frozenset({"APPLIED", "ALREADY_ROLLED_BACK", "NO_ORIGINAL"})


def check_rollbacks(case: Case) -> Iterator[Violation]:
    entries = case.books.by_id()
    undone: dict[Id, Entry] = {}
    for entry in case.books.entries:
        if entry.operation != "rollback" or entry.type != "applied":
            continue
        original = Id(entry.player, entry.source, entry.reference)
        if original in undone:
            yield Violation(
                Breach.DOUBLED, f"{original} was rolled back by {undone[original].id} and by {entry.id}"
            )
        undone[original] = entry
        _stand_again(entry, entries.get(original, []), undone)
        if not any(_is_inverse(entry, other) for other in entries.get(original, [])):
            yield Violation(
                Breach.ROLLBACK_INEXACT, f"{entry.id} moved {entry.change}: {entries.get(original, [])}"
            )
    yield from _check_late_settlements(case, undone)
    yield from _check_tombstones(case, entries)
    yield from _check_retries(case)


def _stand_again(rollback: Entry, originals: list[Entry], undone: dict[Id, Entry]) -> None:
    """What a rollback of a rollback had undone may be rolled back once more."""
    for original in originals:
        if original.operation == "rollback":
            undone.pop(Id(rollback.player, rollback.source, original.reference), None)


def _is_inverse(rollback: Entry, original: Entry) -> bool:
    return (
        original.type == "applied"
        and original.place < rollback.place
        and original.currency == rollback.currency
        and original.change == rollback.change.negated()
    )


def _check_late_settlements(case: Case, undone: dict[Id, Entry]) -> Iterator[Violation]:
    """A win that was cut off was decided before the rollback that the store took without knowing of it;
    booked again, it comes after.
    """
    for entry in case.books.entries:
        settles = entry.kind in {"win", "refund"} and entry.operation == "credit"
        if entry.type == "applied" and settles and entry.id not in case.books.booked_again:
            rollback = undone.get(Id(entry.player, entry.source, entry.reference))
            if rollback is not None and rollback.place < entry.place:
                yield Violation(
                    Breach.TOMBSTONE_VIOLATED, f"{entry.id} settles {entry.reference}, rolled back before"
                )


def _check_tombstones(case: Case, entries: dict[Id, list[Entry]]) -> Iterator[Violation]:
    told = case.told_and_kept()
    for identity, found in entries.items():
        if any(entry.type == "tombstone" for entry in found):
            if any(entry.type == "applied" for entry in found):
                yield Violation(Breach.TOMBSTONE_VIOLATED, f"{identity} is in the ledger as applied too")
            if identity in told:
                yield Violation(Breach.TOMBSTONE_VIOLATED, f"{identity} was answered OK")


def _check_retries(case: Case) -> Iterator[Violation]:
    """A call made after its rollback was answered can never be answered OK, unless it was undone."""
    told = case.told_and_kept()
    redone = {
        Id(entry.player, entry.source, entry.reference)
        for entry in case.books.entries
        if entry.operation == "rollback" and entry.type == "applied"
    }
    for identity, answers in told.items():
        for rollback in answers:
            if identity in redone:
                continue
            if not isinstance(rollback.step, Rollback) or rollback.done.outcome not in _UNDOES:
                continue
            original = Id(identity.player, identity.source, rollback.step.original_transaction_id)
            for late in told.get(original, []):
                if late.attempt.called_s > rollback.attempt.returned_s:
                    yield Violation(
                        Breach.TOMBSTONE_VIOLATED, f"{original} was answered OK after {identity} undid it"
                    )
