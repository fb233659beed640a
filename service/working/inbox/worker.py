"""The job that works the inbox off.

It keeps nothing that is not in Postgres: whatever goes wrong ends it, and it begins anew from what is written
there. A command that was applied and not recorded is applied again then, under the same ids: the answer is
the first one, replayed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from persistence.errors import NotDone, Overloaded
from persistence.events import any_set
from persistence.inbox import Attempt, CommandKey
from persistence.outbox_pressure import OutboxPressure, Pressure
from persistence.postgres.database import Pool
from persistence.postgres.inbox.working import InboxLeases, InboxQueue
from service.telemetry.traces import CommandTraces
from service.working.inbox.applying import Applier
from service.working.inbox.lines import MOST_OF_PLAYER, Lines, Taken
from service.working.inbox.metrics import InboxMetrics
from service.working.inbox.pace import Pace
from service.working.inbox.verdicts import APPLIED, Patience, judge
from service.working.jobs import pause
from service.working.processors import ProcessorQueue

_log = structlog.get_logger(__name__)

_LEASE_S = 5.0
_LEASE_MARGIN_S = 1.0
_MOST_LOADED = 4000
_PAGE = 1000
_MOST_SHORT = 200
_MOST_IN_FLIGHT = 256
_MOST_UNRECORDED = 4000
_TICK_S = 0.01
_NOTHING_TO_DO_S = 0.1
_RECORD_EVERY_S = 0.05
_MOST_RECORDED = 2000
_LOOK_EVERY_S = 0.2
_FINISH_EVERY_S = 5.0
_MEASURE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class InboxSettings:
    """What the job can be told."""

    most_per_s: float
    patience: Patience
    partition_count: int
    gives_way: bool = True
    """To whatever else the machine's processors do."""


@dataclass(slots=True)
class _Scan:
    """Commands to be looked through: those of some partitions, after a key, up to a submission."""

    partitions: set[int]
    after: CommandKey
    last_number: int


@dataclass(frozen=True, slots=True)
class _Made:
    """An attempt that is to be recorded, on a lease."""

    attempt: Attempt
    taken: Taken
    lease: int
    elapsed_s: float


