"""What this server has answered and the ledger does not have yet: lost, should the store lose it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from persistence.adoption_plan import BEFORE_ALL
from persistence.transactions import OutboxPosition, PlayerId, SourceId, TransactionId


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One call that was answered: where it stands in the outbox, and the ids that it used."""

    position: OutboxPosition
    player_id: PlayerId
    source_id: SourceId
    transaction_ids: tuple[TransactionId, ...]


@dataclass(slots=True)
class _Partition:
    answers: deque[Acknowledged] = field(default_factory=deque)
    newest: OutboxPosition = BEFORE_ALL


class AcknowledgedTail:
    """Remembers at most ``most`` answers; beyond that the oldest are let go, and counted in ``let_go``."""

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._count = 0
        self._partitions: dict[int, _Partition] = {}
        self.let_go = 0

    def add(self, partition: int, answer: Acknowledged) -> None:
        """An answer left. Replays of older ones may be added too; they change nothing."""
        kept = self._partitions.get(partition)
        if kept is None:
            kept = self._partitions[partition] = _Partition()
        if answer.position <= kept.newest:
            return
        kept.newest = answer.position
        kept.answers.append(answer)
        self._count += 1
        if self._count > self._most:
            self._let_one_go()

    def settle(self, partition: int, cursor: OutboxPosition) -> None:
        """The ledger has everything up to the cursor."""
        kept = self._partitions.get(partition)
        while kept and kept.answers and kept.answers[0].position <= cursor:
            kept.answers.popleft()
            self._count -= 1

    def take_lost(self, partition: int, follows: Iterable[tuple[int, OutboxPosition]]) -> list[Acknowledged]:
        """Takes out what is not part of the partition's history any more.

        ``follows`` has each epoch of the partition and the last record before it, in order.
        """
        kept = self._partitions.get(partition)
        if kept is None:
            return []
        epochs = list(follows)
        lost = [answer for answer in kept.answers if _is_lost(answer.position, epochs)]
        if lost:
            gone = set(lost)
            kept.answers = deque(answer for answer in kept.answers if answer not in gone)
            self._count -= len(lost)
        return lost

    def _let_one_go(self) -> None:
        """Out of the partition that has most: its drain is behind."""
        longest = max(self._partitions.values(), key=lambda kept: len(kept.answers))
        longest.answers.popleft()
        self._count -= 1
        self.let_go += 1


def _is_lost(position: OutboxPosition, epochs: list[tuple[int, OutboxPosition]]) -> bool:
    for epoch, follows in epochs:
        if epoch > position.epoch:
            return position > follows
    return False
