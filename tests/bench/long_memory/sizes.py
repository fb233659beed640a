"""How much is measured."""

from dataclasses import dataclass, replace

from tests.bench import plan
from tests.bench.plan import Plan


@dataclass(frozen=True, slots=True)
class Size:
    """One run. Players are numbered: first the active ones, then those who come and are forgotten again."""

    plan: Plan
    """What the rounds of new bets take from the benchmark of the hot path."""

    wallets: int
    active: int
    resident: int
    """So many players come back after a loss, the active ones among them."""

    swept_under_load: int
    fewer_older: int
    more_older: int
    late: int
    """Late duplicates, and players who are loaded, one after the other."""

    live_s: float
    live_rounds: int
    backlog: int


QUICK = Size(
    plan=replace(plan.QUICK, rounds=5, round_s=0.3),
    wallets=20_000,
    active=1_000,
    resident=5_000,
    swept_under_load=3_000,
    fewer_older=1_000,
    more_older=25_000,
    late=300,
    live_s=1.0,
    live_rounds=3,
    backlog=30_000,
)
FULL = Size(
    plan=replace(plan.FULL, rounds=9, round_s=0.5),
    wallets=1_000_000,
    active=10_000,
    resident=50_000,
    swept_under_load=20_000,
    fewer_older=1_000,
    more_older=100_000,
    late=2_000,
    live_s=2.0,
    live_rounds=5,
    backlog=300_000,
)
