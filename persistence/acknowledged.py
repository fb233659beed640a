"""What this server has answered and the ledger does not have yet: lost, should the store lose it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from persistence.adoption_plan import BEFORE_ALL
from persistence.transactions import EntryType, OutboxPosition, PlayerId, SourceId, TransactionId


class Told(NamedTuple):
    """What a caller was told of a transaction, or what the ledger has of it: REFUSED, say, and what."""

    entry_type: EntryType
    fingerprint: str

    def stands_as(self, recorded: "Told") -> bool:
        """Whether this is what is recorded: a tombstone refuses its id whatever comes under it."""
        if recorded.entry_type is EntryType.TOMBSTONE:
            return self.entry_type is EntryType.REFUSED
        return recorded == self


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One call that was answered: where it stands in the outbox, and what was told of its ids."""

    position: OutboxPosition
    player_id: PlayerId
    source_id: SourceId
    transactions: tuple[tuple[TransactionId, Told], ...]


@dataclass(slots=True)
class _Partition:
    """``in_order`` is what was answered as it was written; ``others`` what was answered again, at first
    perhaps by another server, or has outlived its epoch; ``lost`` what somebody still has to say aloud.
    """

    in_order: deque[Acknowledged] = field(default_factory=deque)
    others: dict[Acknowledged, None] = field(default_factory=dict)
    lost: dict[Acknowledged, None] = field(default_factory=dict)
    newest: OutboxPosition = BEFORE_ALL
    settled: OutboxPosition = BEFORE_ALL

    def __len__(self) -> int:
        return len(self.in_order) + len(self.others) + len(self.lost)

    def add(self, answer: Acknowledged) -> None:
        if answer.position > self.newest:
            self.newest = answer.position
            self.in_order.append(answer)
        elif not self._is_settled(answer.position) and answer not in self.lost:
            self.others[answer] = None

    def _is_settled(self, position: OutboxPosition) -> bool:
        """Whether the ledger has it for certain: of an earlier epoch it may have been cut off."""
        return position <= self.settled and position.epoch == self.settled.epoch

    def take_passed(self, cursor: OutboxPosition, epoch: int) -> list[Acknowledged]:
        """Takes out what the ledger has passed, or what is of an epoch before this one."""
        passed: list[Acknowledged] = []
        while self.in_order and _is_passed(self.in_order[0].position, cursor, epoch):
            passed.append(self.in_order.popleft())
        others = [answer for answer in self.others if _is_passed(answer.position, cursor, epoch)]
        for answer in others:
            del self.others[answer]
        return passed + others

    def let_one_go(self) -> None:
        if self.in_order:
            self.in_order.popleft()
        else:
            answers = self.others or self.lost
            del answers[next(iter(answers))]


class AcknowledgedTail:
    """Remembers at most ``most`` answers; beyond that the oldest are let go, and counted in ``let_go``."""

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._count = 0
        self._partitions: dict[int, _Partition] = {}
        self.let_go = 0

    def add(self, partition: int, answer: Acknowledged) -> None:
        """An answer left."""
        kept = self._partitions.get(partition)
        if kept is None:
            kept = self._partitions[partition] = _Partition()
        before = len(kept)
        kept.add(answer)
        self._count += len(kept) - before
        if self._count > self._most:
            max(self._partitions.values(), key=len).let_one_go()  # its drain is behind
            self._count -= 1
            self.let_go += 1

    def compare(
        self, partition: int, cursor: OutboxPosition, follows: Iterable[tuple[int, OutboxPosition]]
    ) -> list[Acknowledged]:
        """What is not part of the partition's history any more; what the ledger has is let go.

        ``cursor`` is how far the ledger is, ``follows`` has each epoch of the partition and the last record
        before it, both of one moment. What is lost stays until ``drop``: who is told may fail to pass it on.
        """
        kept = self._partitions.get(partition)
        if kept is None:
            return []
        epochs = list(follows)
        before = len(kept)
        kept.settled = max(kept.settled, cursor)
        for answer in kept.take_passed(cursor, max((epoch for epoch, _ in epochs), default=0)):
            if _is_lost(answer.position, epochs):
                kept.lost[answer] = None
            elif answer.position > cursor:
                kept.others[answer] = None
        self._count -= before - len(kept)
        return list(kept.lost)

    def drop(self, partition: int, lost: Iterable[Acknowledged]) -> None:
        """These are known to be lost now."""
        kept = self._partitions[partition]
        before = len(kept)
        for answer in lost:
            kept.lost.pop(answer, None)
        self._count -= before - len(kept)


def _is_passed(position: OutboxPosition, cursor: OutboxPosition, epoch: int) -> bool:
    return position <= cursor or position.epoch < epoch


def _is_lost(position: OutboxPosition, epochs: list[tuple[int, OutboxPosition]]) -> bool:
    """Whether any later epoch follows a record that came before it."""
    return any(epoch > position.epoch and position > follows for epoch, follows in epochs)
