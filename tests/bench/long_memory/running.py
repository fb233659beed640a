"""One run, from an empty ledger to all figures."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.drains import drain_rate
from tests.bench.environment import environment
from tests.bench.long_memory import backlog, coming_back, forever
from tests.bench.long_memory.seeding import Past
from tests.bench.long_memory.sizes import Size
from tests.bench.long_memory.stage import Stage, stage
from tests.bench.neighbours import Neighbours

Tell = Callable[[str], None]
Chapter = dict[str, Any]


@dataclass(slots=True)
class Results:
    """What goes into build/bench-long-memory.json. Each chapter says how busy the machine was with others."""

    environment: Chapter = field(default_factory=dict)
    chapters: dict[str, Chapter] = field(default_factory=dict)

    async def add(self, name: str, measuring: Awaitable[Chapter]) -> Chapter:
        neighbours, started = Neighbours(), time.perf_counter()
        figures = self.chapters[name] = await measuring
        figures["took_s"] = round(time.perf_counter() - started, 1)
        figures["neighbours_share"] = round(neighbours.share(), 3)
        return figures


async def measure(size: Size, folder: Path, tell: Tell) -> Results:
    """A whole run. ``tell`` hears what is measured next."""
    results = Results()
    past = Past(size.wallets, (0, size.fewer_older, size.more_older, size.more_older))
    whole, started = Neighbours(), time.perf_counter()
    tell(f"starting the servers, and writing {size.wallets:,} wallets into the ledger")
    async with stage(folder, size, past) as made:
        results.environment = await environment(made.stack, made.ledger, size.plan)
        results.environment["set_up_in_s"] = round(time.perf_counter() - started, 1)
        await _measure(results, made, tell)
        results.environment["took_s"] = round(time.perf_counter() - started, 1)
        results.environment["neighbours_share"] = round(whole.share(), 3)
    return results


async def _measure(results: Results, made: Stage, tell: Tell) -> None:
    size = made.size
    tell(f"{size.active:,} active players")
    memory = await results.add("memory", coming_back.memory_for_the_active(made))
    async with made.stack.draining():
        tell(f"the store is emptied, and {size.resident:,} players come back")
        rebuilt = await results.add("rebuild", coming_back.rebuild(made))
        tell("all but the active are forgotten again")
        await results.add("sweep", coming_back.sweep(made, empty_bytes=memory["used_bytes_before"]))
        tell("a sweep under load")
        await results.add("sweep_under_load", coming_back.sweep_under_load(made))
        await made.ledger.until_drained()
    tell("new bets, with and without a filter of older ids")
    await results.add("forever", forever.new_bets(made))
    ordinary_per_s, _ = await drain_rate(made.stack, made.ledger)
    tell("late duplicates")
    await results.add("late_calls", forever.late_calls(made))
    tell(f"{size.backlog:,} records while nothing is drained")
    draining = backlog.drain_a_backlog(
        made, ordinary_per_s=ordinary_per_s, debits_per_s=rebuilt["resident_per_s"]
    )
    await results.add("backlog", draining)
