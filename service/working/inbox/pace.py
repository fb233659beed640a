"""How fast the inbox is worked off: steadily, and never at the cost of live play.

Pure. The pace is at most what is configured. Every quarter of a second it is looked at: it is halved when the
worker was told that there is too much to do, or when an outbox is filling; it is cut by a fifth when the
store answers more slowly than it lately did at its best, or when the machine's processors are busy; else it
recovers by a twentieth of the most.
"""

from collections import deque
from statistics import median

_LOOK_EVERY_S = 0.25
_IDLE_OVER_S = 60.0
_SLOWER = 2.0
_SLOWER_BY_S = 0.005
_FEWEST_SAMPLES = 5
_LEAST_SHARE = 0.02
_CROWDED = 0.5
"""The share of its time that a worker may wait for a processor."""
_BURST_S = 0.05


class Pace:
    """``now`` is the event loop's time in all methods."""

    def __init__(self, most_per_s: float, *, now: float) -> None:
        self._most = most_per_s
        self._least = max(1.0, most_per_s * _LEAST_SHARE) if most_per_s > 1 else most_per_s
        self.per_s = most_per_s
        self._tokens = 0.0
        self._filled = now
        self._looked = now
        self._times: list[float] = []
        self._idle: deque[tuple[float, float]] = deque()
        self._paused_until = now
        self._pressed = False
        self._crowded = False

    def allowance(self, now: float) -> int:
        """How many may be begun now."""
        self._look(now)
        gained = (now - self._filled) * self.per_s
        self._filled = now
        self._tokens = min(self._tokens + gained, max(1.0, self.per_s * _BURST_S))
        return 0 if now < self._paused_until else int(self._tokens)

    def spend(self, count: int) -> None:
        """So many were begun."""
        self._tokens -= count

    def observe(self, elapsed_s: float) -> None:
        """The store has answered one, after so long."""
        self._times.append(elapsed_s)

    def see_processors(self, waiting_share: float) -> None:
        """Of the time in which there was something to do, so much was spent waiting for a processor."""
        self._crowded = self._crowded or waiting_share > _CROWDED

    def press(self, now: float, *, pause_s: float = 0.0) -> None:
        """There is too much to do: nothing for so long, and more slowly then."""
        self._pressed = True
        self._paused_until = max(self._paused_until, now + pause_s)

    def _look(self, now: float) -> None:
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        if self._pressed:
            self.per_s = max(self._least, self.per_s / 2)
        elif self._is_slow(now) or self._crowded:
            self.per_s = max(self._least, self.per_s * 0.8)
        else:
            self.per_s = min(self._most, self.per_s + self._most / 20)
        self._pressed = self._crowded = False

    def _is_slow(self, now: float) -> bool:
        if len(self._times) < _FEWEST_SAMPLES:
            return False
        typical = median(self._times)
        self._times.clear()
        while self._idle and self._idle[0][0] < now - _IDLE_OVER_S:
            self._idle.popleft()
        self._idle.append((now, typical))
        best = min(seen for _, seen in self._idle)
        return typical > max(best * _SLOWER, best + _SLOWER_BY_S)
