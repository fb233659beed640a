"""Which stores there are, how the service is set up for each, and which faults can be done to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.clocks import Clock
from tests.faults.cluster_store import ClusterStore
from tests.faults.replicated_store import ReplicatedStore
from tests.faults.schedule import (
    CLUSTER_FSYNC_KINDS,
    CLUSTER_FSYNC_LOSSES,
    CLUSTER_KINDS,
    LOSSES,
    REPLICA_FSYNC_KINDS,
    REPLICA_FSYNC_LOSSES,
    REPLICA_KINDS,
    SINGLE_KINDS,
)
from tests.faults.stores import SingleStore, Store

_REPLICATED = {"STAKEHOLD_DURABILITY": "replicated", "STAKEHOLD_REPLICAS": "1"}


@dataclass(frozen=True, slots=True)
class Variety:
    """``losses`` are the kinds with which durability is broken on purpose."""

    name: str
    make: Callable[[Path, Clock | None], Store]
    kinds: Sequence[str]
    losses: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


SINGLE = Variety("single", lambda folder, clock: SingleStore(folder, clock=clock), SINGLE_KINDS, LOSSES)
REPLICA = Variety("replica", lambda folder, _: ReplicatedStore(folder), REPLICA_KINDS, settings=_REPLICATED)
REPLICA_FSYNC = Variety(
    "replica-fsync", lambda folder, _: ReplicatedStore(folder), REPLICA_FSYNC_KINDS, REPLICA_FSYNC_LOSSES
)
CLUSTER = Variety("cluster", lambda folder, _: ClusterStore(folder), CLUSTER_KINDS, settings=_REPLICATED)
CLUSTER_FSYNC = Variety(
    "cluster-fsync", lambda folder, _: ClusterStore(folder), CLUSTER_FSYNC_KINDS, CLUSTER_FSYNC_LOSSES
)

VARIETIES = {variety.name: variety for variety in (SINGLE, REPLICA, REPLICA_FSYNC, CLUSTER, CLUSTER_FSYNC)}
ROTATION = (
    SINGLE,
    REPLICA,
    SINGLE,
    CLUSTER,
    SINGLE,
    SINGLE,
    REPLICA_FSYNC,
    SINGLE,
    CLUSTER_FSYNC,
    SINGLE,
)
"""Of seeds that follow one another: 3 runs on a single store, 1 with a replica, 1 on a Cluster."""


def variety_of(seed: int, possible: Sequence[Variety]) -> Variety:
    """Always the same one for a seed."""
    rotation = [variety for variety in ROTATION if variety in possible]
    return rotation[seed % len(rotation)]
