"""Which fault strikes when: the same for the same seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.cast import PAIRS

KILLS = ("kill-server", "kill-drainer", "kill-valkey", "kill-postgres", "kill-backend")
FREEZES = ("freeze-server", "freeze-drainer", "freeze-valkey", "freeze-postgres")
BREAKS = ("cut", "half-open", "delay", "refuse")
LINES = tuple(f"{what}-{pair}" for what in BREAKS for pair in PAIRS)
MACHINE = ("clock-step", "disk-full")
LOSSES = ("flushall", "truncate-aof", "wipe-valkey")
"""Durability is broken on purpose: what was acknowledged may be lost, if it is reported."""

LOSSLESS = (*KILLS, *FREEZES, *LINES, *MACHINE)
ALL = (*LOSSLESS, *LOSSES)

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
