"""How often each source may call: a token bucket for each, so that none takes another's share.

Each server counts by itself. Buckets are only kept of sources that the registry has and that have a limit, so
that made up names take no memory.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from persistence.calls import RateLimit
from persistence.errors import Overloaded, Shortage

_STEP_MS = 10
"""Delays are told in steps: callers do not mind, and equal answers are made once."""


_ONE = 1.0 - 1e-6
"""A token that was filled up in parts may lack what floats lose."""


@dataclass(slots=True)
class _Bucket:
    """``tokens`` were left at ``at``, in seconds of the clock."""

    limit: RateLimit
    tokens: float
    at: float


class RateLimits:
    """``limit_of`` tells a source's limit; None: it has none. ``now_s`` is a clock that never goes back."""

    def __init__(
        self, limit_of: Callable[[str], RateLimit | None], *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_of = limit_of
        self._now_s = now_s
        self._buckets: dict[str, _Bucket] = {}

    def take(self, source_id: str) -> None:
        """Counts a call of the source. Raises Overloaded where it is one too many: then it does not count."""
        limit = self._limit_of(source_id)
        if limit is None:
            if source_id in self._buckets:
                del self._buckets[source_id]
            return
        now = self._now_s()
        bucket = self._buckets.get(source_id)
        if bucket is None or bucket.limit != limit:
            bucket = self._buckets[source_id] = _Bucket(limit, float(limit.burst), now)
        else:
            refilled = bucket.tokens + (now - bucket.at) * limit.calls_per_s
            bucket.tokens, bucket.at = min(refilled, float(limit.burst)), now
        if bucket.tokens < _ONE:
            raise _too_often(source_id, limit, wait_s=(1.0 - bucket.tokens) / limit.calls_per_s)
        bucket.tokens -= 1.0


def _too_often(source_id: str, limit: RateLimit, *, wait_s: float) -> Overloaded:
    return Overloaded(
        f"source {source_id} calls more often than its rate limit of {limit.calls_per_s} a second allows",
        retry_delay_ms=max(1, math.ceil(wait_s * 1000 / _STEP_MS)) * _STEP_MS,
        cause=Shortage.RATE,
        source_id=source_id,
    )
