"""Jobs in the background, and the one rule by which they are kept going.

A job runs until it is told to stop. Whatever ends it sooner, be it an error or a return, is told, counted,
and followed by another beginning after a pause that grows while it keeps failing. A job never ends in
silence, and none ends another.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from persistence.errors import NotDone, OutcomeUnknown
from service.working.metrics import JobMetrics

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """``run`` works until the event is set, and returns soon after. What it raises is told and counted.

    It is cancelled where it takes longer than the grace to stop, so every step has to be one that a crash may
    interrupt.
    """

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to pause after so many failures in a row: full jitter below a limit that doubles."""

    first_s: float = 0.5
    last_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        return random.uniform(0, self.limit_s(failures))

    def limit_s(self, failures: int) -> float:
        return min(self.last_s, self.first_s * 2.0 ** min(max(failures - 1, 0), 30))


JOB_BACKOFF = Backoff()
_CANCEL_EVERY_S = 1.0


def periodic(name: str, once: Callable[[], Awaitable[None]], *, every_s: float) -> Job:
    """A job that does the same again and again, with a pause in between."""

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await once()
            await pause(stop, every_s)

    return Job(name, run)


async def supervise(
    jobs: Sequence[Job],
    stop: asyncio.Event,
    metrics: JobMetrics,
    *,
    grace_s: float,
    backoff: Backoff = JOB_BACKOFF,
) -> None:
    """Keeps all jobs going until the stop, and cancels those that have not ended a grace later."""
    kept = [
        asyncio.create_task(_keep_going(job, stop, metrics, backoff), name=f"job-{job.name}") for job in jobs
    ]
    try:
        await stop.wait()
        if kept:
            await asyncio.wait(kept, timeout=grace_s)
    finally:
        await _end(kept)


async def _end(kept: Sequence["asyncio.Task[None]"]) -> None:
    """Again and again, for a driver that is about to get its answer may lose a cancellation."""
    pending = {task for task in kept if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_EVERY_S)


async def _keep_going(job: Job, stop: asyncio.Event, metrics: JobMetrics, backoff: Backoff) -> None:
    loop = asyncio.get_running_loop()
    failures = 0
    while not stop.is_set():
        began = loop.time()
        with metrics.running(job.name):
            await _run_once(job, stop)
        if stop.is_set():
            return
        metrics.count_failure(job.name)
        # Whoever worked for so long was well: it begins again as if for the first time.
        failures = 1 if loop.time() - began > backoff.last_s else failures + 1
        await pause(stop, backoff.pause_s(failures))


async def _run_once(job: Job, stop: asyncio.Event) -> None:
    try:
        await job.run(stop)
    except (NotDone, OutcomeUnknown) as error:
        _log.warning("job_interrupted", job=job.name, error=str(error))
    except Exception:
        _log.exception("job_failed", job=job.name)
    else:
        if not stop.is_set():
            _log.error("job_ended", job=job.name)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Until the stop, but not for longer than so many seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
