"""Who shall drain what. Pure: nothing is read or written here.

Each of the drainers that live holds at most its share of the partitions, and spreads it over its workers.
What is above the share is given back; what nobody holds is taken as far as the share goes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from persistence.drain_batch import PartitionState


@dataclass(frozen=True, slots=True)
class LeasedPartition:
    """A partition and its lease, as they stand in the ledger.

    ``opening`` is "open" where it may be drained; ``is_free`` is that nobody has a lease that still holds.
    """

    state: PartitionState
    opening: str
    stopped_reason: str | None
    leased_by: str | None
    is_free: bool

    @property
    def may_be_drained(self) -> bool:
        return self.opening == "open" and self.stopped_reason is None


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """``ask_back`` from the workers, take up to ``room`` of ``takeable``, ``give_back`` to the ledger."""

    ask_back: frozenset[int]
    takeable: frozenset[int]
    room: int
    give_back: frozenset[int]


def plan_leases(
    partitions: Mapping[int, LeasedPartition],
    *,
    drainer_id: str,
    drainer_count: int,
    held: Mapping[int, Mapping[int, int]],
    waiting: Collection[int],
) -> LeasePlan:
    """What to do about the leases.

    ``held`` has, for each worker that can drain, the partitions that it has and their leases; ``waiting`` are
    the partitions that cannot be drained whoever has them.
    """
    drainable = {p for p, found in partitions.items() if found.may_be_drained and p not in waiting}
    share = -(-len(drainable) // drainer_count)
    kept = {
        worker: sorted(
            p
            for p, lease in leases.items()
            if p in drainable and partitions[p].leased_by == drainer_id and partitions[p].state.lease == lease
        )
        for worker, leases in held.items()
    }
    all_held = {p for leases in held.values() for p in leases}
    within = _within_share(kept, share)
    unheld = drainable - all_held
    return LeasePlan(
        ask_back=frozenset(all_held - within),
        takeable=frozenset(
            p for p in unheld if partitions[p].is_free or partitions[p].leased_by == drainer_id
        ),
        room=max(0, share - sum(map(len, kept.values()))) if held else 0,
        give_back=frozenset(
            p for p, found in partitions.items() if found.leased_by == drainer_id and p not in all_held
        ),
    )


def _within_share(kept: Mapping[int, Collection[int]], share: int) -> set[int]:
    """The partitions that stay where they are: no more than the share, and about as many for each worker."""
    if not kept:
        return set()
    count = min(share, sum(map(len, kept.values())))
    each = -(-count // len(kept))
    evenly = [p for partitions in kept.values() for p in list(partitions)[:each]]
    return set(evenly[:count])
