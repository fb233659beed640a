"""Documents over HTTP: the only place where feeds speak to the network.

Nothing that goes wrong here names the address or what was answered: both may hold a secret.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx

from fx.feeds.feed import MAX_BODY_BYTES, FeedMalformed, FeedUnavailable

_MOST_REDIRECTS = 3
_HEADERS = {
    "User-Agent": "stakehold-feed",
    "Accept-Encoding": "identity",  # so that a small answer cannot become a large one
}

Headers = Mapping[str, str]


async def no_headers() -> Headers:
    """For documents that everybody may read."""
    return {}


@dataclass(frozen=True, slots=True)
class Answer:
    """A document as it is now. ``served_ms`` is the server's clock, where it told it: Unix milliseconds.

    ``changed`` is False where the server said that it is the one of the time before.
    """

    body: bytes
    served_ms: int | None
    changed: bool


class Document(Protocol):
    """Something that is asked again and again."""

    async def fetch(self) -> Answer:
        """Raises FeedUnavailable and FeedMalformed."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was read last, and the headers that ask whether it still holds."""

    body: bytes
    conditions: Headers


class WebDocument:
    """One address, asked again and again. ``headers`` are asked for each time: a token may be changed."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        *,
        timeout_s: float,
        headers: Callable[[], Awaitable[Headers]] = no_headers,
    ) -> None:
        self._client = client
        self._url = url
        self._timeout_s = timeout_s
        self._headers = headers
        self._kept: _Kept | None = None

    async def fetch(self) -> Answer:
        """Raises FeedUnavailable and FeedMalformed."""
        headers = await self._headers()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._fetch(headers)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise FeedUnavailable(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise FeedUnavailable(f"not reached: {type(error).__name__}") from error

    async def _fetch(self, headers: Headers) -> Answer:
        conditions = self._kept.conditions if self._kept else {}
        request = self._client.build_request("GET", self._url, headers={**_HEADERS, **headers, **conditions})
        async with self._answered(request) as response:
            served_ms = _served_ms(response)
            if self._kept and conditions and response.status_code == httpx.codes.NOT_MODIFIED:
                return Answer(self._kept.body, served_ms, changed=False)
            if response.status_code != httpx.codes.OK:
                raise FeedUnavailable(f"answered with status {response.status_code}")
            body = await _body(response)
            changed = self._kept is None or body != self._kept.body
            self._kept = _Kept(body, _conditions(response))
            return Answer(body, served_ms, changed=changed)

    @asynccontextmanager
    async def _answered(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The answer behind a few redirects of the same server."""
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                if response.next_request is None:
                    yield response
                    return
                _require_same_server(request.url, response.next_request.url)
                request = response.next_request
            finally:
                await response.aclose()
        raise FeedUnavailable(f"redirected more than {_MOST_REDIRECTS} times")


@asynccontextmanager
async def web_client() -> AsyncIterator[httpx.AsyncClient]:
    """Verifies certificates, obeys HTTPS_PROXY and SSL_CERT_FILE, and leaves all timing to documents."""
    limits = httpx.Limits(max_connections=2)
    async with httpx.AsyncClient(follow_redirects=False, limits=limits, timeout=None) as client:
        yield client


def _require_same_server(asked: httpx.URL, told: httpx.URL) -> None:
    """Of the same name, and not without encryption where there was some. Raises FeedUnavailable."""
    if told.host != asked.host:
        raise FeedUnavailable("redirected to another host")
    if asked.scheme == "https" and told.scheme != "https":
        raise FeedUnavailable("redirected to an address without encryption")


async def _body(response: httpx.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FeedMalformed("compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise FeedMalformed(f"larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _conditions(response: httpx.Response) -> Headers:
    asks = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
    return {ask: response.headers[told] for told, ask in asks.items() if told in response.headers}


def _served_ms(response: httpx.Response) -> int | None:
    try:
        served = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return int((served if served.tzinfo else served.replace(tzinfo=UTC)).timestamp() * 1000)
