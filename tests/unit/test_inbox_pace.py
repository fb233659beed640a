"""The pace at which the inbox is worked off. Time is what the test says that it is."""

import pytest

from service.working.inbox.pace import Pace


class Begun:
    """Begins whatever the pace allows, in ticks of 10 ms; each attempt takes so long."""

    def __init__(self, most_per_s: float) -> None:
        self.now = 100.0
        self.pace = Pace(most_per_s, now=self.now)

    def over(self, seconds: float, *, answer_s: float = 0.002, pressed: bool = False) -> int:
        """How many are begun."""
        begun = 0
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            if pressed:
                self.pace.press(self.now)
            allowed = self.pace.allowance(self.now)
            for _ in range(allowed):
                self.pace.observe(answer_s)
            self.pace.spend(allowed)
            begun += allowed
        return begun


@pytest.mark.parametrize("most_per_s", [0.5, 1.0, 7.0, 100.0, 1000.0, 20_000.0])
def test_no_more_is_begun_than_the_pace_says(most_per_s: float) -> None:
    begun = Begun(most_per_s).over(20.0)

    assert 0.9 * most_per_s * 20 - 1 <= begun <= most_per_s * 20 + 1


def test_what_was_not_used_is_not_made_up_for() -> None:
    work = Begun(1000.0)
    work.now += 60.0

    assert work.pace.allowance(work.now) <= 50


def test_a_store_that_answers_more_slowly_than_at_its_best_gets_less_to_do() -> None:
    work = Begun(1000.0)
    at_best = work.over(5.0)

    work.over(5.0, answer_s=0.050)
    slowed = work.over(5.0, answer_s=0.050)

    assert slowed < at_best / 10
    work.over(10.0)
    assert work.over(5.0) == pytest.approx(at_best, rel=0.05)


def test_answers_that_are_a_little_slower_change_nothing() -> None:
    work = Begun(1000.0)
    work.over(5.0)

    assert work.over(5.0, answer_s=0.0045) == pytest.approx(5000, rel=0.02)


def test_what_was_slow_for_long_is_what_the_store_is_like() -> None:
    work = Begun(1000.0)
    work.over(2.0)

    work.over(90.0, answer_s=0.050)

    assert work.over(5.0, answer_s=0.050) == pytest.approx(5000, rel=0.02)


def test_under_pressure_it_goes_on_but_hardly() -> None:
    work = Begun(1000.0)

    work.over(3.0, pressed=True)

    assert 0 < work.over(5.0, pressed=True) <= 101


def test_on_a_machine_that_is_busy_with_others_it_goes_on_slowly() -> None:
    work = Begun(1000.0)
    at_best = work.over(5.0)

    for _ in range(100):
        work.pace.see_processors(0.9)
        work.over(0.1)
    work.pace.see_processors(0.9)

    assert 0 < work.over(0.2) <= 5
    for _ in range(100):
        work.pace.see_processors(0.3)
        work.over(0.1)
    assert work.over(5.0) == pytest.approx(at_best, rel=0.05)


def test_it_pauses_for_as_long_as_it_was_told() -> None:
    work = Begun(1000.0)
    work.over(1.0)

    work.pace.press(work.now, pause_s=2.0)

    assert work.over(1.9) == 0
    assert work.over(1.0) > 0
