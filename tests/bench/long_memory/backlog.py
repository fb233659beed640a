"""Records that pile up while Postgres is away, and how fast they are drained."""

from typing import Any

from tests.bench import ceilings
from tests.bench.drains import drain_rate
from tests.bench.long_memory.stage import Stage


async def drain_a_backlog(stage: Stage, *, ordinary_per_s: float, debits_per_s: float) -> dict[str, Any]:
    """Nothing is drained while active players bet; then all of it, into a ledger that has a long past."""
    size = stage.size
    written_per_s = await ceilings.scripts_per_s(
        stage.valkey,
        stage.stack.valkey.port,
        partition_count=stage.oblivion.partition_count,
        players=size.active,
        calls=size.backlog,
    )
    per_s, drained = await drain_rate(stage.stack, stage.ledger)
    copied_per_s = await ceilings.copied_rows_per_s(stage.ledger.connection, rows=size.plan.copy_rows)
    return {
        "records": size.backlog,
        "entries_timed": drained,
        "written_per_s": written_per_s,
        "drained_per_s": per_s,
        "bare_copy_per_s": copied_per_s,
        "ordinary_drain_per_s": ordinary_per_s,
        "ratio_to_bare_copy": per_s / copied_per_s,
        "ratio_to_ordinary_drain": per_s / ordinary_per_s,
        "ratio_to_debits": per_s / debits_per_s,
    }
