"""Token buckets: how often each source may call."""

from dataclasses import dataclass, field

import pytest

from persistence.calls import RateLimit
from persistence.errors import Overloaded, Shortage
from service.rate_limits import RateLimits


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class House:
    """Sources and their limits, as the registry has them now."""

    limits: dict[str, RateLimit | None] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.rate_limits = RateLimits(self.limits.get, now_s=self.clock)

    def taken(self, source_id: str, calls: int) -> int:
        """How many of so many calls at once are taken."""
        taken = 0
        for _ in range(calls):
            try:
                self.rate_limits.take(source_id)
            except Overloaded:
                continue
            taken += 1
        return taken


def test_a_burst_is_taken_and_then_as_many_as_the_rate_says() -> None:
    house = House({"games": RateLimit(calls_per_s=10, burst=25)})

    at_once = house.taken("games", 100)
    house.clock.now_s += 0.5
    later = house.taken("games", 100)
    house.clock.now_s += 3600.0
    after_a_pause = house.taken("games", 100)

    assert (at_once, later, after_a_pause) == (25, 5, 25)


def test_refused_calls_cost_nothing_so_that_the_rate_is_reached_however_often_is_asked() -> None:
    house = House({"games": RateLimit(calls_per_s=10, burst=1)})
    house.taken("games", 1)

    taken = 0
    for _ in range(1000):
        house.clock.now_s += 0.01
        taken += house.taken("games", 3)

    assert taken == 100


def test_a_source_that_calls_too_often_takes_nothing_from_another() -> None:
    house = House({"greedy": RateLimit(10, 10), "modest": RateLimit(10, 10), "free": None})

    assert house.taken("greedy", 1000) == 10
    assert house.taken("modest", 10) == 10
    assert house.taken("free", 1000) == 1000


def test_the_delay_is_when_the_next_call_is_taken_in_steps_of_ten_milliseconds() -> None:
    house = House({"games": RateLimit(calls_per_s=4, burst=1)})
    house.rate_limits.take("games")

    with pytest.raises(Overloaded) as refused:
        house.rate_limits.take("games")

    assert (refused.value.cause, refused.value.source_id) == (Shortage.RATE, "games")
    assert refused.value.retry_delay_ms == 250
    house.clock.now_s += 0.25
    house.rate_limits.take("games")


def test_a_changed_limit_counts_at_once() -> None:
    house = House({"games": RateLimit(1, 1)})
    assert house.taken("games", 10) == 1

    house.limits["games"] = RateLimit(100, 5)
    assert house.taken("games", 10) == 5
    house.limits["games"] = None
    assert house.taken("games", 10) == 10


def test_names_that_nobody_has_put_take_no_memory() -> None:
    house = House()

    for number in range(1000):
        house.taken(f"made-up-{number}", 1)

    assert not house.rate_limits._buckets
