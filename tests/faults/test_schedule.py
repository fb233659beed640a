"""Schedules are the same for the same seed, leave out nothing, and know how to do what they name."""

from itertools import islice

import pytest

from tests.faults.schedule import ALL, LOSSES, kinds_named, schedule
from tests.faults.striking import DEEDS
from tests.faults.varieties import CLUSTER, CLUSTER_FSYNC, ROTATION, SINGLE, VARIETIES, variety_of


def test_the_same_seed_makes_the_same_schedule() -> None:
    first, again, other = (list(islice(schedule(seed, ALL), 50)) for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_every_kind_comes_once_before_any_comes_again() -> None:
    assert sorted(fault.kind for fault in islice(schedule("1", ALL), len(ALL))) == sorted(ALL)


def test_every_kind_can_be_done() -> None:
    assert set(DEEDS) == set(ALL)


def test_every_kind_is_some_stores() -> None:
    assert {kind for variety in VARIETIES.values() for kind in variety.kinds} == set(ALL)
    for variety in VARIETIES.values():
        assert set(variety.losses) <= set(variety.kinds)


def test_seeds_that_follow_one_another_go_through_all_stores() -> None:
    assert {variety_of(seed, ROTATION).name for seed in range(len(ROTATION))} == set(VARIETIES)
    assert variety_of(7, [CLUSTER]) == CLUSTER
    assert ROTATION.count(SINGLE) == 3 * (ROTATION.count(CLUSTER) + ROTATION.count(CLUSTER_FSYNC))


def test_kinds_are_named_by_how_they_begin() -> None:
    assert kinds_named(["flushall", "truncate", "wipe"]) == list(LOSSES)
    with pytest.raises(ValueError, match="no fault is called flood"):
        kinds_named(["flood"])
