"""Batches, streams and the bare script in turns."""

from collections.abc import Awaitable, Callable

from tests.bench.figures import Figures, medians, paired_ratio
from tests.bench.load import Job
from tests.bench.loader import Loader
from tests.bench.plan import Plan

CONCURRENCIES = {"batch": 2, "stream": 2}
"""How many of each are under way at once."""


async def in_turns(
    loader: Loader, plan: Plan, bare_script: Callable[[str, int], Awaitable[float]]
) -> tuple[dict[str, Figures], float, dict[str, float]]:
    """The figures of both, the rates of the bare script, and each one's ratio to that.

    ``bare_script`` gives its rate for so many calls whose ids begin with a name. All get as many bets, and
    one round each that does not count.
    """
    rounds: dict[str, list[Figures]] = {method: [] for method in CONCURRENCIES}
    ceilings: list[float] = []
    for number in range(plan.rounds + 1):
        count = plan.bulk_commands if number else plan.bulk_commands // 4
        ceiling = await bare_script(loader.new_run(), count)
        if number:
            ceilings.append(ceiling)
        for method, concurrency in CONCURRENCIES.items():
            job = Job(method, loader.new_run(), plan.players, concurrency=concurrency, count=count)
            figures = await loader.run(job)
            if number:
                rounds[method].append(figures)
    summaries = {method: medians(theirs) for method, theirs in rounds.items()}
    ratios = {
        method: paired_ratio([one.per_s for one in theirs], ceilings) for method, theirs in rounds.items()
    }
    return summaries, sorted(ceilings)[len(ceilings) // 2], ratios
