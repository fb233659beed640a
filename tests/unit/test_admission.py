"""Who comes in when there are more calls than places, and that the places come back."""

import asyncio
from collections import Counter

import pytest

from persistence.errors import Overloaded, Shortage, Stopping
from service.admission import BULK_GREED, Admission


def enter_all(admission: Admission, source_id: str, most: int = 10_000) -> int:
    """Enters until a call is shed; how many came in."""
    for count in range(most):
        try:
            admission.enter(source_id)
        except Overloaded:
            return count
    return most


def test_a_source_alone_gets_nearly_all_places() -> None:
    assert enter_all(Admission(100), "games") == 80


def test_a_source_that_comes_later_finds_room_however_much_the_first_one_holds() -> None:
    admission = Admission(1000)
    enter_all(admission, "greedy")

    assert enter_all(admission, "modest", most=100) == 100


def test_sources_that_all_want_more_end_up_with_equal_shares() -> None:
    admission = Admission(1000)
    enter_all(admission, "first")
    held = Counter({"first": 800})

    for number in range(3000):  # calls end and others come, as long as everybody floods
        ending = max(held, key=lambda source: held[source])
        admission.leave(ending)
        held[ending] -= 1
        for turn in range(3):
            source = ("first", "second", "third")[(number + turn) % 3]
            try:
                admission.enter(source)
            except Overloaded:
                continue
            held[source] += 1

    assert max(held.values()) - min(held.values()) <= 5
    assert 900 <= held.total() <= 1000


@pytest.mark.parametrize("sources", [1, 2, 10, 500])
def test_never_more_than_all_places_are_taken(sources: int) -> None:
    admission = Admission(100)

    assert sum(enter_all(admission, f"source-{number}") for number in range(sources)) <= 100


def test_the_shed_call_is_told_whether_its_source_or_all_together_are_too_many() -> None:
    tiny, crowded = Admission(1), Admission(6)
    tiny.enter("a")
    with pytest.raises(Overloaded) as full:
        tiny.enter("b")
    enter_all(crowded, "a")
    with pytest.raises(Overloaded) as greedy:
        crowded.enter("a")

    assert (full.value.cause, full.value.source_id) == (Shortage.IN_FLIGHT, "")
    assert (greedy.value.cause, greedy.value.source_id) == (Shortage.SOURCE, "a")
    assert {full.value.retry_delay_ms, greedy.value.retry_delay_ms} == {200}


def test_calls_that_name_no_source_share_one_share() -> None:
    admission = Admission(1000)
    enter_all(admission, "")

    with pytest.raises(Overloaded) as shed:
        admission.enter("")

    assert shed.value.cause is Shortage.IN_FLIGHT
    assert enter_all(admission, "games", most=100) == 100


def test_a_place_that_is_left_is_free_again_and_no_source_is_remembered() -> None:
    admission = Admission(10)
    for _ in range(100):
        assert enter_all(admission, "games") == 8
        for _ in range(8):
            admission.leave("games")

    assert admission.sources == 0


async def test_after_the_stop_nothing_comes_in_and_what_is_in_flight_is_waited_for() -> None:
    admission = Admission(10)
    admission.enter("games")
    admission.stop()

    with pytest.raises(Stopping):
        admission.enter("games")
    waiting = asyncio.create_task(admission.until_idle())
    await asyncio.sleep(0)
    assert not waiting.done()
    admission.leave("games")
    await waiting


async def test_it_is_quiet_once_nobody_was_turned_away_for_a_while() -> None:
    admission = Admission(10)
    admission.stop()
    quiet = asyncio.create_task(admission.until_quiet(0.3))
    for _ in range(20):
        with pytest.raises(Stopping):
            admission.enter("games")
        await asyncio.sleep(0.01)
        assert not quiet.done()

    await quiet


def test_what_waits_for_places_in_order_leaves_half_of_them_to_what_does_not() -> None:
    admission = Admission(100)
    for _ in range(50):
        admission.enter("games", greed=BULK_GREED)

    with pytest.raises(Overloaded):
        admission.enter("games", greed=BULK_GREED)
    assert enter_all(admission, "games") == 30
    assert enter_all(admission, "another") > 0


async def test_a_place_that_becomes_free_is_told_to_all_who_wait_for_one() -> None:
    admission = Admission(1)
    admission.enter("games")
    waiting = [asyncio.create_task(admission.until_one_left(30.0)) for _ in range(3)]
    await asyncio.sleep(0)

    admission.leave("games")

    assert await asyncio.gather(*waiting) == [True] * 3


async def test_who_waits_for_a_place_in_vain_is_told_so() -> None:
    admission = Admission(1)
    admission.enter("games")

    assert not await admission.until_one_left(0.0)


async def test_the_stop_ends_the_waiting_for_a_place() -> None:
    admission = Admission(1)
    admission.enter("games")
    waiting = asyncio.create_task(admission.until_one_left(30.0))
    await asyncio.sleep(0)

    admission.stop()

    assert await waiting
