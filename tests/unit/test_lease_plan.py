"""Who shall drain what, without any server."""

from collections.abc import Collection, Mapping

from persistence.drain_batch import PartitionState
from persistence.epochs import EpochHistory
from persistence.hash_chain import FIRST_PREVIOUS_HASH
from persistence.lease_plan import LeasedPartition, LeasePlan, plan_leases
from persistence.transactions import OutboxPosition

ME, OTHER = "me", "other"


def leased(
    partition: int,
    by: str | None = None,
    *,
    lease: int = 1,
    expired: bool = False,
    opening: str = "open",
    stopped_reason: str | None = None,
) -> LeasedPartition:
    state = PartitionState(
        partition, EpochHistory(1, {}), OutboxPosition(1, -1), 0, FIRST_PREVIOUS_HASH, lease
    )
    return LeasedPartition(state, opening, stopped_reason, by, by is None or expired)


def plan(
    *partitions: LeasedPartition,
    held: Mapping[int, Collection[int]],
    drainer_count: int = 1,
    waiting: Collection[int] = (),
) -> LeasePlan:
    """``held``: what each worker has, all under lease 1."""
    return plan_leases(
        {found.state.partition: found for found in partitions},
        drainer_id=ME,
        drainer_count=drainer_count,
        held={worker: dict.fromkeys(has, 1) for worker, has in held.items()},
        waiting=waiting,
    )


def test_a_lone_drainer_takes_everything_that_is_free() -> None:
    made = plan(*map(leased, range(16)), held={0: [], 1: []})

    assert made == LeasePlan(frozenset(), frozenset(range(16)), 16, frozenset())


def test_a_lease_of_another_is_taken_when_it_has_run_out() -> None:
    made = plan(leased(0, OTHER), leased(1, OTHER, expired=True), held={0: []})

    assert made.takeable == {1}


def test_no_more_than_the_share_is_taken() -> None:
    made = plan(*map(leased, range(16)), held={0: []}, drainer_count=3)

    assert made.room == 6


def test_what_is_above_the_share_is_asked_back_from_the_workers_evenly() -> None:
    mine = [leased(partition, ME) for partition in range(16)]

    made = plan(*mine, held={0: range(8), 1: range(8, 16)}, drainer_count=2)

    assert len(made.ask_back & set(range(8))) == len(made.ask_back & set(range(8, 16))) == 4
    assert not made.give_back


def test_what_no_worker_has_any_more_is_given_back_or_handed_out_again() -> None:
    mine = [leased(partition, ME) for partition in range(4)]

    within_share = plan(*mine, held={0: [0, 1], 1: [2]})
    above_share = plan(*mine, held={0: [0], 1: [2]}, drainer_count=2)

    assert within_share == LeasePlan(frozenset(), takeable=frozenset({3}), room=1, give_back=frozenset({3}))
    assert above_share.room == 0
    assert above_share.give_back == {1, 3}


def test_a_worker_that_has_more_than_the_others_is_relieved() -> None:
    mine = [leased(partition, ME) for partition in range(4)]

    assert len(plan(*mine, held={0: range(4), 1: []}).ask_back) == 2


def test_a_lease_that_somebody_had_in_between_is_not_this_one() -> None:
    assert plan(leased(0, ME, lease=3), leased(1, OTHER, lease=2), held={0: [0, 1]}).ask_back == {0, 1}


def test_nothing_is_held_of_what_cannot_be_drained() -> None:
    partitions = (
        leased(0, ME, stopped_reason="OutboxGap"),
        leased(1, ME, opening="opening"),
        leased(2, ME),
        leased(3, ME),
    )

    assert plan(*partitions, held={0: range(4)}, waiting=[2]).ask_back == {0, 1, 2}
    assert plan(*partitions, held={0: [3]}, waiting=[2]).give_back == {0, 1, 2}
    assert plan(*partitions, held={0: [3]}, waiting=[2]).takeable == set()


def test_shares_are_of_what_can_be_drained() -> None:
    partitions = [*map(leased, range(4)), *(leased(p, stopped_reason="OutboxGap") for p in range(4, 8))]

    assert plan(*partitions, held={0: []}, drainer_count=2).room == 2


def test_a_drainer_whose_workers_can_drain_nothing_gives_everything_back() -> None:
    made = plan(leased(0, ME), leased(1), held={})

    assert made.room == 0
    assert made.give_back == {0}
