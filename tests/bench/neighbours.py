"""How much of the machine other programs took while we measured."""

import os
import time
from dataclasses import dataclass, field

import psutil

QUIET = 0.1
"""Above this share the figures say more about the neighbours than about the product."""


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def _ours_s() -> float:
    """Processor time of this process and its children, those that ended included."""
    total = 0.0
    for process in (me := psutil.Process(), *me.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


@dataclass(slots=True)
class Neighbours:
    """Counts from when it is made."""

    _started_s: float = field(default_factory=time.monotonic)
    _busy_s: float = field(default_factory=_busy_s)
    _ours_s: float = field(default_factory=_ours_s)

    def share(self) -> float:
        """The share of all processor time that went to others, 0 to 1."""
        available_s = (time.monotonic() - self._started_s) * (os.cpu_count() or 1)
        others_s = (_busy_s() - self._busy_s) - (_ours_s() - self._ours_s)
        return max(others_s, 0.0) / available_s
