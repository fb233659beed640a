"""Books an entry in the reference as it was answered before: only the wallet has to follow.

Rounds and counts of wins follow from entries.
"""

from collections.abc import Iterable
from dataclasses import replace

from tests.faults.books import Entry, minor_units
from tests.faults.checks.once import describes
from tests.reference import Credit, Debit, Refusal, Result, Rollback, Step
from tests.reference.player import Player, round_of
from tests.reference.records import (
    AnsweredRollback,
    Applied,
    Fingerprint,
    Record,
    Refused,
    RoundKey,
    Tombstone,
)


def book_again(player: Player, entry: Entry, asked: Iterable[Step]) -> bool:
    """Whether the entry can be that of a step that was asked for; only then the player has it."""
    known = (entry.source, entry.transaction_id) in player.records
    record = None if known else _record(player, entry, asked)
    if record is None:
        return False
    player.records[entry.source, entry.transaction_id] = record
    return True


def _record(player: Player, entry: Entry, asked: Iterable[Step]) -> Record | None:
    if entry.type == "tombstone":
        return Tombstone(entry.related)
    step = next((step for step in asked if describes(step, entry)), None)
    if step is None:
        return None
    if entry.type == "refused":
        refusal = Refusal(entry.refusal_reason, entry.transaction_id, 0, remembered=True)
        return Refused(step, _fingerprint(step), refusal)
    if entry.type == "applied":
        return _moved(player, entry, step)
    if isinstance(step, Rollback):
        result = Result(entry.transaction_id, entry.outcome.upper(), moved=False)
        return AnsweredRollback(step, _fingerprint(step), result)
    return None


def _moved(player: Player, entry: Entry, step: Step) -> Applied | AnsweredRollback | None:
    wallet, after = player.wallets[entry.currency], entry.after
    moved = replace(
        wallet,
        version=wallet.version + 1,
        cash=wallet.cash + entry.change.cash,
        receivable=wallet.receivable + entry.change.receivable,
    )
    if after is None or (moved.version, moved.cash, moved.receivable) != (
        entry.version,
        after.cash,
        after.receivable,
    ):
        return None
    player.wallets[entry.currency] = moved
    result = Result(
        entry.transaction_id,
        "APPLIED",
        moved=True,
        balance_after=moved,
        late=entry.late,
        receivable_change=entry.change.receivable,
    )
    if isinstance(step, Rollback):
        original = player.records.get((entry.source, step.original_transaction_id))
        if isinstance(original, Applied):
            undone = replace(original, rolled_back_by=step.transaction_id)
            player.records[entry.source, step.original_transaction_id] = undone
        return AnsweredRollback(step, _fingerprint(step), result)
    round_key = _round(player, entry.source, step)
    if step.close_round and round_key is not None:
        player.closed_rounds.add((entry.source, round_key))
    return Applied(
        step,
        _fingerprint(step),
        entry.amount or 0,
        entry.change.cash,
        entry.change.receivable,
        round_key,
        result,
    )


def _round(player: Player, source: str, step: Debit | Credit) -> RoundKey | None:
    named = round_of(step.round_id, step.game_id)
    if isinstance(step, Credit) and step.settles and step.reference_transaction_id:
        bet = player.records.get((source, step.reference_transaction_id))
        return (bet.round if isinstance(bet, Applied) else None) or named
    return named


def _fingerprint(step: Step) -> Fingerprint:
    if isinstance(step, Rollback):
        operation, kind, reference = "ROLLBACK", "ROLLBACK", step.original_transaction_id
    else:
        operation, kind = "DEBIT" if isinstance(step, Debit) else "CREDIT", step.kind
        reference = step.reference_transaction_id
    currency = step.money.currency if step.money else ""
    amount = minor_units(step.money.amount, currency) if step.money else None
    return operation, kind, currency, amount, step.round_id, step.game_id, reference
