"""As much of a gRPC client as a flood needs: unary calls over HTTP/2, written frame by frame.

A real client takes about as much processor time for a call as the server does, and could never send it more
than it can take. This one sends prepared bytes, and of an answer only sees whether there is a response.
"""

import asyncio
import struct
import time
from collections.abc import Callable
from enum import Enum
from functools import lru_cache, partial
from itertools import count
from typing import cast

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_MAX_CONCURRENT_STREAMS = 3
_CANCEL = struct.pack(">I", 8)
_PREFIX_BYTES = 5
"""Of a message; a call that is refused may have an empty one."""

_INITIAL_WINDOW = (1 << 16) - 1
_LARGE_WINDOW = 1 << 30


class Ending(Enum):
    """How a call ended. REFUSED is any status but OK; DROPPED: the stream was reset without one."""

    ANSWERED = "answered"
    REFUSED = "refused"
    DROPPED = "dropped"


class FloodClient(asyncio.Protocol):
    """One connection. ``on_end`` is called with each call that ends, and how it did.

    Like a real client it sends no more calls at once than the server says, and tells it how much time is
    left; the others wait here.
    """

    def __init__(self, path: str, authority: str, on_end: Callable[[int, Ending], None]) -> None:
        self._headers = lru_cache(maxsize=None)(partial(_headers, path, authority))
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._calls = count()
        self._waiting: dict[int, tuple[float, bytes]] = {}
        self._sent: dict[int, int] = {}
        self._streams: dict[int, int] = {}
        self._answered: set[int] = set()
        self._next_stream = 1
        self._most_streams = 100
        self._window = _INITIAL_WINDOW
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = struct.pack(">HIHI", 1, 0, 4, _LARGE_WINDOW)  # no header table; large streams' windows
        update = struct.pack(">I", _LARGE_WINDOW)
        self._transport.write(
            _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, update)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def call(self, message: bytes, deadline: float) -> int:
        """Sends a call as soon as it may; its number. ``deadline`` as ``time.perf_counter`` counts."""
        call = next(self._calls)
        self._waiting[call] = deadline, message
        return call

    def give_up(self, call: int) -> None:
        """Cancels a call; ``on_end`` does not hear of it."""
        assert self._transport is not None
        if self._waiting.pop(call, None) is None and (stream := self._sent.pop(call, None)) is not None:
            del self._streams[stream]
            self._answered.discard(stream)
            self._transport.write(_frame(_RST_STREAM, 0, stream, _CANCEL))

    def send(self) -> None:
        """Sends what waits, as much of it as the server lets."""
        assert self._transport is not None
        ready = []
        now = time.perf_counter()
        while self._waiting and len(self._streams) < self._most_streams:
            call = next(iter(self._waiting))
            deadline, message = self._waiting[call]
            body = struct.pack(">BI", 0, len(message)) + message
            if len(body) > self._window:
                break
            del self._waiting[call]
            self._window -= len(body)
            headers = self._headers(max(1, round(1000 * (deadline - now))))
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            self._sent[call], self._streams[stream] = stream, call
            ready.append(_frame(_HEADERS, _END_HEADERS, stream, headers))
            ready.append(_frame(_DATA, _END_STREAM, stream, body))
        if ready:
            self._transport.write(b"".join(ready))

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        at, end = 0, len(received)
        while end - at >= 9:
            size = int.from_bytes(received[at : at + 3], "big")
            if end - at < 9 + size:
                break
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + 9], "big") & 0x7FFFFFFF
            self._take(kind, flags, stream, received[at + 9 : at + 9 + size])
            at += 9 + size
        self._received = received[at:]
        self.send()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == _DATA and len(payload) > _PREFIX_BYTES:
            self._answered.add(stream)
        elif kind == _HEADERS and flags & _END_STREAM:
            self._end(stream, Ending.ANSWERED if stream in self._answered else Ending.REFUSED)
        elif kind == _RST_STREAM:
            self._end(stream, Ending.DROPPED)
        elif kind == _SETTINGS and not flags & _ACK:
            self._heed(payload)
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(payload, "big")

    def _heed(self, settings: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", settings):
            if name == _MAX_CONCURRENT_STREAMS:
                self._most_streams = value

    def _end(self, stream: int, ending: Ending) -> None:
        self._answered.discard(stream)
        call = self._streams.pop(stream, None)
        if call is not None:
            del self._sent[call]
            self._on_end(call, ending)


def _headers(path: str, authority: str, timeout_ms: int) -> bytes:
    """The header block of a call: literals without indexing, so that calls have no state in common."""
    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            b"\x04" + _text(path),
            b"\x01" + _text(authority),
            b"\x00" + _text("te") + _text("trailers"),
            b"\x0f\x10" + _text("application/grpc"),
            b"\x00" + _text("grpc-timeout") + _text(f"{timeout_ms}m"),
        )
    )


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text.encode("ascii")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload
