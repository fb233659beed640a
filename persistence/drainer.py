"""Carries the outboxes into the ledger: each record exactly once, in order.

A partition has one owner at a time. It reads the stream after the cursor that stands in Postgres, and one SQL
transaction writes the entries and moves the cursor. So a crash at any point loses and doubles nothing, and
any number of drainers may run: those that own nothing wait to take over.
"""

import asyncio
import time
from collections.abc import Callable

from persistence.drain_metrics import DrainMetrics
from persistence.drain_worker import DrainSettings, DrainWorker
from persistence.errors import LedgerBroken
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import LedgerSettings, read_settings
from persistence.postgres.ledger_writer import BetweenSteps, go_on
from persistence.postgres.migrating import require_migrated


def wall_clock_ms() -> int:
    """Now, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Drainer:
    """Drains all partitions that nobody else drains, in a few workers.

    ``between_steps`` is called after each step with its name; tests end the drainer there.
    """

    def __init__(
        self,
        settings: DrainSettings,
        *,
        metrics: DrainMetrics,
        now_ms: Callable[[], int] = wall_clock_ms,
        between_steps: BetweenSteps = go_on,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._now_ms = now_ms
        self._between_steps = between_steps

    async def run(self, stop: asyncio.Event, *, until_empty: bool = False) -> None:
        """Drains until ``stop`` is set, or with ``until_empty`` until the outboxes are.

        A partition with a record that cannot be applied stops, the others go on. Raises LedgerBroken at the
        end if there are such, or if something is left because its store has to be taken over first;
        SetupRefused at the start if the database is not migrated.
        """
        ledger = await self._ledger()
        count = ledger.partition_count
        worker_count = min(self._settings.worker_count, count)
        workers = [
            DrainWorker(
                self._settings,
                range(first, count, worker_count),
                ledger_id=ledger.ledger_id,
                partition_count=count,
                metrics=self._metrics,
                now_ms=self._now_ms,
                between_steps=self._between_steps,
            )
            for first in range(worker_count)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(worker.run(stop, until_empty=until_empty))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        _require_all_drained(workers, until_empty=until_empty)

    async def _ledger(self) -> LedgerSettings:
        async with ledger_connection(
            self._settings.postgres_url,
            role=LedgerRole.WRITER,
            statement_timeout_s=self._settings.statement_timeout_s,
        ) as connection:
            await require_migrated(connection)
            return await read_settings(connection)


def _require_all_drained(workers: list[DrainWorker], *, until_empty: bool) -> None:
    stopped = {partition: reason for worker in workers for partition, reason in worker.stopped.items()}
    waiting = {partition: reason for worker in workers for partition, reason in worker.waiting.items()}
    problems: list[str] = []
    if stopped:
        problems.append(f"{len(stopped)} partitions are stopped and need a decision. {_reasons(stopped)}")
    if until_empty and waiting:
        problems.append(
            f"{len(waiting)} partitions wait for their store to be taken over. {_reasons(waiting)}"
        )
    if problems:
        raise LedgerBroken(". ".join(problems))


def _reasons(partitions: dict[int, str]) -> str:
    return "; ".join(f"partition {partition}: {reason}" for partition, reason in sorted(partitions.items()))
