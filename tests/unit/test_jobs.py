"""Jobs in the background: none ends in silence, and none ends another."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from persistence.errors import LedgerUnavailable
from service.working.jobs import Backoff, Job, periodic, supervise
from service.working.metrics import JobMetrics
from tests.waiting import until

AT_ONCE = Backoff(first_s=0.0, last_s=0.0)


class Supervised:
    """Jobs under supervision, and what was counted of them."""

    def __init__(self, *jobs: Job, grace_s: float = 5.0) -> None:
        self.registry = CollectorRegistry()
        self.stop = asyncio.Event()
        self._task = asyncio.create_task(
            supervise(jobs, self.stop, JobMetrics(self.registry), grace_s=grace_s, backoff=AT_ONCE)
        )

    def failures(self, job: str) -> float:
        return self.registry.get_sample_value("stakehold_job_failures_total", {"job": job}) or 0.0

    def running(self, job: str) -> float | None:
        return self.registry.get_sample_value("stakehold_job_running", {"job": job})

    async def until_failed(self, job: str, times: int) -> None:
        async def so_often() -> bool:
            return self.failures(job) >= times

        await until(so_often, what=f"{job} failed {times} times")

    async def until_running(self, job: str) -> None:
        async def runs() -> bool:
            return self.running(job) == 1

        await until(runs, what=f"{job} runs")

    async def end(self) -> None:
        self.stop.set()
        await self._task


async def _until_told(stop: asyncio.Event) -> None:
    await stop.wait()


async def _raises(stop: asyncio.Event) -> None:
    raise RuntimeError("a bug")


async def _finds_no_ledger(stop: asyncio.Event) -> None:
    raise LedgerUnavailable("gone")


async def _returns(stop: asyncio.Event) -> None:
    return


@pytest.mark.parametrize("run", [_raises, _finds_no_ledger, _returns])
async def test_a_job_that_ends_is_counted_and_begins_again_and_others_go_on(
    run: Callable[[asyncio.Event], Awaitable[None]],
) -> None:
    supervised = Supervised(Job("failing", run), Job("well", _until_told))

    await supervised.until_failed("failing", 3)

    assert supervised.failures("well") == 0
    assert supervised.running("well") == 1
    await supervised.end()
    assert (supervised.running("failing"), supervised.running("well")) == (0, 0)


async def test_a_job_that_is_told_to_stop_may_end_its_work() -> None:
    ended = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(0)
        ended.set()

    supervised = Supervised(Job("orderly", run))
    await supervised.until_running("orderly")
    await supervised.end()

    assert ended.is_set()
    assert supervised.failures("orderly") == 0


async def test_a_job_that_does_not_stop_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def run(stop: asyncio.Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    supervised = Supervised(Job("stubborn", run), grace_s=0.0)
    await supervised.until_running("stubborn")
    await supervised.end()

    assert cancelled.is_set()


async def test_a_periodic_job_does_the_same_again_and_again() -> None:
    rounds = 0

    async def once() -> None:
        nonlocal rounds
        rounds += 1

    supervised = Supervised(periodic("clock", once, every_s=0.0))

    async def three_rounds() -> bool:
        return rounds >= 3

    await until(three_rounds, what="three rounds")
    await supervised.end()


def test_pauses_are_anything_below_a_limit_that_doubles() -> None:
    backoff = Backoff(first_s=1.0, last_s=10.0)

    assert [backoff.limit_s(failures) for failures in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]
    pauses = [backoff.pause_s(3) for _ in range(1000)]
    assert 0.0 <= min(pauses) < 1.0
    assert 3.0 < max(pauses) <= 4.0
