"""Memory for the active, the rebuild of a store that lost everything, and sweeps."""

import asyncio
import time
from statistics import median
from typing import Any

from persistence.drainer import wall_clock_ms
from persistence.forgetting import Pace
from tests.bench.load import Job
from tests.bench.long_memory.stage import Stage

_SWEEP_WINDOW_S = 1.0
_LOAD_SHARE = 0.25
"""Of the debits that the server can do: so many come in while the sweep goes on."""


async def memory_for_the_active(stage: Stage) -> dict[str, Any]:
    """What the store holds for players who are asked for, whatever the ledger has beside them."""
    active = stage.size.active
    empty = await stage.bytes_used()
    async with stage.stack.draining():
        loads = await stage.send("look", players=active)
        looked_at = await stage.bytes_used()
        await stage.send("debit", players=active)
        await stage.ledger.until_drained()
        played = await stage.bytes_used()
    return {
        "players_in_the_ledger": stage.size.wallets,
        "active_players": active,
        "used_bytes_before": empty,
        "bytes_per_active_player": round((looked_at - empty) / active),
        "bytes_per_bet_in_its_round": round((played - looked_at) / active),
        "loads_per_s": loads.per_s,
    }


async def rebuild(stage: Stage) -> dict[str, Any]:
    """The store is emptied under the server, and players come back by betting."""
    resident = stage.size.resident
    await stage.valkey.flushall()
    first_answer_s = await stage.until_first_answer()
    back = await stage.send("debit", players=resident)
    known = await stage.send("debit", players=resident)
    return {
        "wallets_in_the_ledger": stage.size.wallets,
        "players": resident,
        "first_answer_ms": 1000 * first_answer_s,
        "wallets_per_s": back.per_s,
        "p50_ms": back.p50_ms,
        "p99_ms": back.p99_ms,
        "resident_per_s": known.per_s,
        "ratio_to_resident": back.per_s / known.per_s,
        "server_cpu_us": back.server_cpu_us,
    }


async def sweep(stage: Stage, *, empty_bytes: int) -> dict[str, Any]:
    """All but the active players are forgotten again. ``empty_bytes`` are in use without any player."""
    size = stage.size
    await stage.ledger.until_drained()
    peak = await stage.bytes_used()
    cut_ms = wall_clock_ms() + 1
    await asyncio.sleep(0.01)
    await stage.send("look", players=size.active)
    await stage.send("debit", players=size.active)
    await stage.ledger.until_drained()
    before = stage.oblivion.forgetter.counts
    forgotten_before, fields_before = before.forgotten_players, before.forgotten_fields
    seconds = await _sweep(stage, cut_ms)
    after = await stage.bytes_used()
    counts = stage.oblivion.forgetter.counts
    forgotten = counts.forgotten_players - forgotten_before
    return {
        "players": size.resident,
        "forgotten_players": forgotten,
        "forgotten_fields": counts.forgotten_fields - fields_before,
        "seconds": seconds,
        "players_per_s": size.resident / seconds,
        "used_bytes_before": peak,
        "used_bytes_after": after,
        "bytes_per_player_before": round((peak - empty_bytes) / size.resident),
        "bytes_per_remaining_player": round((after - empty_bytes) / (size.resident - forgotten)),
        "memory_left_share": (after - empty_bytes) / (peak - empty_bytes),
        "players_left_share": (size.resident - forgotten) / size.resident,
    }


async def sweep_under_load(stage: Stage) -> dict[str, Any]:
    """Live debits of active players, with and without a sweep that finds much to forget."""
    size = stage.size
    capacity = await stage.loader.run(Job("debit", stage.loader.new_run(), size.active, seconds=size.live_s))
    per_s = _LOAD_SHARE * capacity.per_s
    await stage.send("look", first=size.active, players=size.swept_under_load)
    quiet = [await _live(stage, per_s) for _ in range(size.live_rounds)]
    cut_ms = wall_clock_ms() + 1
    await asyncio.sleep(0.01)
    await stage.send("debit", players=size.active)
    await stage.ledger.until_drained()
    forgotten = stage.oblivion.forgetter.counts.forgotten_players
    sweeping = asyncio.create_task(_sweep(stage, cut_ms))
    swept = [await _live(stage, per_s)]
    while not sweeping.done():
        swept.append(await _live(stage, per_s))
    seconds = await sweeping
    rounds = swept[:-1] or swept
    quiet += [await _live(stage, per_s) for _ in range(size.live_rounds)]
    return {
        "debits_per_s": per_s,
        "seconds": seconds,
        "forgotten_players": stage.oblivion.forgetter.counts.forgotten_players - forgotten,
        "rounds": len(rounds),
        "p50_ms": median(p50 for p50, _ in quiet),
        "p99_ms": median(p99 for _, p99 in quiet),
        "swept_p50_ms": median(p50 for p50, _ in rounds),
        "swept_p99_ms": median(p99 for _, p99 in rounds),
        "p99_ratio": median(p99 for _, p99 in rounds) / median(p99 for _, p99 in quiet),
    }


async def _live(stage: Stage, per_s: float) -> tuple[float, float]:
    """The latencies of a round of debits that come at their own pace: p50 and p99, ms."""
    run = stage.loader.new_run()
    job = Job("debit", run, stage.size.active, seconds=stage.size.live_s, per_s=per_s)
    figures = await stage.loader.run(job)
    return figures.p50_ms, figures.p99_ms


async def _sweep(stage: Stage, cut_ms: int) -> float:
    """Forgets what was not used since the moment; how many seconds it takes."""
    started = time.perf_counter()
    await stage.oblivion.forgetter.sweep(
        lambda: cut_ms + round(1000 * _SWEEP_WINDOW_S), Pace(_SWEEP_WINDOW_S)
    )
    return time.perf_counter() - started
