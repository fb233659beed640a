"""``python -m tests.bench.storm_load``: a closed loop of debits, or a storm of retries, from one process.

Reads a job a line from standard input, and answers each with a line.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import uvloop

from tests.bench.flood_client import Ending, FloodClient
from tests.bench.workload import PATHS, requests

TICK_S = 0.002
CALLS_OF_AN_ID = 6
"""The first, and five retries."""


@dataclass(frozen=True, slots=True)
class StormJob:
    """``per_s`` new ids a second; 0: a closed loop of so many ``callers``.

    In a storm every answer is lost: each caller waits for ``patience_ms``, which is its call's deadline,
    gives up, and asks again with the same id, until it has called CALLS_OF_AN_ID times.
    """

    run: str
    players: int
    seconds: float
    per_s: float = 0.0
    callers: int = 0
    patience_ms: int = 1000
    connections: int = 4


@dataclass(frozen=True, slots=True)
class StormOutcome:
    """``ids`` were asked for, in ``calls``; ``answered_ids`` had a response to any of these in time.

    ``endings`` counts calls; those that had none in time are "given_up".
    """

    elapsed_s: float
    ids: int
    calls: int
    answered_ids: int
    endings: dict[str, int]


@dataclass(slots=True)
class _Asking:
    message: bytes
    calls: int = 1
    answered: bool = False


class Storm:
    """One job."""

    def __init__(self, job: StormJob, authority: str) -> None:
        self._job = job
        self._authority = authority
        self._clients: list[FloodClient] = []
        self._under_way: list[dict[int, _Asking]] = []
        self._patience: deque[tuple[float, int, int, _Asking]] = deque()
        self._endings: Counter[str] = Counter()
        self._ids = self._calls = self._answered_ids = 0
        self._messages: Iterator[bytes] = iter(())
        self._stop_at = 0.0

    async def run(self, host: str, port: int) -> StormOutcome:
        job, loop = self._job, asyncio.get_running_loop()
        count = int(job.seconds * (job.per_s or 20_000)) + job.callers
        self._messages = iter(requests("debit", count=count, players=job.players, run=job.run))
        for number in range(job.connections):
            self._under_way.append({})
            client = FloodClient(PATHS["debit"], self._authority, self._on_end_of(number))
            self._clients.append(client)
            await loop.create_connection(partial(_same, client), host, port)
        started = time.perf_counter()
        self._stop_at = started + job.seconds
        await (self._blow(started) if job.per_s else self._loop())
        elapsed_s = time.perf_counter() - started
        for client in self._clients:
            client.close()
        return StormOutcome(elapsed_s, self._ids, self._calls, self._answered_ids, dict(self._endings))

    async def _loop(self) -> None:
        """A closed loop: whoever is answered asks for the next id."""
        for _ in range(self._job.callers):
            self._ask_next()
        self._send()
        while any(self._under_way):
            await asyncio.sleep(TICK_S)

    async def _blow(self, started: float) -> None:
        """New ids at their pace, and the retries of all others; until the last caller has given up."""
        while (now := time.perf_counter()) < self._stop_at or self._patience:
            self._lose_patience(now)
            if now < self._stop_at:
                for _ in range(int((now - started) * self._job.per_s) - self._ids):
                    self._ask_next()
            self._send()
            await asyncio.sleep(TICK_S)

    def _send(self) -> None:
        for client in self._clients:
            client.send()

    def _ask_next(self) -> None:
        message = next(self._messages, None)
        if message is not None:
            self._ids += 1
            self._ask(_Asking(message))

    def _ask(self, asking: _Asking) -> None:
        number = self._calls % self._job.connections
        self._calls += 1
        deadline = time.perf_counter() + self._job.patience_ms / 1000
        stream = self._clients[number].call(asking.message, deadline)
        self._under_way[number][stream] = asking
        if self._job.per_s:
            self._patience.append((deadline, number, stream, asking))

    def _lose_patience(self, now: float) -> None:
        while self._patience and self._patience[0][0] <= now:
            _, number, stream, asking = self._patience.popleft()
            if self._under_way[number].pop(stream, None) is not None:
                self._endings["given_up"] += 1
                self._clients[number].give_up(stream)
            if asking.calls < CALLS_OF_AN_ID and now < self._stop_at:
                asking.calls += 1
                self._ask(asking)

    def _on_end_of(self, number: int) -> Any:
        def on_end(stream: int, ending: Ending) -> None:
            asking = self._under_way[number].pop(stream, None)
            if asking is None:
                return
            self._endings[ending.value] += 1
            if ending is Ending.ANSWERED and not asking.answered:
                asking.answered = True
                self._answered_ids += 1
            if not self._job.per_s and time.perf_counter() < self._stop_at:
                self._ask_next()

        return on_end


def _same(client: FloodClient) -> FloodClient:
    return client


async def _serve_jobs(address: str) -> None:
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        outcome = await Storm(StormJob(**json.loads(line)), address).run(host, int(port))
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve_jobs(sys.argv[1]))
