"""How fast the ledger follows, read from the stores' own positions."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import asyncpg
import redis.asyncio as redis

from persistence.transactions import OutboxPosition
from persistence.valkey.keys import outbox_key
from tests.bench.bench_stack import BenchStack

POLL_S = 0.02
TIMEOUT_S = 180.0
_COUNT = "SELECT sum(entry_count)::bigint FROM ledger.partitions"
_CURSORS = "SELECT partition, cursor_epoch, cursor_sequence FROM ledger.partitions"
_LAGS = """
SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY lag_s)
FROM (
    SELECT extract(epoch FROM recorded_time - booked_time) AS lag_s
    FROM ledger.entries
    WHERE transaction_id LIKE $1
) AS lags
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Both stores, looked at from outside."""

    connection: "asyncpg.Connection[Any]"
    valkey: "redis.Redis"

    async def entry_count(self) -> int:
        return int(await self.connection.fetchval(_COUNT))

    async def partition_count(self) -> int:
        return int(await self.connection.fetchval("SELECT partition_count FROM ledger.settings"))

    async def is_drained(self) -> bool:
        """Whether every partition's cursor stands at its outbox's last record."""
        rows = await self.connection.fetch(_CURSORS)
        for partition, epoch, sequence in rows:
            if not await self.valkey.exists(outbox_key(partition)):
                continue
            stream = await self.valkey.xinfo_stream(outbox_key(partition))
            if OutboxPosition(epoch, sequence) != OutboxPosition.parse(stream["last-generated-id"].decode()):
                return False
        return True

    async def until_drained(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not await self.is_drained():
                await asyncio.sleep(POLL_S)

    async def lag_ms(self, run: str) -> dict[str, float]:
        """Recorded minus booked time of a run's entries."""
        p50, p99 = await self.connection.fetchval(_LAGS, f"{run}-%")
        return {"p50_ms": 1000 * float(p50), "p99_ms": 1000 * float(p99)}


async def drain_rate(stack: BenchStack, ledger: Ledger) -> tuple[float, int]:
    """Entries a second from the first that is drained of a backlog to the last, and how many these were."""
    before = await ledger.entry_count()
    async with stack.draining():
        async with asyncio.timeout(TIMEOUT_S):
            while (first := await ledger.entry_count()) == before:
                await asyncio.sleep(POLL_S)
        started = time.perf_counter()
        await ledger.until_drained()
        elapsed_s = time.perf_counter() - started
        drained = await ledger.entry_count() - first
    return drained / elapsed_s, drained
