"""``python -m tests.bench.load``: the load, in a process that shares no interpreter with the server.

Reads a job a line from standard input and answers each with a line. As light as Python allows, and the same
for the echo and the product: bytes go out as they are, and of an answer only the status is looked at.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

import grpc
import uvloop

from tests.bench import bulk_load
from tests.bench.figures import percentile
from tests.bench.load_log import LoadLog
from tests.bench.workload import PATHS, requests, with_quote

MOST_PER_S = 12_000
"""More requests than this for each second are not prepared, and half as many exchanges."""

TICK_S = 0.002
Send = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Job:
    """``seconds`` 0: until ``count`` requests are sent. ``per_s`` 0: as fast as ``concurrency`` allows.

    The players are those from number ``first`` on.
    """

    method: str
    run: str
    players: int
    concurrency: int = 64
    seconds: float = 0.0
    count: int = 0
    per_s: float = 0.0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to. ``errors`` counts statuses other than OK."""

    completed: int
    elapsed_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: dict[str, int]


async def run_job(channel: grpc.aio.Channel, job: Job) -> Outcome:
    count = job.count or int(job.seconds * (job.per_s or MOST_PER_S))
    prepared = await _prepared(channel, job, count)
    log = LoadLog()
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    await _send_all(channel, prepared, job, log)
    elapsed_s = time.perf_counter() - started
    gc.enable()
    p50, p95, p99 = (1000 * percentile(log.latencies_s or [0.0], q) for q in (0.5, 0.95, 0.99))
    return Outcome(len(log.latencies_s), elapsed_s, p50, p95, p99, dict(log.errors))


async def _prepared(channel: grpc.aio.Channel, job: Job, count: int) -> list[bytes]:
    """Requests that need nothing but to be sent. Each exchange gets a quote of its own first."""

    def made(method: str, count: int) -> list[bytes]:
        return requests(method, count=count, players=job.players, run=job.run, first=job.first)

    if job.method == "batch":
        return bulk_load.batches(made("debit", count))
    if job.method == "stream":
        return bulk_load.stream_messages(made("debit", count))
    if job.method != "exchange":
        return made(job.method, count)
    quote = cast(Send, channel.unary_unary(PATHS["quote"]))
    pairs = iter(zip(made("exchange", count // 2), made("quote", count // 2), strict=True))
    exchanges: list[bytes] = []

    async def asker() -> None:
        for exchange, question in pairs:
            exchanges.append(with_quote(exchange, await quote(question)))

    await asyncio.gather(*(asker() for _ in range(job.concurrency)))
    return exchanges


async def _send_all(channel: grpc.aio.Channel, prepared: list[bytes], job: Job, log: LoadLog) -> None:
    if job.method == "batch":
        await bulk_load.send_batches(channel, prepared, job.concurrency, log)
        return
    if job.method == "stream":
        await bulk_load.stream(channel, prepared, job.concurrency, log)
        return
    send = cast(Send, channel.unary_unary(PATHS[job.method]))
    if job.per_s:
        await _paced(send, iter(prepared), job, log)
    else:
        await _saturated(send, iter(prepared), job, log)


async def _saturated(send: Send, prepared: Iterator[bytes], job: Job, log: LoadLog) -> None:
    """As many callers as the concurrency says, each sending its next request after an answer."""
    stop_at = time.perf_counter() + job.seconds if job.seconds else float("inf")

    async def caller() -> None:
        for request in prepared:
            if time.perf_counter() >= stop_at:
                return
            await _call(send, request, log)

    await asyncio.gather(*(caller() for _ in range(job.concurrency)))


async def _paced(send: Send, prepared: Iterator[bytes], job: Job, log: LoadLog) -> None:
    """So many requests a second, whether or not the earlier ones were answered."""
    started = time.perf_counter()
    sent = 0
    async with asyncio.TaskGroup() as group:
        while (elapsed_s := time.perf_counter() - started) < job.seconds:
            for _ in range(int(elapsed_s * job.per_s) - sent):
                group.create_task(_call(send, next(prepared), log))
                sent += 1
            await asyncio.sleep(TICK_S)


async def _call(send: Send, request: bytes, log: LoadLog) -> None:
    started = time.perf_counter()
    try:
        await send(request)
    except grpc.aio.AioRpcError as error:
        log.errors[f"{error.code().name}: {error.details()}"] += 1
    else:
        log.latencies_s.append(time.perf_counter() - started)


async def _serve_jobs(address: str) -> None:
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            fields: dict[str, Any] = json.loads(line)
            outcome = await run_job(channel, Job(**fields))
            sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_serve_jobs(sys.argv[1]))
