"""The hot path without gRPC: a script that counts, the engine, and a look behind both of them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis

from lua import Script
from persistence.valkey.batcher import ScriptBatcher
from persistence.valkey.node import node_connections
from service.embedded.ports import LOOPBACK


def _script(name: str, source: str) -> Script:
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest())


COUNT = _script("count", "return { redis.call('INCR', KEYS[1]) .. '', ARGV[1] }")
"""Counts its runs under its key, and replies with the count and its argument."""

READ = _script("read", "return { redis.call('GET', KEYS[1]) or '0' }")
"""Replies with the count under its key."""

PATIENCE_S = 30.0


@dataclass(slots=True)
class Counting:
    """A batcher that runs COUNT. ``batches`` are the sizes of what it has sent so far; ``unconfirmed`` is how
    many of them the replicas did not confirm.
    """

    batcher: ScriptBatcher
    batches: list[int] = field(default_factory=list)
    unconfirmed: int = 0

    async def run(
        self,
        word: str = "",
        *,
        key: str = "runs",
        patience_s: float = PATIENCE_S,
        incarnation: str | None = None,
    ) -> str:
        """One run; its count."""
        count, echo = await self.batcher.run(
            COUNT, [key], [word], deadline=moment(patience_s), incarnation=incarnation
        )
        assert echo.decode() == word
        return count.decode()

    def start(
        self,
        word: str = "",
        *,
        key: str = "runs",
        patience_s: float = PATIENCE_S,
        incarnation: str | None = None,
    ) -> "asyncio.Task[str]":
        return asyncio.create_task(self.run(word, key=key, patience_s=patience_s, incarnation=incarnation))

    def submit(
        self, word: str = "", *, key: str = "runs", patience_s: float = PATIENCE_S
    ) -> "asyncio.Task[str]":
        """One run of many that come together; its count."""
        answer = self.batcher.submit(COUNT, [key], [word], deadline=moment(patience_s))

        async def counted() -> str:
            count, echo = await answer
            assert echo.decode() == word
            return count.decode()

        return asyncio.create_task(counted())

    async def replay(self, *, key: str = "runs", incarnation: str | None = None) -> str:
        """Reads the count, as the replay of a call reads what it did, and writes nothing."""
        (count,) = await self.batcher.run(
            READ, [key], [], deadline=moment(PATIENCE_S), incarnation=incarnation
        )
        return count.decode()

    def count_unconfirmed(self) -> None:
        self.unconfirmed += 1

    async def start_and_send(self, *, key: str = "runs") -> "asyncio.Task[str]":
        """One run that has been sent when this returns."""
        sent = len(self.batches)
        task = self.start(key=key)
        await a_few_turns()
        assert len(self.batches) == sent + 1
        return task


def moment(seconds: float) -> float:
    """So many seconds from now, in the loop's time."""
    return asyncio.get_running_loop().time() + seconds


async def a_few_turns() -> None:
    """Lets everything run that waits for nothing but its turn."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def counting(
    url: str,
    *,
    scripts: Sequence[Script] = (COUNT, READ),
    timeout_s: float = 20.0,
    max_waiting: int = 1000,
    max_batch: int = 512,
    check_every_s: float = 5.0,
    connected: bool = True,
    replicas: int = 0,
) -> AsyncIterator[Counting]:
    batcher = ScriptBatcher(
        node_connections(url, timeout_s),
        scripts=scripts,
        timeout_s=timeout_s,
        max_waiting=max_waiting,
        max_batch=max_batch,
        check_every_s=check_every_s,
        replicas=replicas,
    )
    made = Counting(batcher)
    batcher.on_batch = made.batches.append
    batcher.on_unconfirmed = made.count_unconfirmed
    async with batcher:
        if connected:
            await batcher.connect()
        yield made


async def ask(store: Redis, command: str) -> object:
    """Any command, its words separated by blanks."""
    return await store.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def runs_of(store: Redis, key: str = "runs") -> int:
    """How often COUNT took effect."""
    return int(await store.get(key) or 0)


async def scripts_sent(store: Redis) -> int:
    """How many EVALSHA have reached the server, whatever became of them."""
    stats = await store.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0))


@dataclass(slots=True)
class LossyLine:
    """A way to the store that breaks as soon as the store answers, once ``loses_answers`` is set."""

    url: str
    loses_answers: bool = False


@asynccontextmanager
async def lossy_line(port: int) -> AsyncIterator[LossyLine]:
    """Passes everything on to the store at ``port``, but no answers while it loses them."""
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool) -> None:
        try:
            while (said := await source.read(1 << 16)) and not (answers and line.loses_answers):
                target.write(said)
        finally:
            target.close()

    async def connect(from_caller: asyncio.StreamReader, to_caller: asyncio.StreamWriter) -> None:
        from_store, to_store = await asyncio.open_connection(LOOPBACK, port)
        tasks.add(asyncio.create_task(pass_on(from_caller, to_store, answers=False)))
        tasks.add(asyncio.create_task(pass_on(from_store, to_caller, answers=True)))

    server = await asyncio.start_server(connect, LOOPBACK, 0)
    line = LossyLine(f"redis://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/0")
    try:
        yield line
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
