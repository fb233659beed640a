"""What all steps of a run share: the servers, a load, and a housekeeper that obeys."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import asyncpg
import grpc
import redis.asyncio as redis

from persistence.drainer import wall_clock_ms
from tests.bench.bench_stack import BenchStack, bench_stack
from tests.bench.drains import Ledger
from tests.bench.figures import Figures
from tests.bench.load import Job
from tests.bench.loader import Loader, running_loader
from tests.bench.long_memory.seeding import Past, seed
from tests.bench.long_memory.sizes import Size
from tests.bench.memory import bytes_used
from tests.bench.setting_up import put_source
from tests.bench.workload import PATHS, requests
from tests.forgetful import Oblivion, oblivion

_FIRST_ANSWER_S = 60.0
_PAUSE_S = 0.002
_LAZY_FREES_S = 30.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Servers over a ledger that has a past. Nothing is forgotten but by ``oblivion``."""

    size: Size
    stack: BenchStack
    loader: Loader
    ledger: Ledger
    oblivion: Oblivion

    @property
    def valkey(self) -> "redis.Redis":
        return self.ledger.valkey

    async def send(
        self,
        method: str,
        *,
        first: int = 0,
        players: int = 1,
        count: int = 0,
        concurrency: int = 64,
        run: str = "",
    ) -> Figures:
        """A call for each player in turn, and as many more as ``count`` says."""
        job = Job(
            method, run or self.loader.new_run(), players, concurrency, count=count or players, first=first
        )
        return await self.loader.run(job)

    async def bytes_used(self) -> int:
        """Memory in use once everything that was dropped is given back, but for the outboxes."""
        async with asyncio.timeout(_LAZY_FREES_S):
            while int((await self.valkey.info("memory"))["lazyfree_pending_objects"]):
                await asyncio.sleep(_PAUSE_S)
        return await bytes_used(self.valkey, partition_count=self.oblivion.partition_count)

    async def until_first_answer(self) -> float:
        """Asks for a player again and again; how many seconds it takes to be told."""
        [request] = requests("look", count=1, players=1, run="")
        started = time.perf_counter()
        async with asyncio.timeout(_FIRST_ANSWER_S), grpc.aio.insecure_channel(self.stack.address) as channel:
            look = cast(grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], channel.unary_unary(PATHS["look"]))
            while True:
                try:
                    await look(request, timeout=_FIRST_ANSWER_S)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    await asyncio.sleep(_PAUSE_S)
                else:
                    return time.perf_counter() - started


@asynccontextmanager
async def stage(folder: Path, size: Size, past: Past) -> AsyncIterator[Stage]:
    """Starts everything but the drainer, whose own housekeeping stays away. The ledger has the past."""
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(bench_stack(folder))
        await put_source(stack.address)
        await seed(stack.postgres.dsn, past, now_ms=wall_clock_ms())
        connection = await asyncpg.connect(stack.postgres.dsn)
        running.push_async_callback(connection.close)
        await connection.execute("VACUUM ANALYZE")
        valkey = await running.enter_async_context(redis.Redis(host="127.0.0.1", port=stack.valkey.port))
        forgetful = await running.enter_async_context(oblivion(stack.valkey.url, stack.postgres.dsn))
        if not await forgetful.ledger.try_to_keep_house():
            raise RuntimeError("somebody else keeps house: what is forgotten when would not be known")
        loader = await running.enter_async_context(running_loader(stack))
        made = Stage(size, stack, loader, Ledger(connection, valkey), forgetful)
        await made.until_first_answer()
        yield made
