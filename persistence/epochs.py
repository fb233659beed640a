"""A partition's epochs: which record follows which, across takeovers.

Within an epoch records are contiguous from 0. Where an epoch begins is not to be seen in the stream: its row
in ``ledger.epochs`` says which record its first one follows. What stands in a store behind that record, but
in an earlier epoch, was forked off: written to a store that had been given up, and never to be recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from persistence.transactions import OutboxPosition


@dataclass(frozen=True, slots=True)
class EpochStart:
    """An epoch's first record comes after ``follows``."""

    epoch: int
    follows: OutboxPosition


@dataclass(frozen=True, slots=True)
class _EpochEnd:
    sequence: int
    next_epoch: int


@dataclass(frozen=True, slots=True)
class EpochHistory:
    """The epochs from a partition's cursor on: ``newest``, and the starts that are known, by epoch.

    The newest epoch decides: what it follows is where an earlier one ended, what that one follows is where
    the one before it ended, and so on. Epochs that are not reached in this way have no records.
    """

    newest: int
    starts: Mapping[int, EpochStart]
    _ends: Mapping[int, _EpochEnd] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", self._walk_back())

    def next_after(self, cursor: OutboxPosition) -> OutboxPosition | None:
        """The one record that follows; None where the cursor is on no way to the newest epoch."""
        cursor = self._resolved(cursor)
        following = OutboxPosition(cursor.epoch, cursor.sequence + 1)
        if cursor.epoch == self.newest:
            return following
        end = self._ends.get(cursor.epoch)
        if end is None or cursor.sequence > end.sequence:
            return None
        return following if cursor.sequence < end.sequence else OutboxPosition(end.next_epoch, 0)

    def is_forked(self, position: OutboxPosition) -> bool:
        """Whether a record there, behind the cursor, is none of this history."""
        if position.epoch == self.newest:
            return False
        end = self._ends.get(position.epoch)
        return end is None or position.sequence > end.sequence

    def _walk_back(self) -> dict[int, _EpochEnd]:
        ends: dict[int, _EpochEnd] = {}
        epoch = self.newest
        while start := self.starts.get(epoch):
            follows = self._resolved(start.follows)
            ends[follows.epoch] = _EpochEnd(follows.sequence, epoch)
            epoch = follows.epoch
        return ends

    def _resolved(self, position: OutboxPosition) -> OutboxPosition:
        """Before an epoch's first record is where the record stands that the epoch follows."""
        while position.sequence < 0 and position.epoch in self.starts:
            position = self.starts[position.epoch].follows
        return position
