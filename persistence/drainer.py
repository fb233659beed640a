"""Carries the outboxes into the ledger: each record exactly once, in order.

A partition has one owner at a time, by a lease in Postgres. It reads the stream after the cursor that stands
in Postgres, and one SQL transaction writes the entries and moves the cursor, if both the cursor and the lease
are still what they were. So a crash at any point loses and doubles nothing, and any number of drainers may
run: they share the partitions.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

from persistence.drain_metrics import DrainMetrics
from persistence.drain_progress import DrainProgress
from persistence.drain_settings import DrainSettings
from persistence.drain_tracing import DrainTracing, NoDrainTracing
from persistence.drain_worker import DrainWorker
from persistence.errors import LedgerBroken
from persistence.lease_holder import LeaseHolder
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import LedgerSettings, read_settings
from persistence.postgres.ledger_writer import BetweenSteps, go_on
from persistence.postgres.migrating import require_migrated


def wall_clock_ms() -> int:
    """Now, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def new_drainer_id() -> str:
    """A name that no other drainer has, and that tells people where it runs. Postgres shows it whole."""
    return f"{socket.gethostname()[:32]}-{uuid4().hex[:12]}"


class Drainer:
    """Drains its share of the partitions, in a few workers.

    ``between_steps`` is called after each step with its name; tests end the drainer there.
    """

    def __init__(
        self,
        settings: DrainSettings,
        *,
        metrics: DrainMetrics,
        now_ms: Callable[[], int] = wall_clock_ms,
        between_steps: BetweenSteps = go_on,
        drainer_id: str | None = None,
        tracing: DrainTracing | None = None,
    ) -> None:
        self._settings = settings
        self._drainer_id = drainer_id or new_drainer_id()
        self.workers: list[DrainWorker] = []
        self._metrics = metrics
        self._now_ms = now_ms
        self._between_steps = between_steps
        self._tracing = tracing or NoDrainTracing()

    async def run(self, stop: asyncio.Event, *, until_empty: bool = False) -> None:
        """Drains until ``stop`` is set, or with ``until_empty`` until the outboxes are.

        Empty means that what was in the outboxes is in the ledger, whoever drained it: where a drainer died,
        its leases run out first. A partition with a record that cannot be applied stops, the others go on.
        Raises LedgerBroken at the end if there are such, or if something is left because its store has to be
        taken over first; SetupRefused at the start if the database is not migrated.
        """
        ledger = await self._ledger()
        progress = DrainProgress(self._metrics, self._now_ms)
        self.workers = workers = [
            DrainWorker(
                self._settings,
                drainer_id=self._drainer_id,
                partition_count=ledger.partition_count,
                metrics=self._metrics,
                progress=progress,
                between_steps=self._between_steps,
                tracing=self._tracing,
            )
            for _ in range(min(self._settings.worker_count, ledger.partition_count))
        ]
        holder = LeaseHolder(
            self._settings,
            workers,
            drainer_id=self._drainer_id,
            ledger_id=ledger.ledger_id,
            metrics=self._metrics,
            progress=progress,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(holder.run(stop, until_empty=until_empty))
                for worker in workers:
                    group.create_task(worker.run(stop))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        _require_all_drained(holder, until_empty=until_empty)

    async def _ledger(self) -> LedgerSettings:
        async with ledger_connection(
            self._settings.postgres_url,
            role=LedgerRole.WRITER,
            statement_timeout_s=self._settings.statement_timeout_s,
        ) as connection:
            await require_migrated(connection)
            return await read_settings(connection)


def _require_all_drained(holder: LeaseHolder, *, until_empty: bool) -> None:
    problems: list[str] = []
    if stopped := holder.stopped:
        problems.append(f"{len(stopped)} partitions are stopped and need a decision. {_reasons(stopped)}")
    if until_empty and (waiting := holder.waiting):
        problems.append(
            f"{len(waiting)} partitions wait for their store to be taken over, or to be there. "
            f"{_reasons(waiting)}"
        )
    if problems:
        raise LedgerBroken(". ".join(problems))


def _reasons(partitions: Mapping[int, str]) -> str:
    return "; ".join(f"partition {partition}: {reason}" for partition, reason in sorted(partitions.items()))
