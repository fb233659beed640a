"""What to do with a store that a partition is found in. Pure: nothing is read or written here.

A store goes on as it is only where it is the very one that was taken over last and has all that the ledger
has. Otherwise it is taken over: the partition gets a new epoch, which follows the last record that counts,
and scripts that mean an earlier epoch find themselves fenced. Where the store lost something, what it still
remembers of players is not used any more (a new generation): they are loaded from the ledger again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from persistence.epochs import EpochHistory, EpochStart
from persistence.transactions import OutboxPosition
from persistence.witness import CLOSED, Witness, shown

OpeningState = Literal["new", "opening", "open"]
RecoveryMode = Literal["automatic", "manual"]
"""Whether a store that is not the one is taken over at once, or by a person."""

FIRST_EPOCH = 1
BEFORE_ALL = OutboxPosition(0, -1)
_NOT_TO_THE_END = "the store was not taken over to the end"
_NOTHING_DRAINED = OutboxPosition(FIRST_EPOCH, -1)


@dataclass(frozen=True, slots=True)
class LedgerEpoch:
    """A time between two adoptions. ``follows`` is the last record before its first."""

    epoch: int
    follows: OutboxPosition
    generation: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class LedgerPartition:
    """A partition as the ledger knows it. ``epochs`` are all that it had, in order."""

    partition: int
    epoch: int
    state: OpeningState
    cursor: OutboxPosition
    epochs: Sequence[LedgerEpoch]

    @property
    def was_never_open(self) -> bool:
        """Whether nobody ever served it: no store has anything of it that could be lost."""
        return self.state != "open" and self.epoch == FIRST_EPOCH

    def witness(self, ledger_id: UUID) -> Witness | None:
        """What its store must say; None where it was never taken over."""
        if not self.epochs or self.epochs[-1].epoch != self.epoch:
            return None
        newest = self.epochs[-1]
        return Witness(newest.epoch, ledger_id, newest.generation, newest.incarnation)

    def last_that_counts(self, last: OutboxPosition) -> OutboxPosition:
        """The last record that is part of the partition's history, in a store whose newest is ``last``."""
        return min(last, *(epoch.follows for epoch in self.epochs if epoch.epoch > last.epoch), last)


@dataclass(frozen=True, slots=True)
class FoundStore:
    """The store of a partition. ``last`` is the newest record ever written there; None: there was none.
    ``first`` is the oldest that still stands in the outbox; None: it is empty.

    A witness that is closed is that of a store that somebody began to take over.
    """

    witness: str | None
    last: OutboxPosition | None
    incarnation: str
    first: OutboxPosition | None


@dataclass(frozen=True, slots=True)
class Keep:
    """The store is the one, and complete."""

    witness: Witness


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The store becomes the one, in a new epoch. ``lost`` says what is missing in it, "" for nothing."""

    witness: Witness
    follows: OutboxPosition
    reason: str
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing may be decided on this store. A person has to look, unless it ``passes`` with time.

    ``is_ledger_older``: the store has seen more of this ledger than the ledger has now, so one of them is an
    old copy. Whoever knows that it is the ledger, restored from a backup, may say so (restored_ledger.py).
    """

    why: str
    passes: bool = False
    is_ledger_older: bool = False


def plan_adoption(
    partition: LedgerPartition,
    found: FoundStore,
    ledger_id: UUID,
    *,
    drained_since: OutboxPosition | None = None,
) -> Keep | TakeOver | Refuse:
    """What to do with what was found where the partition should be.

    The outbox is cut behind the cursor while somebody drains. So where the ledger seems to lack what was cut
    off, ask again with the cursor as it is after the store was looked at, ``drained_since``.
    """
    if partition.state == "new":
        return _plan_opening(found, ledger_id)
    if found.witness is None:
        return _plan_empty(partition, found, ledger_id)
    try:
        witness = Witness.parse(found.witness.removesuffix(CLOSED))
    except ValueError:
        return Refuse(
            f"the ledger is in epoch {partition.epoch}, but the store has {shown(found.witness)!r} where an "
            "epoch and a ledger should be named"
        )
    if witness.ledger_id != ledger_id:
        return Refuse(f"the ledger is {ledger_id}, but the store is of another ledger, {witness.ledger_id}")
    if witness.epoch > partition.epoch:
        return Refuse(
            f"the store is in epoch {witness.epoch}, but the ledger in epoch {partition.epoch}: it may be an "
            "old copy",
            is_ledger_older=True,
        )
    older = _older_ledger(partition, found, witness, drained_since or partition.cursor)
    return Refuse(older, is_ledger_older=True) if older else _plan_known(partition, found, witness)


def plan_following_restored(partition: LedgerPartition, witness: Witness, incarnation: str) -> TakeOver:
    """The partition goes on after the cursor of a ledger that was restored from a backup, on the store that
    was the newer ledger's. Its epoch is one that neither of the two ever had.
    """
    epoch = max(partition.epoch, witness.epoch) + 1
    why = "the ledger was restored from a backup that is older than the store"
    return TakeOver(Witness(epoch, witness.ledger_id, epoch, incarnation), partition.cursor, why, lost=why)


