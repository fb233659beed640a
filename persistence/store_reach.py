"""Which partitions' store answered lately. The ledger has no say in it: calls go on while it is away."""

import time
from collections.abc import Callable, Mapping

from persistence.valkey.outbox_reader import OutboxSurvey


class StoreReach:
    """An answer counts for ``lasting_s``."""

    def __init__(self, *, lasting_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._lasting_s = lasting_s
        self._now_s = now_s
        self._answered_s: dict[int, float] = {}

    def look(self, surveys: Mapping[int, OutboxSurvey]) -> None:
        """The store has answered for these partitions."""
        self._answered_s |= dict.fromkeys(surveys, self._now_s())

    def reaches(self, partition: int) -> bool:
        """Whether the partition's store answered lately."""
        answered_s = self._answered_s.get(partition)
        return answered_s is not None and self._now_s() - answered_s < self._lasting_s
