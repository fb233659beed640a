"""Which calls are traced."""

import random
import time
from collections.abc import Callable

from service.telemetry.trace_context import TraceContext


class Sampling:
    """As the caller says, and a share of those who say nothing; never more than so many in a second.

    ``on_capped`` hears of each that is one too many. ``draw`` gives numbers from 0 to 1, ``now`` seconds.
    """

    def __init__(
        self,
        ratio: float,
        *,
        most_per_s: float,
        on_capped: Callable[[], None],
        draw: Callable[[], float] = random.random,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ratio = ratio
        self._most_per_s = most_per_s
        self._most = max(1.0, most_per_s)
        self._on_capped = on_capped
        self._draw = draw
        self._now = now
        self._left = self._most
        self._filled = now()

    def takes(self, parent: TraceContext | None) -> bool:
        """Whether to trace what such a caller asks for."""
        return self.has_room() if parent is not None and parent.is_sampled else self.takes_new(parent)

    def takes_new(self, parent: TraceContext | None = None) -> bool:
        """Whether to trace what nobody asked for; nobody does where a parent is that is not sampled."""
        return parent is None and self._draw() < self._ratio and self.has_room()

    def has_room(self) -> bool:
        """Takes the place of one more, if there is one in this second."""
        now = self._now()
        self._left = min(self._most, self._left + (now - self._filled) * self._most_per_s)
        self._filled = now
        if self._left < 1:
            self._on_capped()
            return False
        self._left -= 1
        return True