def plan_abandoning(partition: LedgerPartition, witness: Witness, why: str) -> TakeOver:
    """The partition goes on after its cursor, whatever waits in the store, which is to have the witness."""
    epoch = partition.epoch + 1
    return TakeOver(
        Witness(epoch, witness.ledger_id, epoch, witness.incarnation), partition.cursor, why, lost=why
    )


def _older_ledger(
    partition: LedgerPartition, found: FoundStore, witness: Witness, drained: OutboxPosition
) -> str:
    """How the store shows that the ledger once was newer than it is now; "" where it does not."""
    started = next((known for known in partition.epochs if known.epoch == witness.epoch), None)
    if started is not None and started.incarnation != witness.incarnation:
        return (
            f"the store was taken over in an epoch {witness.epoch} that is another one than the ledger's: "
            "one of them may be an old copy"
        )
    counted = None if found.last is None else partition.last_that_counts(found.last)
    if counted is None or counted <= drained:
        return ""
    starts = {known.epoch: EpochStart(known.epoch, known.follows) for known in partition.epochs}
    following = EpochHistory(partition.epoch, starts).next_after(drained)
    if following is None or (found.first is not None and found.first <= following):
        return ""
    kept = f"{found.first} on" if found.first is not None and found.first <= counted else "nothing"
    return (
        f"the ledger has everything up to {drained}, but the store wrote up to {counted} and keeps {kept}: "
        "what is between was drained once, so the ledger may have been restored from a backup"
    )


def _plan_opening(found: FoundStore, ledger_id: UUID) -> TakeOver | Refuse:
    if found.witness is not None or found.last is not None:
        return Refuse("the ledger is new, but the store has data already, of another ledger")
    witness = Witness(FIRST_EPOCH, ledger_id, FIRST_EPOCH, found.incarnation)
    return TakeOver(witness, BEFORE_ALL, "opened")


def _plan_empty(partition: LedgerPartition, found: FoundStore, ledger_id: UUID) -> TakeOver | Refuse:
    if found.last is not None:
        return Refuse("the store has records, but does not say of which ledger")
    epoch = partition.epoch + 1
    witness = Witness(epoch, ledger_id, epoch, found.incarnation)
    lost = "the store is empty" if partition.state == "open" else ""
    return TakeOver(witness, partition.cursor, lost or "opened", lost)


def _plan_known(partition: LedgerPartition, found: FoundStore, witness: Witness) -> Keep | TakeOver:
    lost = _loss(partition, found, witness)
    if not lost and witness == partition.witness(witness.ledger_id):
        is_closed = str(found.witness).endswith(CLOSED)
        if found.incarnation == witness.incarnation and not is_closed:
            return Keep(witness)
        reason = _NOT_TO_THE_END if is_closed else "the store was started again, or another one was promoted"
    else:
        reason = lost or _NOT_TO_THE_END
    epoch = partition.epoch + 1
    follows = partition.cursor
    if found.last is not None:
        follows = max(follows, partition.last_that_counts(found.last))
    generation = epoch if lost else witness.generation
    return TakeOver(Witness(epoch, witness.ledger_id, generation, found.incarnation), follows, reason, lost)


def _loss(partition: LedgerPartition, found: FoundStore, witness: Witness) -> str:
    """What the store lacks that the partition's history has; "" where it lacks nothing that is known."""
    needed = _least_position(partition, witness.epoch)
    if needed is not None and (found.last is None or found.last < needed):
        return f"the history goes up to {needed} at least, but the store lost what came after {found.last}"
    newest_opened = partition.epoch if partition.state == "open" else partition.epoch - 1
    if witness.epoch < newest_opened:
        return (
            f"the ledger is in epoch {partition.epoch}, but the store is an older copy, of epoch "
            f"{witness.epoch}"
        )
    for epoch in partition.epochs:
        if epoch.epoch > witness.epoch and found.last is not None and found.last > epoch.follows:
            # Its wallets and ids count what is cut off now.
            return (
                f"epoch {epoch.epoch} follows {epoch.follows}, but the store, of epoch {witness.epoch}, went "
                f"on to {found.last}"
            )
    return ""


def _least_position(partition: LedgerPartition, epoch: int) -> OutboxPosition | None:
    """How far a store of this epoch has written at least; None where it may have nothing.

    A store that was empty when its generation began has nothing of what came before that.
    """
    epochs = {known.epoch: known for known in partition.epochs}
    started = epochs.get(epoch)
    if started is None:
        return partition.cursor if partition.cursor > _NOTHING_DRAINED else None
    least = max(partition.cursor, started.follows)
    began = epochs.get(started.generation, started)
    if began.follows <= partition.cursor and least < OutboxPosition(started.generation, 0):
        return None
    return least
