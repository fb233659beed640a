"""HTTP for providers, with a limit for everything that a client may make long, large or many.

Bodies are counted while they are read, and never unpacked: signatures are over the bytes as they came. What a
client gets to know of us is a status; what an answer says is the service's.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from persistence.errors import SetupRefused
from service.edge.edge_settings import EdgeSettings
from service.edge.forwarding import UNKNOWN, Forwarded, Forwarder, Named, named_by, passed_on
from service.edge.metrics import EdgeMetrics, Passage
from stakehold.v1.provider_service_pb2 import HttpHeader

_log = structlog.get_logger(__name__)

_LINGER_S = 1.0
"""For a client to read the answer to a body that was not read to its end."""
_BACKLOG = 512
_SERVER = "stakehold"
_MAX_LINE = 4096
_MAX_HEADERS = 64
_LONGEST_PEER = 128
_POLL_S = 0.02
_OVERLOADED = Forwarded(Passage.OVERLOADED, 503, headers=(("Retry-After", "1"),))


class _Handler(RequestHandler):
    """Says nothing of what it could not read."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            _log.error("edge_request_failed", exc_info=exc)
            status = 503
        response = _response(Forwarded(Passage.MALFORMED, status))
        response.force_close()
        return response


class _Server(web.Server):
    """Closes connections beyond so many."""

    def __init__(self, handler: Any, *, max_connections: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self._most = max_connections
        self._open: set[RequestHandler] = set()
        self._options = options

    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open.add(handler)
        if len(self._open) > self._most:
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._open.discard(handler)
        super().connection_lost(handler, exc)


class Edge:
    """Answers requests. ``is_ready`` says whether /health is well."""

    def __init__(
        self,
        forwarder: Forwarder,
        settings: EdgeSettings,
        metrics: EdgeMetrics,
        *,
        is_ready: Callable[[], bool],
    ) -> None:
        self._forwarder = forwarder
        self._settings = settings
        self._metrics = metrics
        self._is_ready = is_ready
        self._under_way = 0
        self._forwarded = 0
        metrics.watch_under_way(lambda: self._under_way)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Of any request whose headers could be read."""
        if request.rel_url.raw_path == "/health" and request.method in {"GET", "HEAD"}:
            return web.Response(status=200 if self._is_ready() else 503, headers={"Server": _SERVER})
        self._under_way += 1
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1

    async def until_idle(self) -> None:
        """Returns once nothing is under way."""
        while self._under_way:
            await asyncio.sleep(_POLL_S)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        seen = _look_at(request)
        if isinstance(seen, Forwarded):
            return self._closing(seen)
        named, headers = seen
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                body = await self._read_body(request)
        except TimeoutError:
            return self._closing(Forwarded(Passage.TOO_SLOW, 408))
        except (web.RequestPayloadError, OSError):  # of the connection: its client has hung up
            return self._closing(Forwarded(Passage.MALFORMED, 400))
        if body is None:
            return self._closing(Forwarded(Passage.TOO_LARGE, 413))
        # Not before its body is here: who sends none would hold a place for nothing.
        if self._forwarded >= self._settings.max_requests:
            return self._closing(_OVERLOADED)
        self._forwarded += 1
        try:
            return await self._forward(named, request, headers, body)
        finally:
            self._forwarded -= 1

    async def _forward(
        self, named: Named, request: web.BaseRequest, headers: list[HttpHeader], body: bytes
    ) -> web.StreamResponse:
        started = asyncio.get_running_loop().time()
        forwarded = await self._forwarder.forward(
            named,
            request.method,
            headers,
            body,
            peer=self._peer(request),
            traceparent=request.headers.get("traceparent", ""),
        )
        self._metrics.observe(asyncio.get_running_loop().time() - started)
        self._metrics.count(forwarded.passage)
        return _response(forwarded)

    async def _read_body(self, request: web.BaseRequest) -> bytes | None:
        """None where it is too large; no more of it is kept than the limit."""
        most = self._settings.max_body_bytes
        if request.content_length is not None and request.content_length > most:
            return None
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        read = bytearray()
        while chunk := await request.content.readany():
            if len(read) + len(chunk) > most:
                return None
            read += chunk
        return bytes(read)

    def _closing(self, forwarded: Forwarded) -> web.StreamResponse:
        """For a request that is not looked into: its connection ends with it."""
        self._metrics.count(forwarded.passage)
        response = _response(forwarded)
        response.force_close()
        return response

    def _peer(self, request: web.BaseRequest) -> str:
        named = self._settings.peer_header
        told = request.headers.getall(named, [""])[-1] if named else request.remote or ""
        return told[:_LONGEST_PEER] if told.isascii() and told.isprintable() else ""


@asynccontextmanager
async def served_edge(edge: Edge, settings: EdgeSettings) -> AsyncIterator[str]:
    """Serves until the context is left, answers what is in flight, and closes; gives the address that was
    bound. Raises SetupRefused.
    """
    host, _, port = settings.listen.rpartition(":")
    server = _Server(
        edge.answer,
        max_connections=settings.max_connections,
        keepalive_timeout=settings.header_timeout_s,
        lingering_time=_LINGER_S,
        auto_decompress=False,
        max_line_size=_MAX_LINE,
        max_headers=_MAX_HEADERS,
        max_field_size=_MAX_LINE,
        access_log=None,
    )
    loop = asyncio.get_running_loop()
    try:
        listening = await loop.create_server(server, sock=_bound(host.strip("[]"), int(port)))
    except (OSError, OverflowError) as error:
        raise SetupRefused(
            f"cannot listen on {settings.listen}: {error}; set STAKEHOLD_EDGE_LISTEN to a free one"
        ) from error
    try:
        yield f"{host}:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        try:
            async with asyncio.timeout(settings.shutdown_grace_s):
                await edge.until_idle()
        except TimeoutError:
            _log.warning("edge_requests_cut_off")
        await server.shutdown(_LINGER_S)


def _bound(host: str, port: int) -> socket.socket:
    """On all addresses of IPv4, too, where the host is :: and the machine can. Raises OSError."""
    if ":" not in host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    is_dual = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(
        (host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=is_dual
    )


def _look_at(request: web.BaseRequest) -> tuple[Named, list[HttpHeader]] | Forwarded:
    """Whom it is for and what goes with it; or what is answered at sight, before its body is read."""
    named = named_by(request.rel_url.raw_path)
    if named is None or request.rel_url.raw_query_string:
        return UNKNOWN
    if request.method != "POST":
        return Forwarded(Passage.UNKNOWN, 405, headers=(("Allow", "POST"),))
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return Forwarded(Passage.MALFORMED, 415)
    headers = passed_on(request.headers.items())
    return (named, headers) if headers is not None else Forwarded(Passage.TOO_LARGE, 431)


def _response(forwarded: Forwarded) -> web.Response:
    headers = {"Server": _SERVER, "Cache-Control": "no-store", **dict(forwarded.headers)}
    return web.Response(status=forwarded.status_code, body=forwarded.body, headers=headers)
