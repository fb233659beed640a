"""The table, and which goals are met."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.measuring import Results
from tests.bench.neighbours import QUIET


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio must reach, and whether it is a least or a most."""

    limit: float
    at_least: bool = True

    def met_by(self, ratio: float) -> bool:
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}"


GOALS: Mapping[str, Goal] = {
    "unary_c64": Goal(0.5),
    "unary_c1_p50": Goal(3.0, at_least=False),
    "drain_vs_unary": Goal(1.0),
    "hot_wallet": Goal(0.9),
    "foreign_debit": Goal(0.85),
    "exchange": Goal(0.8),
    "batch": Goal(0.5),
    "stream": Goal(0.5),
    "observability": Goal(0.95),
    "live_p99_while_accepting": Goal(2.0, at_least=False),
    "live_p99_while_applying": Goal(2.0, at_least=False),
}


def document(results: Results) -> dict[str, Any]:
    """The content of build/bench.json."""
    goals = {
        name: {"goal": str(goal), "met": goal.met_by(results.ratios[name])} for name, goal in GOALS.items()
    }
    return {
        "environment": results.environment,
        "ceilings": results.ceilings,
        "product": results.product,
        "ratios": results.ratios,
        "goals": goals,
    }


def table(results: Results) -> Iterator[str]:
    yield "  ".join(f"{name} {value}" for name, value in results.environment.items())
    yield ""
    quantiles = " ".join(f"{name:>8}" for name in ("p50 ms", "p95 ms", "p99 ms"))
    yield f"{'calls':28} {'per second':>11} {quantiles} {'server µs':>10} {'store µs':>9}"
    measured = {**results.ceilings, **results.product}
    for name in sorted((name for name in measured if _is_figures(measured[name])), key=_by_concurrency):
        f = measured[name]
        quantiles = " ".join(f"{f[q]:8.2f}" for q in ("p50_ms", "p95_ms", "p99_ms"))
        yield f"{name:28} {f['per_s']:11,.0f} {quantiles} {f['server_cpu_us']:10.0f} {f['store_cpu_us']:9.0f}"
    yield ""
    lag = results.product["lag_at_half_load"]
    yield f"{'bare script, pipelined':28} {results.ceilings['script_pipelined']['per_s']:11,.0f}"
    yield f"{'bare COPY into Postgres':28} {results.ceilings['postgres_copy']['per_s']:11,.0f}"
    yield f"{'drain of a backlog':28} {results.product['drain']['per_s']:11,.0f}"
    settled = results.product["settlements"]
    yield f"{'settlements accepted':28} {settled['accepted_per_s']:11,.0f}"
    yield f"{'settlements applied':28} {settled['applied_per_s']:11,.0f}"
    lags = f"{lag['p50_ms']:8.0f} {'':8} {lag['p99_ms']:8.0f}"
    yield f"{'lag at half load':28} {lag['debits_per_s']:11,.0f} {lags}"
    events = results.product["events"]
    lags = f"{events['p50_ms']:8.0f} {'':8} {events['p99_ms']:8.0f}"
    yield f"{'events, after the drainer':28} {events['debits_per_s']:11,.0f} {lags}"
    for name, value in results.product.items():
        if name.startswith("redis_bytes"):
            yield f"{name.replace('_', ' '):34} {value:5,}"
    yield ""
    yield f"{'ratio':28} {'value':>11}  goal"
    for name, ratio in results.ratios.items():
        yield f"{name:28} {ratio:11.2f}  {_judged(name, ratio)}".rstrip()


def warnings(results: Results) -> Iterator[str]:
    """What a reader must know before believing the figures."""
    share = results.environment["neighbours_share"]
    if share > QUIET:
        yield f"Other programs took {share:.0%} of the processors: measure again on a quiet machine."

    failed = results.product["lag_at_half_load"].get("failed")
    if failed:
        yield f"At half load, calls failed: {failed}."


def _judged(name: str, ratio: float) -> str:
    goal = GOALS.get(name)
    return f"{goal}: {'met' if goal.met_by(ratio) else 'NOT MET'}" if goal else ""


def _is_figures(value: object) -> bool:
    return isinstance(value, dict) and "server_cpu_us" in value


def _by_concurrency(name: str) -> tuple[int, str]:
    digits = name.partition("_c")[2].partition("_")[0]
    return (int(digits) if digits.isdigit() else 1_000_000, name)
