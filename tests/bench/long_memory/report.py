"""The table, and which goals are met."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.bench.long_memory.running import Results
from tests.bench.neighbours import QUIET
from tests.bench.report import Goal

GOALS: Mapping[tuple[str, str], Goal] = {
    ("sweep_under_load", "p99_ratio"): Goal(2.0, at_least=False),
    ("forever", "filter_of_fewer_vs_everything_known"): Goal(0.9),
    ("forever", "filter_of_more_vs_everything_known"): Goal(0.9),
    ("backlog", "ratio_to_ordinary_drain"): Goal(0.8),
}
_NOT_SHOWN = ("took_s", "neighbours_share")


def document(results: Results) -> dict[str, Any]:
    """The content of build/bench-long-memory.json."""
    goals = {
        f"{chapter}.{name}": {"goal": str(goal), "met": goal.met_by(results.chapters[chapter][name])}
        for (chapter, name), goal in GOALS.items()
    }
    return {"environment": results.environment, **results.chapters, "goals": goals}


def table(results: Results) -> Iterator[str]:
    yield "  ".join(f"{name} {value}" for name, value in results.environment.items())
    for chapter, figures in results.chapters.items():
        yield ""
        busy = f"{figures['took_s']} s, others took {figures['neighbours_share']:.0%} of the machine"
        yield f"{chapter.replace('_', ' ')} ({busy})"
        for name, value in _flat(figures):
            line = f"  {name.replace('_', ' '):44} {_shown(value):>14}  {_judged(chapter, name, value)}"
            yield line.rstrip()


def warnings(results: Results) -> Iterator[str]:
    """What a reader must know before believing the figures."""
    for chapter, figures in results.chapters.items():
        share = figures["neighbours_share"]
        if share > QUIET:
            yield f"Other programs took {share:.0%} of the processors while measuring {chapter}."


def _flat(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from ((f"{name}_{inner}", number) for inner, number in value.items())
        elif name not in _NOT_SHOWN:
            yield name, value


def _shown(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _judged(chapter: str, name: str, value: float) -> str:
    goal = GOALS.get((chapter, name))
    return f"{goal}: {'met' if goal.met_by(value) else 'NOT MET'}" if goal else ""
