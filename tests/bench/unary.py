"""The echo and the debit in turns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.figures import Figures, medians, paired_ratio
from tests.bench.load import Job
from tests.bench.loader import Loader
from tests.bench.plan import Plan


@dataclass(frozen=True, slots=True)
class Contestant:
    """What takes its turns: a method, over so many players (0: the hot one) from number ``first`` on."""

    name: str
    method: str
    players: int
    first: int = 0


Rounds = Mapping[str, Sequence[Figures]]


async def in_turns(
    loader: Loader, plan: Plan, contestants: Sequence[Contestant], *, concurrency: int
) -> dict[str, list[Figures]]:
    """All contestants' rounds, A B C A B C …, after one round each that does not count."""
    rounds: dict[str, list[Figures]] = {contestant.name: [] for contestant in contestants}
    for number in range(plan.rounds + 1):
        for contestant in contestants:
            job = Job(
                method=contestant.method,
                run=loader.new_run(),
                players=contestant.players,
                concurrency=concurrency,
                seconds=plan.round_s if number else plan.round_s / 4,
                first=contestant.first,
            )
            figures = await loader.run(job)
            if number:
                rounds[contestant.name].append(figures)
    return rounds


def rate_ratio(rounds: Rounds, numerator: str, denominator: str) -> float:
    return paired_ratio([f.per_s for f in rounds[numerator]], [f.per_s for f in rounds[denominator]])


def p50_ratio(rounds: Rounds, numerator: str, denominator: str) -> float:
    return paired_ratio([f.p50_ms for f in rounds[numerator]], [f.p50_ms for f in rounds[denominator]])


def summaries(rounds: Rounds) -> dict[str, Figures]:
    return {name: medians(theirs) for name, theirs in rounds.items()}
