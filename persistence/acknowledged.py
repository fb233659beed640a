"""What this server has answered and the ledger does not have yet: lost, should the store lose it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from persistence.adoption_plan import BEFORE_ALL
from persistence.transactions import OutboxPosition, PlayerId, SourceId, TransactionId


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One call that was answered: where it stands in the outbox, and the ids that it used.

    ``refused`` says that the answer was a final refusal.
    """

    position: OutboxPosition
    player_id: PlayerId
    source_id: SourceId
    transaction_ids: tuple[TransactionId, ...]
    refused: bool = False


@dataclass(slots=True)
class _Partition:
    """``in_order`` is what was answered as it was written; ``replayed`` what was answered again, at first
    perhaps by another server, and perhaps one id of a call at a time.
    """

    in_order: deque[Acknowledged] = field(default_factory=deque)
    replayed: dict[Acknowledged, None] = field(default_factory=dict)
    newest: OutboxPosition = BEFORE_ALL
    settled: OutboxPosition = BEFORE_ALL

    def __len__(self) -> int:
        return len(self.in_order) + len(self.replayed)


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
        if answer.position > kept.newest:
            kept.newest = answer.position
            kept.in_order.append(answer)
        elif answer.position > kept.settled and answer not in kept.replayed:
            kept.replayed[answer] = None
        else:
            return
        self._count += 1
        if self._count > self._most:
            self._let_one_go()

    def settle(self, partition: int, cursor: OutboxPosition) -> None:
        """The ledger has everything up to the cursor."""
        kept = self._partitions.get(partition)
        if kept is None:
            return
        before = len(kept)
        kept.settled = max(kept.settled, cursor)
        while kept.in_order and kept.in_order[0].position <= cursor:
            kept.in_order.popleft()
        for answer in [answer for answer in kept.replayed if answer.position <= cursor]:
            del kept.replayed[answer]
        self._count -= before - len(kept)

    def take_lost(self, partition: int, follows: Iterable[tuple[int, OutboxPosition]]) -> list[Acknowledged]:
        """Takes out what is not part of the partition's history any more.

        ``follows`` has each epoch of the partition and the last record before it.
        """
        kept = self._partitions.get(partition)
        if kept is None:
            return []
        epochs = list(follows)
        answers = (*kept.in_order, *kept.replayed)
        lost = dict.fromkeys(answer for answer in answers if _is_lost(answer.position, epochs))
        if lost:
            before = len(kept)
            kept.in_order = deque(answer for answer in kept.in_order if answer not in lost)
            kept.replayed = {answer: None for answer in kept.replayed if answer not in lost}
            self._count -= before - len(kept)
        return list(lost)

    def _let_one_go(self) -> None:
        """Out of the partition that has most: its drain is behind."""
        longest = max(self._partitions.values(), key=len)
        if longest.in_order:
            longest.in_order.popleft()
        else:
            longest.replayed.pop(next(iter(longest.replayed)))
        self._count -= 1
        self.let_go += 1


def _is_lost(position: OutboxPosition, epochs: list[tuple[int, OutboxPosition]]) -> bool:
    """Whether any later epoch follows a record that came before it."""
    return any(epoch > position.epoch and position > follows for epoch, follows in epochs)
