"""Which calls are traced: as callers say, a share of the others, and never more than the limit."""

import pytest

from service.telemetry.sampling import Sampling
from service.telemetry.trace_context import TraceContext

SAMPLED, UNSAMPLED = TraceContext(1, 2, True), TraceContext(1, 2, False)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.capped = 0

    def sampling(self, ratio: float, *, most_per_s: float = 100.0, drawn: float = 0.5) -> Sampling:
        return Sampling(
            ratio, most_per_s=most_per_s, on_capped=self._cap, draw=lambda: drawn, now=lambda: self.now
        )

    def _cap(self) -> None:
        self.capped += 1


@pytest.mark.parametrize(
    ("parent", "ratio", "taken"),
    [
        (SAMPLED, 0.0, True),
        (SAMPLED, 1.0, True),
        (UNSAMPLED, 1.0, False),
        (None, 0.0, False),
        (None, 0.5, False),
        (None, 0.6, True),
        (None, 1.0, True),
    ],
)
def test_callers_decide_and_the_ratio_where_they_do_not(
    parent: TraceContext | None, ratio: float, *, taken: bool
) -> None:
    assert Clock().sampling(ratio).takes(parent) is taken


@pytest.mark.parametrize("parent", [SAMPLED, None])
def test_a_second_has_room_for_so_many(parent: TraceContext | None) -> None:
    clock = Clock()
    sampling = clock.sampling(1.0, most_per_s=3.0)

    first = [sampling.takes(parent) for _ in range(5)]
    clock.now += 1.0
    later = [sampling.takes(parent) for _ in range(5)]
    clock.now += 3600.0
    after_a_pause = [sampling.takes(parent) for _ in range(5)]

    assert first == later == after_a_pause == [True, True, True, False, False]
    assert clock.capped == 6


def test_less_than_one_in_a_second_is_one_now_and_then() -> None:
    clock = Clock()
    sampling = clock.sampling(1.0, most_per_s=0.5)

    taken = []
    for _ in range(5):
        taken.append(sampling.takes(SAMPLED))
        clock.now += 1.0

    assert taken == [True, False, True, False, True]
