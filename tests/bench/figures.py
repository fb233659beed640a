"""The arithmetic of measurements."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median


def percentile(values: Sequence[float], quantile: float) -> float:
    """The smallest value that at least this share of all values does not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = -int(-len(ordered) * quantile // 1)
    return ordered[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one round, or the medians of several, came to."""

    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    server_cpu_us: float
    """Processor time of the server for each call. Neighbours spoil it less than they spoil rates."""
    store_cpu_us: float
    """The same of Valkey."""


def medians(rounds: Sequence[Figures]) -> Figures:
    """Each figure's median over the rounds."""
    rows = [asdict(one) for one in rounds]
    return Figures(**{name: median(row[name] for row in rows) for name in rows[0]})


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of what was measured right after one another."""
    return median(n / d for n, d in zip(numerators, denominators, strict=True))
