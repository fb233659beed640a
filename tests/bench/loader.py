"""Gives jobs to the load process, and watches the server meanwhile."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

from tests.bench.bench_stack import BenchStack, load_process
from tests.bench.figures import Figures
from tests.bench.load import Job, Outcome

JOB_TIMEOUT_S = 120.0


class LoadFailed(Exception):
    """Calls of the load were answered with errors: nothing measured with them means anything."""


class Loader:
    """Runs one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process, stack: BenchStack) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._jobs, self._outcomes = process.stdin, process.stdout
        self._stack = stack
        self._runs = itertools.count(1)

    def new_run(self) -> str:
        """A name that makes a job's transaction ids unlike any others."""
        return f"run-{next(self._runs):03}"

    async def run(self, job: Job) -> Figures:
        """Raises LoadFailed where any call failed."""
        figures, failed = await self.run_counting(job)
        if failed:
            raise LoadFailed(f"{job}: {failed}")
        return figures

    async def run_counting(self, job: Job) -> tuple[Figures, dict[str, int]]:
        """Also counts the calls that failed, by status: a busy machine may not bear a paced load."""
        server_before_s, store_before_s = self._stack.cpu_s()
        self._jobs.write(json.dumps(asdict(job)).encode() + b"\n")
        await self._jobs.drain()
        async with asyncio.timeout(JOB_TIMEOUT_S):
            line = await self._outcomes.readline()
        if not line:
            raise LoadFailed("the load process ended")
        outcome = Outcome(**json.loads(line))
        if not outcome.completed:
            raise LoadFailed(f"{job}: {outcome.errors or 'no call was answered'}")
        server_s, store_s = self._stack.cpu_s()
        figures = Figures(
            per_s=outcome.completed / outcome.elapsed_s,
            p50_ms=outcome.p50_ms,
            p95_ms=outcome.p95_ms,
            p99_ms=outcome.p99_ms,
            server_cpu_us=1e6 * (server_s - server_before_s) / outcome.completed,
            store_cpu_us=1e6 * (store_s - store_before_s) / outcome.completed,
        )
        return figures, outcome.errors


@asynccontextmanager
async def running_loader(stack: BenchStack) -> AsyncIterator[Loader]:
    async with load_process(stack.address) as process:
        yield Loader(process, stack)
