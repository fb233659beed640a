"""Documents come over HTTP within a time and a size, from where they were asked for, and once."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from fx.feeds.feed import MAX_BODY_BYTES, FeedError, FeedMalformed, FeedUnavailable
from fx.feeds.fetching import Headers, WebDocument, web_client
from service.embedded.ports import LOOPBACK, free_port
from tests.rate_servers import OWN_CERTIFICATE, Asked, RateServer, Reply, rate_server

TOKEN = "hunter2"
BODY = b"a document"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", LOOPBACK)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with web_client() as made:
        yield made


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RateServer]:
    async with rate_server() as made:
        made.always(BODY)
        yield made


async def bearer() -> Headers:
    return {"Authorization": f"Bearer {TOKEN}"}


def document(client: httpx.AsyncClient, url: str, timeout_s: float = 20.0) -> WebDocument:
    return WebDocument(client, f"{url}?app_id={TOKEN}", timeout_s=timeout_s, headers=bearer)


async def failure(fetched: WebDocument) -> FeedError:
    with pytest.raises(FeedError) as failed:
        await fetched.fetch()
    assert TOKEN not in str(failed.value)
    assert len(str(failed.value)) < 100
    return failed.value


async def test_a_document_comes_with_the_servers_clock(client: httpx.AsyncClient, server: RateServer) -> None:
    server.always(BODY, Date="Tue, 14 Nov 2023 22:13:20 GMT")

    answer = await document(client, server.url).fetch()

    assert (answer.body, answer.served_ms, answer.changed) == (BODY, 1_700_000_000_000, True)
    (asked,) = server.asked
    assert asked.path == f"/rates?app_id={TOKEN}"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["user-agent"] == "stakehold-feed"
    assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Nov 2023 22:13:20 GMT"])
async def test_a_clock_that_makes_no_sense_is_none(
    client: httpx.AsyncClient, server: RateServer, date: str
) -> None:
    server.always(BODY, Date=date)

    assert (await document(client, server.url).fetch()).served_ms is None


@pytest.mark.parametrize(
    ("told", "asks"),
    [
        ({"ETag": '"v1"'}, {"if-none-match": '"v1"'}),
        (
            {"Last-Modified": "Fri, 20 Nov 2026 15:00:00 GMT"},
            {"if-modified-since": "Fri, 20 Nov 2026 15:00:00 GMT"},
        ),
    ],
)
async def test_what_did_not_change_is_not_sent_again(
    client: httpx.AsyncClient, server: RateServer, told: Headers, asks: Headers
) -> None:
    def answer(asked: Asked) -> Reply:
        known = asks.items() <= asked.headers.items()
        return Reply(b"" if known else BODY, 304 if known else 200, told)

    server.answer = answer
    fetched = document(client, server.url)

    answers = [await fetched.fetch() for _ in range(3)]

    assert [(each.body, each.changed) for each in answers] == [(BODY, True), (BODY, False), (BODY, False)]
    assert [asks.items() <= asked.headers.items() for asked in server.asked] == [False, True, True]


async def test_the_same_document_sent_again_did_not_change(
    client: httpx.AsyncClient, server: RateServer
) -> None:
    fetched = document(client, server.url)
    bodies = [BODY, BODY, b"another", b"another"]

    changes = []
    for body in bodies:
        server.always(body)
        changes.append((await fetched.fetch()).changed)

    assert changes == [True, False, True, False]


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 429, 500, 502, 503])
async def test_another_status_is_no_document(
    client: httpx.AsyncClient, server: RateServer, status: int
) -> None:
    server.always(b"" if status in {204, 304} else b"<html>" + TOKEN.encode(), status)

    failed = await failure(document(client, server.url))

    assert isinstance(failed, FeedUnavailable)
    assert str(status) in str(failed)


async def test_a_connection_that_is_refused(client: httpx.AsyncClient) -> None:
    failed = await failure(document(client, f"http://{LOOPBACK}:{free_port()}/"))

    assert isinstance(failed, FeedUnavailable)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://127.0.0.1/rates", "http://", "http://x:y/", "http://[/"]
)
async def test_an_address_that_is_none(client: httpx.AsyncClient, url: str) -> None:
    with pytest.raises(FeedUnavailable):
        await WebDocument(client, url, timeout_s=20.0).fetch()


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte now and then: never silent for long, and never done."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    try:
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        writer.close()


async def test_a_server_that_does_not_answer_is_not_waited_for(
    client: httpx.AsyncClient, server: RateServer
) -> None:
    server.answer = lambda _: None

    failed = await failure(document(client, server.url, timeout_s=0.2))

    assert isinstance(failed, FeedUnavailable)
    assert "within 0.2 s" in str(failed)


async def test_no_other_time_limits_than_the_documents(client: httpx.AsyncClient) -> None:
    assert client.timeout == httpx.Timeout(None)


async def test_a_server_that_goes_on_and_on_is_not_waited_for(client: httpx.AsyncClient) -> None:
    async with await asyncio.start_server(drip, LOOPBACK, 0) as slow:
        port = slow.sockets[0].getsockname()[1]

        failed = await failure(document(client, f"http://{LOOPBACK}:{port}/", timeout_s=0.3))

    assert "within 0.3 s" in str(failed)


@pytest.mark.parametrize("sent_bytes", [0, 1, len(BODY) - 1])
async def test_an_answer_that_is_cut_off(
    client: httpx.AsyncClient, server: RateServer, sent_bytes: int
) -> None:
    server.answer = lambda _: Reply(BODY, sent_bytes=sent_bytes)

    assert isinstance(await failure(document(client, server.url)), FeedUnavailable)


async def test_after_an_answer_that_was_cut_off_the_whole_document_is_asked_for(
    client: httpx.AsyncClient, server: RateServer
) -> None:
    fetched = document(client, server.url)
    server.answer = lambda _: Reply(BODY, headers={"ETag": '"v1"'}, sent_bytes=3)
    await failure(fetched)

    server.always(BODY)

    assert (await fetched.fetch()).body == BODY
    assert "if-none-match" not in server.asked[-1].headers


async def test_a_document_may_be_a_mebibyte_and_no_more(
    client: httpx.AsyncClient, server: RateServer
) -> None:
    server.always(b"x" * MAX_BODY_BYTES)
    assert len((await document(client, server.url).fetch()).body) == MAX_BODY_BYTES

    server.always(b"x" * (MAX_BODY_BYTES + 1))
    assert isinstance(await failure(document(client, server.url)), FeedMalformed)


async def test_no_more_than_that_is_read(client: httpx.AsyncClient) -> None:
    written = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                written += 65_536
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(pour, LOOPBACK, 0) as pouring:
        port = pouring.sockets[0].getsockname()[1]

        failed = await failure(document(client, f"http://{LOOPBACK}:{port}/"))

    assert isinstance(failed, FeedMalformed)
    assert written < 30 * MAX_BODY_BYTES


async def test_a_small_answer_does_not_become_a_large_one(
    client: httpx.AsyncClient, server: RateServer
) -> None:
    server.always(gzip.compress(b"x" * 100_000_000), Content_Encoding="gzip")

    failed = await failure(document(client, server.url))

    assert isinstance(failed, FeedMalformed)
    assert "compressed" in str(failed)


async def test_the_same_server_may_redirect_and_keeps_the_token(
    client: httpx.AsyncClient, server: RateServer
) -> None:
    server.answer = lambda asked: (
        Reply(BODY) if asked.path == "/there" else Reply(status=302, headers={"Location": "/there"})
    )

    assert (await document(client, server.url).fetch()).body == BODY
    assert [asked.path for asked in server.asked] == [f"/rates?app_id={TOKEN}", "/there"]
    assert server.asked[1].headers["authorization"] == f"Bearer {TOKEN}"


async def test_another_server_is_not_gone_to(client: httpx.AsyncClient, server: RateServer) -> None:
    async with rate_server() as other:
        other.always(BODY)
        elsewhere = other.url.replace(LOOPBACK, "localhost")
        server.always(b"", 302, Location=elsewhere)

        failed = await failure(document(client, server.url))

    assert isinstance(failed, FeedUnavailable)
    assert "another host" in str(failed)
    assert not other.asked


async def test_redirects_that_never_end(client: httpx.AsyncClient, server: RateServer) -> None:
    server.always(b"", 307, Location="/round")

    failed = await failure(document(client, server.url))

    assert isinstance(failed, FeedUnavailable)
    assert len(server.asked) == 4


@pytest.mark.parametrize("location", ["http://[", "//", "javascript:alert(1)", "\u2603"])
async def test_a_redirect_to_nonsense(client: httpx.AsyncClient, server: RateServer, location: str) -> None:
    server.answer = lambda _: Reply(status=301, headers={"Location": location})

    assert isinstance(await failure(document(client, server.url)), FeedUnavailable)


async def test_a_server_whose_certificate_nobody_vouches_for_is_not_asked() -> None:
    async with rate_server(encrypted=True) as server, web_client() as client:
        failed = await failure(document(client, server.url))

    assert isinstance(failed, FeedUnavailable)
    assert not server.asked


async def test_a_server_whose_certificate_the_operator_vouches_for_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(OWN_CERTIFICATE))
    async with rate_server(encrypted=True) as server, web_client() as client:
        server.always(BODY)

        assert (await document(client, server.url).fetch()).body == BODY


async def test_a_redirect_away_from_encryption_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(OWN_CERTIFICATE))
    async with rate_server() as plain, rate_server(encrypted=True) as server, web_client() as client:
        server.always(b"", 302, Location=plain.url)

        failed = await failure(document(client, server.url))

    assert "without encryption" in str(failed)
    assert not plain.asked


async def test_what_is_no_http(client: httpx.AsyncClient) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async with await asyncio.start_server(babble, LOOPBACK, 0) as babbling:
        port = babbling.sockets[0].getsockname()[1]

        assert isinstance(await failure(document(client, f"http://{LOOPBACK}:{port}/")), FeedUnavailable)
