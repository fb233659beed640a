"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of one run.

    Rounds are odd, so that a median is one of them, and many and short rather than few and long, so that a
    neighbour's burst spoils both sides of a pair, or few pairs.
    """

    players: int
    rounds: int
    round_s: float
    script_calls: int
    bulk_commands: int
    copy_rows: int
    draining_s: float
    half_load_s: float
    remembered_ids: int
    settlements: int


FULL = Plan(
    players=10_000,
    rounds=11,
    round_s=0.7,
    script_calls=100_000,
    bulk_commands=12_000,
    copy_rows=100_000,
    draining_s=8.0,
    half_load_s=8.0,
    remembered_ids=20_000,
    settlements=100_000,
)
QUICK = Plan(
    players=1_000,
    rounds=5,
    round_s=0.25,
    script_calls=10_000,
    bulk_commands=8_000,
    copy_rows=20_000,
    draining_s=1.0,
    half_load_s=1.5,
    remembered_ids=2_000,
    settlements=20_000,
)
CONCURRENCIES = (1, 16, 64, 256)
MAIN_CONCURRENCY = 64
"""The concurrency of the comparisons that are made at one only."""
