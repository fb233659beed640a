"""Holds a drainer's leases: takes its share of the partitions and hands them to the workers.

One loop for the whole process, on connections of its own, so that leases are renewed whatever the workers are
at. What is in the ledger decides: a partition that no worker has is handed out or given back, whichever way
it was lost, and always with the state that stands there now.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from persistence.drain_metrics import DrainMetrics
from persistence.drain_progress import DrainProgress
from persistence.drain_settings import DrainSettings
from persistence.drain_worker import DrainWorker
from persistence.errors import LedgerUnavailable, SetupRefused, StoreUnavailable
from persistence.events import any_set
from persistence.lease_plan import LeasedPartition, plan_leases
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.leases import Leases, session_name
from persistence.transactions import OutboxPosition
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey, outbox_reader

_log = structlog.get_logger(__name__)

_Table = Mapping[int, LeasedPartition]
_Surveys = Mapping[int, OutboxSurvey]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look. ``all_have_owners``: of what can be drained and reached, nothing was left to be taken."""

    table: _Table
    surveys: _Surveys
    unreached: Mapping[int, str]
    all_have_owners: bool


class LeaseHolder:
    """``stopped`` says, for each partition that is not drained and waits for a person, why; ``waiting``, for
    each that is not drained because its store is not the one that the ledger took over last, or is away.
    """

    def __init__(
        self,
        settings: DrainSettings,
        workers: Sequence[DrainWorker],
        *,
        drainer_id: str,
        ledger_id: UUID,
        metrics: DrainMetrics,
        progress: DrainProgress,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._drainer_id = drainer_id
        self._ledger_id = ledger_id
        self._metrics = metrics
        self._progress = progress
        self._watched: list[int] = []
        self._retry_delay_s = settings.first_retry_delay_s
        self._changed = asyncio.Event()
        self._ends: dict[int, OutboxPosition | None] = {}
        self.stopped: dict[int, str] = {}
        self.waiting: dict[int, str] = {}
        for worker in workers:
            worker.on_change = self._changed.set

    async def run(self, stop: asyncio.Event, *, until_empty: bool) -> None:
        """Holds leases until told to stop, or until what was in the outboxes at first is in the ledger.

        Ends the workers then, and gives the leases back when they have ended.
        """
        while not stop.is_set():
            try:
                await self._run_connected(stop, until_empty=until_empty)
                return
            except (LedgerUnavailable, StoreUnavailable) as error:
                _log.warning("leases_interrupted", error=str(error))
                self._metrics.retries.inc()
                if isinstance(error, LedgerUnavailable):
                    await self._measure()
                await any_set(stop, timeout_s=self._retry_delay_s)
                self._retry_delay_s = min(self._retry_delay_s * 2, self._settings.last_retry_delay_s)

    async def _run_connected(self, stop: asyncio.Event, *, until_empty: bool) -> None:
        settings = self._settings
        interval_s = min(settings.claim_interval_s, settings.lease_s / 3)
        if until_empty:
            interval_s = min(interval_s, settings.block_ms / 1000)
        async with (
            ledger_connection(
                settings.postgres_url,
                role=LedgerRole.WRITER,
                statement_timeout_s=settings.statement_timeout_s,
                application=session_name(self._drainer_id),
            ) as connection,
            outbox_reader(settings.valkey_url, timeout_s=settings.store_timeout_s) as reader,
        ):
            leases = Leases(connection, drainer_id=self._drainer_id, lease_s=settings.lease_s)
            while not stop.is_set():
                self._changed.clear()
                seen = await self._hold(leases, reader, look_at_all=until_empty)
                self._retry_delay_s = settings.first_retry_delay_s
                if until_empty and self._is_drained(seen):
                    break
                await any_set(stop, self._changed, timeout_s=interval_s)
            for worker in self._workers:
                worker.finish()
            for worker in self._workers:
                await worker.ended.wait()
            await leases.retire()

    async def _hold(self, leases: Leases, reader: OutboxReader, *, look_at_all: bool) -> _Seen:
        """One look at all partitions, and what follows from it."""
        # Before anything is read: what a worker lets go of meanwhile is looked at the next time.
        held = {number: worker.leases for number, worker in enumerate(self._workers) if worker.is_connected}
        all_held = {partition for partitions in held.values() for partition in partitions}
        table = await leases.partitions()
        surveys = await reader.survey(
            partition
            for partition, found in table.items()
            if found.may_be_drained and (look_at_all or found.is_free or found.leased_by == self._drainer_id)
        )
        unreached = dict(reader.unreached)
        # Only now: who does not reach the store, or has no worker that does, is no drainer.
        drainer_count = await leases.count_drainers() if held else 1
        await leases.renew(all_held)
        waiting = self._waiting(table, surveys) | unreached
        self._note(table, waiting)
        self._tell_waiting(
            {p: survey for p, survey in surveys.items() if table[p].leased_by in {None, self._drainer_id}}
        )
        plan = plan_leases(
            table, drainer_id=self._drainer_id, drainer_count=drainer_count, held=held, waiting=waiting
        )
        for worker in self._workers:
            worker.ask_back(plan.ask_back)
        taken = await leases.take(plan.takeable, limit=plan.room) if plan.takeable and plan.room else []
        self._hand_out(taken)
        # Most often somebody else was quicker, and nobody is silent.
        if len(taken) < min(plan.room, len(plan.takeable)):
            await self._cut_off_silent(leases, plan.takeable)
        if rest := plan.give_back - {found.state.partition for found in taken}:
            await leases.give_back(rest)
        return _Seen(table, surveys, unreached, bool(held) and not plan.takeable)

    async def _cut_off_silent(self, leases: Leases, partitions: Collection[int]) -> None:
        try:
            if ended := await leases.end_silent_sessions(partitions):
                _log.warning("silent_drainer_cut_off", session_count=ended)
        except SetupRefused as error:
            # The other one logs in as somebody else: its rows stay locked until its machine is stopped.
            _log.error("silent_drainer_not_cut_off", error=str(error))

    def _hand_out(self, taken: Sequence[LeasedPartition]) -> None:
        for found in taken:
            connected = [worker for worker in self._workers if worker.is_connected]
            if connected:
                min(connected, key=lambda worker: len(worker.leases)).hand(found.state)

    def _waiting(self, table: _Table, surveys: _Surveys) -> dict[int, str]:
        waiting = {
            partition: f"the ledger is taking its store over, into epoch {found.state.epoch}"
            for partition, found in table.items()
            if found.opening == "opening"
        }
        for partition, survey in surveys.items():
            state = table[partition].state
            if problem := survey.problem(self._ledger_id, state.epoch, state.cursor):
                waiting[partition] = problem
        return waiting

    def _note(self, table: _Table, waiting: dict[int, str]) -> None:
        stopped = {
            partition: found.stopped_reason or "the ledger has not opened it"
            for partition, found in table.items()
            if found.stopped_reason is not None or found.opening == "new"
        }
        for partition in table:
            self._metrics.stopped.labels(partition).set(partition in stopped)
            self._metrics.waiting.labels(partition).set(partition in waiting)
        for partition in stopped.keys() - self.stopped.keys():
            _log.error("partition_stopped", partition=partition, reason=stopped[partition])
        for partition in waiting.keys() - self.waiting.keys():
            _log.warning("partition_waits_for_its_store", partition=partition, reason=waiting[partition])
        self.stopped, self.waiting = stopped, waiting

    async def _measure(self) -> None:
        """How much waits for a ledger that is away, if the store tells."""
        settings = self._settings
        with suppress(StoreUnavailable):
            async with outbox_reader(settings.valkey_url, timeout_s=settings.store_timeout_s) as reader:
                self._tell_waiting(await reader.survey(self._watched))

    def _tell_waiting(self, surveys: _Surveys) -> None:
        """What waits in this drainer's partitions, and in those that nobody has."""
        self._watched = list(surveys)
        self._progress.waits({partition: survey.length for partition, survey in surveys.items()})

    def _is_drained(self, seen: _Seen) -> bool:
        """Whether everything is in the ledger that was in the outboxes at first, whoever drained it.

        Not that of partitions that are stopped, or wait for their store to be taken over.
        """
        for partition, survey in seen.surveys.items():
            self._ends.setdefault(partition, survey.last)
        return (
            not seen.unreached
            and seen.all_have_owners
            and all(worker.is_idle for worker in self._workers)
            and all(
                self._reached(seen.table[partition].state.cursor, partition, survey)
                for partition, survey in seen.surveys.items()
                if partition not in self.waiting
            )
        )

    def _reached(self, cursor: OutboxPosition, partition: int, survey: OutboxSurvey) -> bool:
        end = self._ends[partition]
        return end is None or cursor >= end or survey.length == 0
