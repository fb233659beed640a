"""A way between two processes that can be broken in all the ways in which networks break.

    pass        everything goes through
    swallow     bytes are taken and never delivered, in one direction or both: nobody is told (half-open)
    delay       everything comes later
    refuse      nobody can connect; what is connected goes on
    lead        who connects from now on comes out elsewhere; what is connected goes on
    cut         all connections end at once, with a reset in both directions; new ones are possible

A connection that lost bytes can never be sound again: when a swallowing line heals, it is cut first.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.embedded.ports import LOOPBACK
from tests.faults.ports import lasting_port

_CHUNK_BYTES = 1 << 16
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends a reset."""


@dataclass(slots=True)
class _Direction:
    """What happens to bytes that go one way."""

    swallows: bool = False
    delay_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Link:
    """One connection through the line: both of its ends."""

    caller: asyncio.StreamWriter
    target: asyncio.StreamWriter

    def reset(self) -> None:
        for end in (self.caller, self.target):
            _reset(end)

    def close(self) -> None:
        """As either end does, once all is delivered that was said."""
        for end in (self.caller, self.target):
            end.close()


@dataclass(slots=True)
class Line:
    """Listens on ``port`` and passes on to ``target_port``."""

    name: str
    target_port: int
    port: int = field(default_factory=lasting_port)
    _there: _Direction = field(default_factory=_Direction)
    _back: _Direction = field(default_factory=_Direction)
    _links: set[_Link] = field(default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _listener: asyncio.Server | None = None

    @property
    def connection_count(self) -> int:
        return len(self._links)

    def cut(self) -> None:
        """Resets all connections, both ways."""
        for link in list(self._links):
            link.reset()
        self._links.clear()

    def swallow(self, *, there: bool = True, back: bool = True) -> None:
        """Half-open: ``there`` are the caller's bytes, ``back`` the answers."""
        self._there.swallows, self._back.swallows = there, back

    def delay(self, seconds: float) -> None:
        """Each piece of what is sent comes so much later, in both directions."""
        self._there.delay_s = self._back.delay_s = seconds

    def refuse(self) -> None:
        """Lets nobody connect any more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def lead(self, target_port: int) -> None:
        """Who connects from now on comes out there, as when an address of a failover moves."""
        self.target_port = target_port

    async def heal(self) -> None:
        """Passes everything on again."""
        lost_bytes = self._there.swallows or self._back.swallows
        self._there, self._back = _Direction(), _Direction()
        if lost_bytes:
            self.cut()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._connect, LOOPBACK, self.port)

    async def close(self) -> None:
        self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, from_caller: asyncio.StreamReader, to_caller: asyncio.StreamWriter) -> None:
        try:
            from_target, to_target = await asyncio.open_connection(LOOPBACK, self.target_port)
        except OSError:
            _reset(to_caller)
            return
        link = _Link(to_caller, to_target)
        self._links.add(link)
        there = asyncio.create_task(self._carry(from_caller, link, link.target, back=False))
        back = asyncio.create_task(self._carry(from_target, link, link.caller, back=True))
        for task in (there, back):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, link: _Link, target: asyncio.StreamWriter, *, back: bool
    ) -> None:
        try:
            while True:
                said = await source.read(_CHUNK_BYTES)
                direction = self._back if back else self._there
                if direction.delay_s:
                    await asyncio.sleep(direction.delay_s)
                if direction.swallows:
                    if not said:
                        return  # the end of the connection is swallowed too, until the line heals
                    continue
                if not said:
                    break
                target.write(said)
                await target.drain()
        except OSError:
            link.reset()
        except asyncio.CancelledError:
            link.reset()
            raise
        link.close()
        self._links.discard(link)


def _reset(end: asyncio.StreamWriter) -> None:
    connected = end.get_extra_info("socket")
    if connected is not None and not end.transport.is_closing():
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.transport.abort()


@asynccontextmanager
async def line_to(target_port: int, *, name: str = "line") -> AsyncIterator[Line]:
    """A sound line to a port."""
    line = Line(name, target_port)
    await line.heal()
    try:
        yield line
    finally:
        await line.close()
