"""Books an entry in the reference as it was answered before: only the wallet and the slip have to follow.

Rounds and counts of wins follow from entries.
"""

from collections.abc import Iterable
from dataclasses import replace

from tests.faults.books import Entry
from tests.faults.checks.once import describes
from tests.reference import (
    Asked,
    Credit,
    Debit,
    House,
    Refusal,
    Result,
    Rollback,
    RoundClosing,
    SlipChange,
    SlipOpening,
)
from tests.reference.closings import fingerprint_of
from tests.reference.draft import PricedStep
from tests.reference.player import Player, round_of
from tests.reference.records import AnsweredRollback, Applied, Closing, Record, Refused, RoundKey, Tombstone
from tests.reference.slip_steps import resolved
from tests.reference.slips import Slip


def book_again(house: House, player: Player, entry: Entry, asked: Iterable[Asked]) -> bool:
    """Whether the entry can be that of a step that was asked for; only then the player has it."""
    known = (entry.source, entry.transaction_id) in player.records
    record = None if known else _record(house, player, entry, asked)
    if record is None:
        return False
    player.records[entry.source, entry.transaction_id] = record
    return True


def _record(house: House, player: Player, entry: Entry, asked: Iterable[Asked]) -> Record | None:
    if entry.type == "tombstone":
        return Tombstone(entry.related)
    step = next((step for step in asked if describes(step, entry)), None)
    if step is None:
        return None
    if isinstance(step, RoundClosing):
        player.closed_rounds.add((entry.source, (step.game_id, step.round_id)))
        return Closing(fingerprint_of(step.round_id, step.game_id), entry.outcome.upper())
    return _decided(player, entry, house.price(step))


def _decided(player: Player, entry: Entry, priced: PricedStep) -> Record | None:
    step = priced.step
    if entry.type == "refused":
        refusal = Refusal(entry.refusal_reason, entry.transaction_id, 0, remembered=True)
        return Refused(step, priced.fingerprint, refusal)
    if entry.type == "applied":
        return _moved(player, entry, priced)
    if isinstance(step, Rollback):
        result = Result(entry.transaction_id, entry.outcome.upper(), moved=False)
        return AnsweredRollback(step, priced.fingerprint, result)
    return None


def _moved(player: Player, entry: Entry, priced: PricedStep) -> Applied | AnsweredRollback | None:
    wallet, after = player.wallets[entry.currency], entry.after
    moved = replace(
        wallet,
        version=wallet.version + 1,
        cash=wallet.cash + entry.change.cash,
        held=wallet.held + entry.change.held,
        receivable=wallet.receivable + entry.change.receivable,
    )
    if after is None or (moved.version, moved.cash, moved.held, moved.receivable) != (
        entry.version,
        after.cash,
        after.held,
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
    step = priced.step
    if isinstance(step, Rollback):
        return _undone(player, entry, step, priced, result)
    slip_id = ""
    if isinstance(step, SlipOpening | SlipChange):
        slip = _changed_slip(player, entry, step, priced)
        if slip is None:
            return None
        slip_id = slip.slip_id
        player.slips[entry.source, slip_id] = slip
    return Applied(
        step,
        priced.fingerprint,
        entry.amount or 0,
        entry.change.cash,
        entry.change.receivable,
        _round(player, entry.source, step) if isinstance(step, Debit | Credit) else None,
        result,
        kind=entry.kind.upper(),
        currency=entry.currency,
        held_change=entry.change.held,
        slip_id=slip_id,
    )


def _changed_slip(
    player: Player, entry: Entry, step: SlipOpening | SlipChange, priced: PricedStep
) -> Slip | None:
    if isinstance(step, SlipOpening):
        return Slip(step, priced.amount or 0)
    slip = player.slips.get((entry.source, step.slip_id))
    return slip and slip.with_change(resolved(slip, step, priced))


def _undone(
    player: Player, entry: Entry, step: Rollback, priced: PricedStep, result: Result
) -> AnsweredRollback | None:
    answered = AnsweredRollback(step, priced.fingerprint, result)
    place = entry.source, step.original_transaction_id
    original = player.records.get(place)
    if not isinstance(original, Applied | AnsweredRollback):
        return None if entry.slip else answered
    player.records[place] = replace(original, rolled_back_by=step.transaction_id)
    if not entry.slip:
        return answered
    slip = player.slips[entry.source, original.slip_id]
    if isinstance(original, AnsweredRollback):
        redone_place = entry.source, original.step.original_transaction_id
        redone = player.records[redone_place]
        assert isinstance(redone, Applied)
        player.records[redone_place] = replace(redone, rolled_back_by="")
        slip = slip.with_undone_change()
    else:
        slip = slip.without(step.original_transaction_id, step.transaction_id)
    player.slips[entry.source, slip.slip_id] = slip
    return replace(
        answered,
        amount=original.amount,
        currency=original.currency,
        cash_change=entry.change.cash,
        receivable_change=entry.change.receivable,
        held_change=entry.change.held,
        slip_id=slip.slip_id,
        original_is_rollback=isinstance(original, AnsweredRollback),
    )


def _round(player: Player, source: str, step: Debit | Credit) -> RoundKey | None:
    """The round that it belongs to, which it may close."""
    named = round_of(step.round_id, step.game_id)
    if isinstance(step, Credit) and step.settles and step.reference_transaction_id:
        bet = player.records.get((source, step.reference_transaction_id))
        named = (bet.round if isinstance(bet, Applied) else None) or named
    if step.close_round and named is not None:
        player.closed_rounds.add((source, named))
    return named
