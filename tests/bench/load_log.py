"""What a load has seen so far."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class LoadLog:
    """One latency for each thing that was answered OK, and counts of what was answered otherwise."""

    latencies_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
