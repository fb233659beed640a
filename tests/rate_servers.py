"""A server on this machine that answers as banks and exchanges do, and as they do on bad days."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import format_datetime
from pathlib import Path

from service.embedded.ports import LOOPBACK

OWN_CERTIFICATE = Path(__file__).with_name("self_signed.pem")
"""Of 127.0.0.1, with its key. Nobody trusts it who was not told to."""


def reference_rates(day: date | str, rates: Mapping[str, str]) -> bytes:
    """The European Central Bank's document, as the bank writes it."""
    cubes = "\n".join(
        f"\t\t\t<Cube currency='{currency}' rate='{rate}'/>" for currency, rate in rates.items()
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
\t<gesmes:subject>Reference rates</gesmes:subject>
\t<gesmes:Sender>
\t\t<gesmes:name>European Central Bank</gesmes:name>
\t</gesmes:Sender>
\t<Cube>
\t\t<Cube time='{day}'>
{cubes}
\t\t</Cube>
\t</Cube>
</gesmes:Envelope>""".encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent. Of the body only ``sent_bytes``, where that is set, before the connection is cut."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, with the names of its headers in small letters."""

    path: str
    headers: Mapping[str, str]


Answering = Callable[[Asked], Reply | None]
"""None: no answer, as long as the caller waits."""


class RateServer:
    """Answers every request as ``answer`` says, and remembers what it was asked."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self.port = 0
        self.asked: list[Asked] = []
        self.answer: Answering = lambda _: Reply(status=404)

    @property
    def url(self) -> str:
        return f"{self._scheme}://{LOOPBACK}:{self.port}/rates"

    def always(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Headers have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda _: Reply(body, status, named)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for one request."""
        with suppress(OSError, asyncio.IncompleteReadError):
            asked = _asked((await reader.readuntil(b"\r\n\r\n")).decode())
            self.asked.append(asked)
            reply = self.answer(asked)
            if reply is None:
                await reader.read()
            else:
                writer.write(_head(reply) + reply.body[: reply.sent_bytes])
                await writer.drain()
        writer.close()


def _own_tls() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(OWN_CERTIFICATE)
    return made


def _asked(head: str) -> Asked:
    first, *lines = head.strip().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Asked(first.split()[1], headers)


def _head(reply: Reply) -> bytes:
    headers = {
        "Date": format_datetime(datetime.now(UTC), usegmt=True),
        "Content-Length": str(len(reply.body)),
        "Connection": "close",
        **reply.headers,
    }
    lines = [f"HTTP/1.1 {reply.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def rate_server(port: int = 0, *, encrypted: bool = False) -> AsyncIterator[RateServer]:
    """Runs until the context is left; then connections to its port are refused."""
    made = RateServer("https" if encrypted else "http")
    server = await asyncio.start_server(made.serve, LOOPBACK, port, ssl=_own_tls() if encrypted else None)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
