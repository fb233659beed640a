"""Which fault strikes when: the same for the same seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

PAIRS = (
    "client-server",
    "server-store",
    "drainer-store",
    "server-ledger",
    "drainer-ledger",
    "worker-store",
    "worker-ledger",
)
"""Those that talk."""

KILLS = ("kill-server", "kill-drainer", "kill-worker", "kill-valkey", "kill-postgres", "kill-backend")
FREEZES = ("freeze-server", "freeze-drainer", "freeze-worker", "freeze-valkey", "freeze-postgres")
BREAKS = ("cut", "half-open", "delay", "refuse")
LINES = tuple(f"{what}-{pair}" for what in BREAKS for pair in PAIRS)
MACHINE = ("clock-step", "disk-full")
LOSSES = ("flushall", "truncate-aof", "wipe-valkey")
"""Durability is broken on purpose: what was acknowledged may be lost, if it is reported."""

SINGLE_KINDS = (*KILLS, *FREEZES, *LINES, *MACHINE, *LOSSES)

PROMOTIONS = ("promote-after-kill", "promote-while-frozen", "promote-planned")
REPLICAS = ("kill-replica", "freeze-replica")
REPLICA_KINDS = (*PROMOTIONS, *REPLICAS, *KILLS, *FREEZES)

REPLICA_FSYNC_LOSSES = ("promote-behind", "promote-after-kill", "promote-while-frozen")
"""Without replicas that confirm, answers may be lost with the primary, if they are reported."""

REPLICA_FSYNC_KINDS = (*REPLICA_FSYNC_LOSSES, "promote-planned", "kill-replica", "kill-valkey", "kill-server")

FAILOVERS = ("failover-kill", "failover-freeze", "failover-planned")
CLUSTER_FSYNC_LOSSES = ("failover-kill", "failover-freeze")
"""As with REPLICA_FSYNC_LOSSES."""

CLUSTER_FSYNC_KINDS = (*FAILOVERS, "migrate-slot", "kill-drainer")
CLUSTER_KINDS = (*FAILOVERS, "migrate-slot", "flush-scripts", "kill-server", "kill-drainer", "kill-postgres")

ALL = tuple(
    dict.fromkeys((*SINGLE_KINDS, *REPLICA_KINDS, *REPLICA_FSYNC_KINDS, *CLUSTER_KINDS, *CLUSTER_FSYNC_KINDS))
)
"""What some store or other can suffer; each can only some (varieties.py)."""

_SHORTEST_HOLD_S, _LONGEST_HOLD_S = 0.1, 2.5
_SHORTEST_GAP_S, _LONGEST_GAP_S = 0.3, 2.5


@dataclass(frozen=True, slots=True)
class Fault:
    """``after_s`` the one before was healed it strikes, and lasts ``hold_s``.

    ``target`` chooses among equals, ``share`` is how much of a file is left, or how far the clock steps.
    """

    kind: str
    after_s: float
    hold_s: float
    target: int
    share: float


def schedule(seed: str, kinds: Sequence[str]) -> Iterator[Fault]:
    """Without end. Every kind comes once before any comes again."""
    random = Random(f"{seed}/schedule")
    while True:
        for kind in random.sample(kinds, len(kinds)):
            yield Fault(
                kind,
                after_s=random.uniform(_SHORTEST_GAP_S, _LONGEST_GAP_S),
                hold_s=random.uniform(_SHORTEST_HOLD_S, _LONGEST_HOLD_S),
                target=random.randrange(1000),
                # Half of the files lose only their very end.
                share=random.choice((1 - random.random() * 0.02, random.random())),
            )


def kinds_named(words: Sequence[str]) -> list[str]:
    """The kinds that begin with one of the words. Raises ValueError for a word that names none."""
    found: list[str] = []
    for word in words:
        named = [kind for kind in ALL if kind.startswith(word) and kind not in found]
        if not named:
            raise ValueError(f"no fault is called {word}; there are {', '.join(ALL)}")
        found += named
    return found