class InboxWorker:
    """``run`` is the job. All runs are one worker in Postgres: the next one has its leases at once."""

    def __init__(
        self,
        pool: Pool,
        applier: Applier,
        pressure: OutboxPressure,
        metrics: InboxMetrics,
        settings: InboxSettings,
    ) -> None:
        self._worker_id = uuid4().hex
        self._pool = pool
        self._applier = applier
        self._pressure = pressure
        self._metrics = metrics
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Applies commands until told to stop. Raises LedgerUnavailable."""
        leases = InboxLeases(self._pool, worker_id=self._worker_id, lease_s=_LEASE_S)
        queue = InboxQueue(self._pool, worker_id=self._worker_id)
        run = _Run(leases, queue, self._applier, self._pressure, self._metrics, self._settings)
        try:
            await run.work(stop)
        except* NotDone as group:
            raise _first(group) from group


class _Run:
    def __init__(
        self,
        leases: InboxLeases,
        queue: InboxQueue,
        applier: Applier,
        pressure: OutboxPressure,
        metrics: InboxMetrics,
        settings: InboxSettings,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._leases = leases
        self._queue = queue
        self._applier = applier
        self._pressure = pressure
        self._metrics = metrics
        self._settings = settings
        self._lines = Lines(self._loop.time)
        self._pace = Pace(settings.most_per_s, now=self._loop.time())
        self._held: dict[int, int] = {}
        self._held_until = 0.0
        self._known: dict[int, int] = {}
        self._accepted: dict[int, datetime] = {}
        self._traced: dict[int, CommandTraces | None] = {}
        self._untraced = applier.traced()
        self._finish_at: dict[int, float] = {}
        self._scans: list[_Scan] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        self._made: dict[CommandKey, _Made] = {}
        self._look_at_pressure_at = 0.0
        self._progress = asyncio.Event()
        self._short = asyncio.Event()
        self._ended = asyncio.Event()

    async def work(self, stop: asyncio.Event) -> None:
        await self._leases.plant(self._settings.partition_count)
        await self._hold()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._keep_leases())
                group.create_task(self._measure())
                group.create_task(self._watch_processors())
                recording = group.create_task(self._record())
                await self._dispatch(stop, group)
                self._ended.set()
                await recording
        finally:
            for task in self._in_flight:
                task.cancel()
        await self._leases.retire(self._held.keys())

    async def _dispatch(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        """Begins attempts at the pace, and waits for the last ones to end."""
        while not stop.is_set():
            self._progress.clear()
            began = self._begin(group)
            # Whoever has many commands need not wait for a tick with each of them.
            timeout_s = _TICK_S if began or self._lines.loaded else _NOTHING_TO_DO_S
            await any_set(stop, self._progress, timeout_s=timeout_s)
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _begin(self, group: asyncio.TaskGroup) -> int:
        now = self._loop.time()
        if now >= self._look_at_pressure_at:
            self._look_at_pressure_at = now + _TICK_S
            if max(self._pressure.counts(), default=Pressure.NONE) > Pressure.NONE:
                self._pace.press(now, pause_s=_LOOK_EVERY_S)
        room = min(self._pace.allowance(now), _MOST_IN_FLIGHT - len(self._in_flight))
        if now >= self._held_until or len(self._made) >= _MOST_UNRECORDED:
            return 0
        for began in range(room):
            taken = self._lines.take()
            if taken is None:
                return began
            self._pace.spend(1)
            task = group.create_task(self._attempt(taken, self._held[taken.line.partition]))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)
        return max(0, room)

    async def _attempt(self, taken: Taken, lease: int) -> None:
        command, began, at = taken.command, self._loop.time(), datetime.now(UTC)
        first = command.first_attempt_time or at
        traces = self._traced.get(command.key[0], self._untraced)
        result, error = await self._applier.apply(command.command, traces)
        elapsed_s = self._loop.time() - began
        self._pace.observe(elapsed_s)
        verdict = APPLIED
        if error is not None:
            if isinstance(error, Overloaded):
                self._pace.press(self._loop.time(), pause_s=error.retry_delay_ms / 1000)
            verdict = judge(
                error,
                attempts=command.attempts + 1,
                age_s=(at - first).total_seconds(),
                patience=self._settings.patience,
            )
        attempt = Attempt(
            command,
            verdict.state,
            command.attempts + 1,
            first,
            at,
            verdict.retry_in_s,
            result.SerializeToString(),
        )
        self._made[command.key] = _Made(attempt, taken, lease, elapsed_s)
        if verdict.retry_in_s is None:
            self._lines.decide(taken, hold=not verdict.is_remembered)
        else:
            self._lines.retry(
                taken, attempts=attempt.attempts, first_attempt_time=first, after_s=verdict.retry_in_s
            )
        self._progress.set()

    async def _record(self) -> None:
        """Writes what came of attempts, many at a time, until the end and then the rest."""
        while not self._ended.is_set() or self._made:
            made = [self._made.pop(key) for key in list(self._made)[:_MOST_RECORDED]]
            if made:
                await self._record_all(made)
            if len(made) < _MOST_RECORDED:
                await pause(self._ended, _RECORD_EVERY_S)

    async def _record_all(self, made: Sequence[_Made]) -> None:
        made = [one for one in made if self._held.get(one.taken.line.partition) == one.lease]
        leases = {(one.taken.line.partition, one.lease) for one in made}
        held = await self._queue.record([one.attempt for one in made], leases)
        if lost := {partition for partition, _ in leases - held}:
            self._let_go(lost)
        now = datetime.now(UTC)
        for one in made:
            if (one.taken.line.partition, one.lease) not in held:
                continue
            self._metrics.count(one.attempt.state, one.elapsed_s)
            if one.attempt.retry_in_s is None:
                self._lines.record(one.taken)
                number = one.attempt.command.key[0]
                self._finish_at[number] = 0.0
                if accepted := self._accepted.get(number):
                    self._metrics.observe_delay((now - accepted).total_seconds())
        if self._lines.has_short:
            self._short.set()

    async def _feed(self) -> None:
        """Brings waiting commands into memory, and marks submissions that have none any more."""
        while not self._ended.is_set():
            self._short.clear()
            await self._discover()
            while self._scans and self._lines.loaded < _MOST_LOADED and not self._ended.is_set():
                await self._scan()
            while (short := self._lines.short(_MOST_SHORT)) and not self._ended.is_set():
                players = [line.player_id for line in short]
                self._lines.fill(short, await self._queue.waiting_of(players, limit=MOST_OF_PLAYER))
            await self._finish()
            await any_set(self._ended, self._short, timeout_s=_TICK_S if self._scans else _LOOK_EVERY_S)

    async def _discover(self) -> None:
        """Looks for submissions that are new, or of which something waits again."""
        unfinished = await self._queue.unfinished()
        new = [one for one in unfinished if self._known.get(one.number) != one.redrives]
        self._known = {one.number: one.redrives for one in unfinished}
        self._accepted = {one.number: one.accepted_time for one in unfinished}
        self._traced = {
            one.number: self._traced.get(one.number) or self._applier.traced(one.trace_context)
            for one in unfinished
            if one.trace_context
        }
        for first, last in _runs([one.number for one in new], set(self._known)):
            self._scans.append(_Scan(set(self._held), (first, -1), last))
        for one in new:
            self._finish_at[one.number] = 0.0

    async def _scan(self) -> None:
        scan = self._scans[0]
        commands = await self._queue.waiting(
            scan.partitions, after=scan.after, last_number=scan.last_number, limit=_PAGE
        )
        for command in commands:
            if command.partition in scan.partitions:  # it may have been let go meanwhile
                self._lines.add(command)
        if len(commands) < _PAGE:
            self._scans.remove(scan)
        else:
            scan.after = commands[-1].key

    async def _finish(self) -> None:
        now = self._loop.time()
        for number, at in list(self._finish_at.items()):
            if number not in self._known:
                del self._finish_at[number]
            elif at <= now and not self._scans and not self._lines.concerns(number):
                self._finish_at[number] = now + _FINISH_EVERY_S
                if await self._queue.finish(number):
                    del self._finish_at[number]

    async def _keep_leases(self) -> None:
        while not self._ended.is_set():
            await pause(self._ended, _LEASE_S / 5)
            await self._hold()

    async def _hold(self) -> None:
        asked = self._loop.time()
        found = await self._leases.hold(self._settings.partition_count)
        self._held_until = asked + _LEASE_S - _LEASE_MARGIN_S
        new = {p for p, lease in found.leases.items() if self._held.get(p) != lease}
        self._let_go(self._held.keys() - found.leases.keys() | (new & self._held.keys()))
        self._held |= {partition: found.leases[partition] for partition in new}
        if new:
            # From the very first: no scan that is under way may go on with later commands of theirs before.
            self._scans.append(_Scan(new, (-1, -1), max(self._known, default=0)))
        if surplus := sorted(self._held)[found.share :]:
            self._let_go(surplus)
            if self._in_flight:
                await asyncio.wait(set(self._in_flight), timeout=_LEASE_S / 2)
            await self._leases.give_back(surplus)

    def _let_go(self, partitions: Iterable[int]) -> None:
        gone = {partition for partition in partitions if self._held.pop(partition, None) is not None}
        if gone:
            for scan in self._scans:
                scan.partitions -= gone
            _log.info("inbox_partitions_let_go", partitions=sorted(gone))
            self._lines.drop(gone)

    async def _watch_processors(self) -> None:
        queue = ProcessorQueue()
        while self._settings.gives_way and not self._ended.is_set():
            await pause(self._ended, _LOOK_EVERY_S)
            self._pace.see_processors(queue.waiting_share())

    async def _measure(self) -> None:
        while not self._ended.is_set():
            self._metrics.see(await self._queue.backlog())
            self._metrics.see_worker(pace=self._pace.per_s, partitions=len(self._held))
            await pause(self._ended, _MEASURE_EVERY_S)


def _runs(numbers: Sequence[int], known: set[int]) -> list[tuple[int, int]]:
    """Spans of new submissions, in order, with no other known one in between."""
    spans: list[tuple[int, int]] = []
    others = sorted(known - set(numbers))
    for number in sorted(numbers):
        if spans and not any(spans[-1][1] < other < number for other in others):
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _first(group: BaseExceptionGroup[NotDone]) -> NotDone:
    """One of them, for the log: they have one cause."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("no group is empty")
