"""One Stream call: reads commands while there is room for them, and answers them as they are decided."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import NamedTuple

from persistence.errors import DeadlineExceeded, FieldInvalid, StakeholdError, Stopping
from service.callers.gate import CommandGate
from service.conversions.bulk import UNREADABLE
from service.flow import Flow, Roads
from stakehold.v1 import bulk_service_pb2 as pb
from stakehold.v1 import command_pb2

_RESULTS_IN_A_MESSAGE = 128

_MOST_BYTES = 4 << 20
"""Of commands that were read and are not answered, beside their number."""

_LONGEST_CORRELATION_ID = 128

_QUIET_S = 0.1
_MOST_REFUSING_S = 2.0


class _Tag(NamedTuple):
    """What a command is called by its caller, and how much room it takes."""

    correlation_id: str
    size: int


class CommandStream:
    """``messages`` are what the caller sends, None for one that cannot be read. ``deadline_of`` gives the
    deadline of a command that has just come. At ``latest``, in the loop's time, and once the service stops
    and the caller is quiet, no more is read.
    """

    def __init__(
        self,
        roads: Roads,
        gate: CommandGate,
        messages: AsyncIterator[pb.StreamRequest | None],
        *,
        method: str,
        deadline_of: Callable[[], float],
        latest: float | None,
        stopping: asyncio.Event,
    ) -> None:
        self._messages = messages
        self._deadline_of = deadline_of
        self._latest = latest
        self._stopping = stopping
        self._most = roads.most_under_way
        self._flow: Flow[_Tag] = Flow(roads, gate, self._take_result, method=method)
        self._came = 0
        self._held = 0
        self._held_bytes = 0
        self._room = asyncio.Event()
        self._results: list[tuple[_Tag, command_pb2.CommandResult]] = []
        self._news = asyncio.Event()

    async def answers(self) -> AsyncGenerator[pb.StreamResponse, None]:
        """Results as they are ready, until all of what was read has one. Then raises Stopping or
        DeadlineExceeded, unless the caller had nothing more to send.

        What was handed out counts as held until the next one is asked for: so a caller that does not read is
        not read from either.
        """
        reading = asyncio.create_task(self._read_to_the_end(), name="stream-reading")
        running = asyncio.create_task(self._flow.run(), name="stream-running")
        running.add_done_callback(lambda _: self._news.set())
        try:
            while self._results or not running.done():
                if not self._results:
                    self._news.clear()
                    await self._news.wait()
                    continue
                results = self._results[:_RESULTS_IN_A_MESSAGE]
                del self._results[:_RESULTS_IN_A_MESSAGE]
                yield _response(results)
                self._make_room(results)
            running.result()
            if cause := await reading:
                raise cause
        finally:
            self._flow.abandon()
            for task in (reading, running):
                task.cancel()
            await asyncio.gather(reading, running, return_exceptions=True)

    async def _read_to_the_end(self) -> StakeholdError | None:
        """Why no more is read; None: there is no more. Closes the flow, whatever happens."""
        loop = asyncio.get_running_loop()
        reading = asyncio.create_task(self._read(), name="stream-messages")
        stopping = asyncio.create_task(self._stopping.wait(), name="stream-stopping")
        timeout_s = None if self._latest is None else max(0.0, self._latest - loop.time())
        try:
            await asyncio.wait({reading, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                return None
            if stopping.done():
                await self._until_quiet(reading)
                return None if reading.done() else Stopping("the server is stopping")
            return DeadlineExceeded("the stream's deadline came: of what has no answer, nothing was done")
        finally:
            for task in (reading, stopping):
                task.cancel()
            await asyncio.gather(reading, stopping, return_exceptions=True)
            self._flow.close()

    async def _until_quiet(self, reading: "asyncio.Task[None]") -> None:
        """While the service stops, what still comes is read and told so, until the caller has understood.

        A stream that ends under a caller who writes looks like a broken one to some libraries.
        """
        latest = asyncio.get_running_loop().time() + _MOST_REFUSING_S
        before = -1
        while before != self._came and not reading.done() and asyncio.get_running_loop().time() < latest:
            before = self._came
            await asyncio.wait({reading}, timeout=_QUIET_S)

    async def _read(self) -> None:
        async for message in self._messages:
            self._take(message)
            while self._held >= self._most or self._held_bytes >= _MOST_BYTES:
                self._room.clear()
                await self._room.wait()

    def _take(self, message: pb.StreamRequest | None) -> None:
        self._held += 1
        self._came += 1
        if message is None:
            self._flow.refuse(_Tag("", 0), FieldInvalid("command", UNREADABLE))
            return
        tag = _Tag(message.correlation_id, message.ByteSize())
        self._held_bytes += tag.size
        if 1 <= len(tag.correlation_id) <= _LONGEST_CORRELATION_ID:
            self._flow.add(tag, message.command, deadline=self._deadline_of())
        else:
            rule = f"must be 1 to {_LONGEST_CORRELATION_ID} characters"
            self._flow.refuse(tag, FieldInvalid("correlation_id", rule))

    def _take_result(self, tag: _Tag, result: command_pb2.CommandResult) -> None:
        self._results.append((tag, result))
        self._news.set()

    def _make_room(self, results: list[tuple[_Tag, command_pb2.CommandResult]]) -> None:
        self._held -= len(results)
        self._held_bytes -= sum(tag.size for tag, _ in results)
        self._room.set()


def _response(results: list[tuple[_Tag, command_pb2.CommandResult]]) -> pb.StreamResponse:
    return pb.StreamResponse(
        results=[pb.StreamResult(correlation_id=tag.correlation_id, result=result) for tag, result in results]
    )
