"""What was acknowledged is in the ledger, once, as it was asked and answered; replays are first answers."""

from collections.abc import Iterator, Sequence

from tests.faults.books import Books, Entry, NamedLoss, amounts_of, minor_units, record_of
from tests.faults.checks.case import Breach, Case, Told, Violation
from tests.faults.history import Id
from tests.reference import Asked, Credit, Debit, Rollback, RoundClosing, SlipChange, SlipOpening


def check_once(case: Case) -> Iterator[Violation]:
    entries = case.books.by_id()
    for identity, found in entries.items():
        if len(found) > 1:
            yield Violation(Breach.DOUBLED, f"{identity} has {len(found)} entries")
    yield from _check_named(case.books)
    for identity, answers in case.told().items():
        yield from _check_kept(case, identity, answers, entries.get(identity, []))
    for identity, answers in case.told_and_kept().items():
        yield from _check_replays(identity, answers)
        for told in answers:
            yield from _check_entry(identity, told, entries.get(identity, []))


def _check_kept(
    case: Case, identity: Id, answers: Sequence[Told], entries: Sequence[Entry]
) -> Iterator[Violation]:
    """Whether the entries that answers named are there.

    A loss that was made on purpose is no breach if it was reported, or if the id took the same effect again.
    """
    there = {str(entry.place) for entry in entries}
    missing = {told.done.entry_id: told for told in answers if told.done.entry_id not in there}
    for entry_id, told in missing.items():
        if case.may_be_lost(told.attempt):
            again = any(_same_effect(told, entry) for entry in entries)
            named = NamedLoss(identity, record_of(entry_id)) in case.books.named_lost
            if not again and not named and not case.may_be_unreported(told.attempt):
                yield Violation(Breach.LOST, f"{identity}, answered as {entry_id}, and nobody says so")
        elif not entries:
            yield Violation(Breach.LOST, f"{identity}, answered as {entry_id}")


def _same_effect(told: Told, entry: Entry) -> bool:
    return entry.type == _expected_type(told) and describes(told.step, entry)


def _check_named(books: Books) -> Iterator[Violation]:
    kept = {NamedLoss(entry.id, entry.place.record) for entry in books.entries}
    for loss in books.named_lost & kept:
        yield Violation(Breach.NAMED_IN_VAIN, f"{loss.id}, record {loss.record}")


def _check_replays(identity: Id, answers: Sequence[Told]) -> Iterator[Violation]:
    fresh = [told for told in answers if not told.done.replayed]
    if len(fresh) > 1:
        yield Violation(Breach.DOUBLED, f"{identity} was answered as new {len(fresh)} times")
    first = answers[0]
    for told in answers[1:]:
        if _lasting(told) != _lasting(first):
            yield Violation(Breach.REPLAY_DIFFERS, f"{identity}: first {first.done}, then {told.done}")
            return


def _lasting(told: Told) -> tuple[object, ...]:
    done = told.done
    return _outcome(told), done.entry_id, done.after, done.late, done.receivable_change, done.booked_ns


def _outcome(told: Told) -> str:
    """A replayed rollback that moved money says that its original is rolled back already."""
    if isinstance(told.step, Rollback) and told.done.outcome == "APPLIED":
        return "ALREADY_ROLLED_BACK"
    return told.done.outcome


def _check_entry(identity: Id, told: Told, entries: Sequence[Entry]) -> Iterator[Violation]:
    for entry in entries:
        for difference in _differences(told, entry):
            yield Violation(Breach.ENTRY_DIFFERS, f"{identity}: {difference}")
        yield from _check_balance(identity, told, entry)


def _check_balance(identity: Id, told: Told, entry: Entry) -> Iterator[Violation]:
    shown = told.done.after
    if entry.version is None or entry.after is None:
        return
    if shown is None:
        yield Violation(Breach.WRONG_BALANCE, f"{identity} was answered without a balance")
    elif (shown.currency, shown.version, amounts_of(shown)) != (entry.currency, entry.version, entry.after):
        yield Violation(
            Breach.WRONG_BALANCE,
            f"{identity} was answered with {shown}, the ledger has version {entry.version} {entry.after}",
        )


def _differences(told: Told, entry: Entry) -> Iterator[str]:
    if told.done.entry_id != str(entry.place):
        yield f"answered as entry {told.done.entry_id}, in the ledger as {entry.place}"
    if entry.type != _expected_type(told):
        yield f"answered {told.done.outcome}, in the ledger {entry.type} {entry.refusal_reason}"
    if not describes(told.step, entry):
        yield f"asked {told.step}, in the ledger {entry}"
    if told.done.late != entry.late:
        yield f"late was {told.done.late}, in the ledger {entry.late}"


def _expected_type(told: Told) -> str:
    if isinstance(told.step, RoundClosing):
        return "round_closed"
    moved = told.done.outcome == "APPLIED" or (
        told.done.outcome == "ALREADY_ROLLED_BACK" and told.done.replayed and told.done.after is not None
    )
    return "applied" if moved else "no_movement"


def describes(step: Asked, entry: Entry) -> bool:
    """Whether the entry is of this step. A rollback's kind and amount are its original's."""
    if isinstance(step, Rollback):
        return (entry.operation, entry.reference) == ("rollback", step.original_transaction_id)
    if isinstance(step, RoundClosing):
        named = (step.round_id, step.game_id)
        return (entry.operation, entry.round, entry.game) == ("close_round", *named)
    if isinstance(step, SlipOpening):
        return (entry.operation, entry.kind, entry.currency, entry.amount, entry.game) == (
            step.operation.lower(),
            step.kind.lower(),
            step.money.currency,
            minor_units(step.money.amount, step.money.currency),
            step.game_id,
        )
    if isinstance(step, SlipChange):
        return _describes_change(step, entry)
    return (
        entry.operation,
        entry.kind,
        entry.currency,
        entry.amount,
        entry.game,
        entry.round,
        entry.reference,
        entry.closes_round,
    ) == (
        _operation(step),
        step.kind.lower(),
        step.money.currency,
        minor_units(step.money.amount, step.money.currency),
        step.game_id,
        step.round_id,
        step.reference_transaction_id,
        step.close_round,
    )


def _describes_change(step: SlipChange, entry: Entry) -> bool:
    """What a resettlement or "all of it" comes to depends on the slip."""
    same = (entry.operation, entry.reference) == (step.operation.lower(), step.slip_id)
    if step.money is None or step.operation == "RESETTLE":
        return same
    amount = minor_units(step.money.amount, step.money.currency)
    return same and (
        entry.type == "refused" or (entry.currency, entry.amount) == (step.money.currency, amount)
    )


def _operation(step: Debit | Credit) -> str:
    return "debit" if isinstance(step, Debit) else "credit"
