"""Sends scripts to one Valkey node, many at a time.

While one batch is under way, calls gather; when it is answered, all that waited go out together. A lone call
goes out at once. Valkey runs a batch in one turn of its loop and syncs the append-only file once for it,
before any of the answers leave: so an answer means that the write is on disk; on the disks of replicas too,
where they are asked to confirm it (persistence/valkey/confirmation.py).

A script is sent once. Only NOSCRIPT, which says that it did not run, is answered by sending it again. After
any other failure the outcome is unknown, and only the caller's retry with the same id may find it out.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from hiredis import pack_command
from redis.asyncio import Connection
from redis.exceptions import RedisError

from lua import Script
from persistence.errors import (
    IncarnationChanged,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from persistence.tracing import WorkTrace, current_call
from persistence.valkey.confirmation import Confirmation
from persistence.valkey.exchange import Exchange
from persistence.valkey.safe_connection import SafeConnection, sentence_of
from persistence.valkey.stages import OnStage, Stage
from persistence.valkey.waiting_calls import WaitingCall, settle, trace_batch

_log = structlog.get_logger(__name__)

GATHERED_CALLS = 64
GATHER_TURNS = 30
GATHER_S = 0.002
"""How long a busy batch is worth waiting for: until it has so many calls, until so many turns of the loop in
a row brought none, and never longer than this."""


BULK_SHARE = 2
"""Calls in bulk get at most one part in so many of a batch: what comes alone meanwhile waits no longer."""
LEAST_BULK_SHARE = 4
"""Where lone calls would fill every batch, calls in bulk still get one part in so many."""


class ScriptBatcher:
    """One node's queues and connection. Use as an async context manager.

    Lone calls (``run``) go before those that come in bulk (``submit``), which fill the rest of each batch.

    ``timeout_s`` bounds a batch's round trip; ``max_waiting`` bounds the queue; ``check_every_s`` is as in
    SafeConnection. With ``replicas`` a batch is answered once so many of them have it too.
    """

    def __init__(
        self,
        connection_of: Callable[[], Connection],
        *,
        scripts: Sequence[Script],
        timeout_s: float,
        max_waiting: int,
        max_batch: int = 512,
        check_every_s: float = 5.0,
        replicas: int = 0,
    ) -> None:
        self._store = SafeConnection(
            connection_of,
            scripts=scripts,
            timeout_s=timeout_s,
            check_every_s=check_every_s,
            replicas=replicas,
        )
        self._confirmation = Confirmation(replicas, timeout_s=timeout_s) if replicas else None
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._max_batch = max_batch
        self._waiting: deque[WaitingCall] = deque()
        self._bulk: deque[WaitingCall] = deque()
        self._something_waits = asyncio.Event()
        self._turn = asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None
        self._busy = False
        self.on_batch: Callable[[int], None] = lambda size: None
        self.on_unconfirmed: Callable[[], None] = lambda: None
        self.on_stage: OnStage = lambda stage, seconds: None

    async def __aenter__(self) -> "ScriptBatcher":
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        self._worker = asyncio.create_task(self._work(), name="script-batcher")

    async def stop(self) -> None:
        """Answers every call that is under way or waits, and closes the connection."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._store.drop()

    @property
    def waiting_count(self) -> int:
        return len(self._waiting) + len(self._bulk)

    @property
    def is_idle(self) -> bool:
        """Whether no call is under way or waits."""
        return not self.waiting_count and not self._turn.locked()

    async def connect(self) -> None:
        """Connects and checks the store now. Raises StoreUnavailable, or StoreUnsafe with what to change."""
        await self.incarnation()

    async def incarnation(self, key: str = "") -> str:
        """The incarnation of the primary that there is now, whatever the key. Raises as ``connect`` does."""
        async with self._turn:
            await self._store.connected()
            return self._store.incarnation

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None = None,
    ) -> Sequence[bytes]:
        """Runs a script and returns its reply once that is durable. ``deadline`` is in the loop's time.

        A call that names an ``incarnation`` is sent to that one and to no other. Raises IncarnationChanged,
        Overloaded, DeadlineExceeded or StoreUnavailable where it certainly did not run, OutcomeUnknown where
        it may have. A caller that is cancelled does not hold up the others; its script still runs, if it had
        been sent, and its retry gets the answer.
        """
        call = self._enqueue(self._waiting, script, keys, arguments, deadline, incarnation)
        timer = asyncio.get_running_loop().call_at(deadline, call.expire)
        try:
            return await call.answer
        finally:
            timer.cancel()

    def submit(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None = None,
    ) -> "asyncio.Future[Sequence[bytes]]":
        """As ``run``, for one of many calls that come together: without a task of its own. Raises Overloaded
        and StoreUnavailable at once, and what else ``run`` raises in the future.
        """
        call = self._enqueue(self._bulk, script, keys, arguments, deadline, incarnation)
        timer = asyncio.get_running_loop().call_at(deadline, call.expire)
        call.answer.add_done_callback(lambda _: timer.cancel())
        return call.answer

    def _enqueue(
        self,
        queue: deque[WaitingCall],
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        deadline: float,
        incarnation: str | None,
    ) -> WaitingCall:
        if self._worker is None or self._worker.done():
            raise StoreUnavailable("the service is stopping")
        if len(queue) >= self._max_waiting:
            raise Overloaded("too many calls are waiting for the store", retry_delay_ms=100)
        answer: asyncio.Future[Sequence[bytes]] = asyncio.get_running_loop().create_future()
        command = pack_command(("EVALSHA", script.sha1, str(len(keys)), *keys, *arguments))  # type: ignore[arg-type]
        call = WaitingCall(command, script, keys[0], answer, deadline, incarnation, time.perf_counter())
        if (traced := current_call.get()) is not None:
            call.trace = traced.asks(script.name)
            answer.add_done_callback(call.trace.answered)
        queue.append(call)
        self._something_waits.set()
        return call

    async def _work(self) -> None:
        """Sends what waits, for ever. Whatever becomes of it, no call is left without an answer."""
        try:
            while True:
                await self._something_waits.wait()
                try:
                    async with self._turn:
                        await self._send_waiting()
                except Exception:
                    _log.exception("batch_failed")
        finally:
            self._fail_waiting("the service is stopping")

    async def _send_waiting(self) -> None:
        """Connects before it takes a batch, so that deadlines that pass meanwhile are honoured."""
        try:
            connection = await self._store.connected()
        except Exception as error:
            _log.warning("store_unreachable", error=str(error))
            self._fail_waiting(f"{error}; nothing was done")
            return
        if self._busy:
            await self._gather()
        batch = self._take_batch()
        self._busy = len(batch) > 1
        if batch:
            await self._answer(connection, batch)

    async def _gather(self) -> None:
        """Lets calls that are about to come join the batch.

        Only when the last batch had several calls: then others are on their way, and a batch of a few costs
        nearly as much as one of many, here and in the store. A lone call never waits.
        """
        loop = asyncio.get_running_loop()
        latest = loop.time() + GATHER_S
        idle_turns = 0
        while self.waiting_count < GATHERED_CALLS and idle_turns < GATHER_TURNS and loop.time() < latest:
            before = self.waiting_count
            await asyncio.sleep(0)
            idle_turns = 0 if self.waiting_count > before else idle_turns + 1

    def _take_batch(self) -> list[WaitingCall]:
        """The next calls to send, without those that nobody waits for any more."""
        batch: list[WaitingCall] = []
        kept_for_bulk = min(len(self._bulk), self._max_batch // LEAST_BULK_SHARE)
        self._take(self._waiting, batch, self._max_batch - kept_for_bulk)
        self._take(self._bulk, batch, min(self._max_batch, len(batch) + self._max_batch // BULK_SHARE))
        if not self.waiting_count:
            self._something_waits.clear()
        return batch

    def _take(self, queue: deque[WaitingCall], batch: list[WaitingCall], most: int) -> None:
        """Moves calls into a batch until it has so many."""
        now = asyncio.get_running_loop().time()
        while queue and len(batch) < most:
            call = queue.popleft()
            if call.deadline <= now:
                call.expire()
            elif call.incarnation not in (None, self._store.incarnation):
                call.fail(IncarnationChanged(self._store.incarnation))
            if not call.answer.done():
                call.sent = True
                batch.append(call)

    async def _answer(self, connection: Connection, batch: list[WaitingCall]) -> None:
        """Sends a batch and settles each of its calls, whatever happens."""
        trace, problem = trace_batch(batch), ""
        on_stage = self.on_stage if trace is None else partial(self._told_stage, trace)
        try:
            self.on_batch(len(batch))
            self.on_stage(Stage.QUEUE, time.perf_counter() - min(call.came for call in batch))
            async with asyncio.timeout(self._timeout_s):
                exchange = Exchange(
                    connection, self._confirmation, waitaof=self._store.waitaof, on_stage=on_stage
                )
                if unknown := await exchange.run(batch):
                    await self._store.load_scripts(connection)
                    unloadable = await exchange.run([call for call in unknown if not call.answer.done()])
                    settle(unloadable, lambda: StoreUnavailable("the store does not keep scripts"))
            if exchange.unconfirmed:
                problem = "unconfirmed"
                self.on_unconfirmed()
            if exchange.demoted:
                await self._store.drop()
        except (TimeoutError, OSError, RedisError) as error:
            problem = type(error).__name__
            _log.warning("batch_failed", size=len(batch), error=sentence_of(error))
            await self._store.drop()
        except Exception as error:
            problem = type(error).__name__
            _log.exception("batch_failed", size=len(batch))
            await self._store.drop()
        finally:
            settle(batch, lambda: OutcomeUnknown("the store's answer did not come"))
            if trace is not None:
                trace.end(problem)

    def _told_stage(self, trace: WorkTrace, stage: Stage, seconds: float) -> None:
        self.on_stage(stage, seconds)
        trace.step(stage)

    def _fail_waiting(self, why: str) -> None:
        for queue in (self._waiting, self._bulk):
            settle(queue, lambda: StoreUnavailable(why))
            queue.clear()
        self._something_waits.clear()
