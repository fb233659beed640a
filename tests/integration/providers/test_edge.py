"""The edge, as a process: it passes on what providers send, and nothing too large or too slow."""

import asyncio
import gzip
import json
import signal
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
import pytest_asyncio

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import provider_service_pb2 as pb
from stakehold.v1.provider_service_pb2_grpc import (
    ProviderServiceServicer,
    add_ProviderServiceServicer_to_server,
)
from tests.integration.providers.edge_process import EdgeProcess, edge_process
from tests.integration.providers.seats import seat
from tests.ledgers import Ledgers
from tests.providers_house import (
    ARCADE,
    HUB88,
    SIGNATURE_HEADER,
    ProviderApi,
    hmac_headers,
    hub88_bet,
    provider_api,
    rsa_signature,
    write_file,
)
from tests.serving import grounds
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

QUICK = {
    "STAKEHOLD_EDGE_HEADER_TIMEOUT_S": "1",
    "STAKEHOLD_EDGE_BODY_TIMEOUT_S": "1",
    "STAKEHOLD_EDGE_MAX_BODY_BYTES": "4096",
    "STAKEHOLD_EDGE_MAX_CONNECTIONS": "20",
    "STAKEHOLD_EDGE_ANSWER_TIMEOUT_S": "1",
    "STAKEHOLD_EDGE_PEER_HEADER": "X-Real-IP",
}
BET = f"/{HUB88}/transaction/bet"
POST = b"POST /hub88/user/info HTTP/1.1\r\nHost: e\r\n"
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(
    valkey: EmbeddedValkey, ledgers: Ledgers, run_folder: Path
) -> AsyncIterator[tuple[EdgeProcess, ProviderApi]]:
    """A server in this process, and an edge before it."""
    path = write_file(run_folder / "edge-providers")
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(providers_file=path) as server,
        provider_api(server.address) as api,
        edge_process(run_folder, server.address, QUICK) as edge,
    ):
        for source in (HUB88, ARCADE, "cashier"):
            await api.wallets.put_source(source)
        yield edge, api


Served = tuple[EdgeProcess, ProviderApi]


async def post(edge: EdgeProcess, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(edge.url + path, content=body, headers=headers, timeout=20.0)


async def test_a_bet_over_http_is_taken_once(served: Served) -> None:
    edge, api = served
    one = await seat(api)
    body = json.dumps(hub88_bet(one.player, one.token)).encode()
    headers = {SIGNATURE_HEADER: rsa_signature(body), "Content-Type": "application/json"}

    first, again = [await post(edge, BET, body, headers) for _ in range(2)]

    assert (first.status_code, first.json()["status"], first.json()["balance"]) == (200, "RS_OK", 9_000_000)
    assert again.content == first.content
    assert first.headers["content-type"] == "application/json"
    assert first.headers["server"] == "stakehold"
    assert await api.cash(one.player) == "90.00"


async def test_a_tampered_body_is_nobodys(served: Served) -> None:
    edge, api = served
    one = await seat(api)
    body = json.dumps(hub88_bet(one.player, one.token)).encode()
    headers = {SIGNATURE_HEADER: rsa_signature(body)}

    reply = await post(edge, BET, body.replace(b"1000000", b"1000001"), headers)

    assert reply.json() == {"status": "RS_ERROR_INVALID_SIGNATURE"}
    assert await api.cash(one.player) == "100.00"


async def test_chunks_are_put_together_and_headers_passed_on(served: Served) -> None:
    edge, api = served
    player = (await seat(api)).player
    body = json.dumps({"player_id": player, "currency": "EUR"}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])

    async with httpx.AsyncClient() as client:
        reply = await client.post(
            f"{edge.url}/{ARCADE}/balance", content=chunks(), headers=hmac_headers("/balance", body)
        )

    assert reply.json() == {"status": "ok", "currency": "EUR", "balance": "100.00"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nobody/transaction/bet",
        "/Hub88/user/info",
        "/hub88",
        "/hub88/user/info?a=b",
        "/metrics",
        "//",
        "/..",
    ],
)
async def test_what_is_no_providers_is_not_there(served: Served, path: str) -> None:
    edge, _ = served
    raw = f"POST {path} HTTP/1.1\r\nHost: edge\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"

    said = await edge.say(raw.encode())

    assert said.startswith(b"HTTP/1.1 404 ")
    assert said.endswith(b"\r\n\r\n")


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(served: Served) -> None:
    edge, api = served
    player = (await seat(api)).player
    body = json.dumps({"player_id": player, "currency": "EUR"}).encode()
    signed = "".join(f"{name}: {value}\r\n" for name, value in hmac_headers("/balance", body).items())
    head = f"POST /{ARCADE}/balance HTTP/1.1\r\nHost: e\r\nContent-Length: {len(body)}\r\n{signed}"

    said = await edge.say(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode() + body)

    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert said.endswith(b'"balance":"100.00"}')


async def test_only_posts_are_taken(served: Served) -> None:
    edge, _ = served
    async with httpx.AsyncClient() as client:
        assert (await client.get(edge.url + BET)).status_code == 405
        assert (await client.put(edge.url + BET, content=b"{}")).status_code == 405


async def test_a_large_body_is_not_read_however_it_comes(served: Served) -> None:
    edge, _ = served
    process = psutil.Process(edge.child.process.pid)
    before = process.memory_info().rss

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(256):
            yield b"x" * MIB

    declared = await edge.say(
        f"POST {BET} HTTP/1.1\r\nHost: e\r\nContent-Length: 999999999999\r\n\r\n".encode() + b"x" * 100
    )
    async with httpx.AsyncClient() as client:
        try:
            chunked = (await client.post(edge.url + BET, content=endless(), timeout=20.0)).status_code
        except httpx.HTTPError:
            chunked = 413  # it was cut off in the middle of sending
    packed = await post(edge, BET, gzip.compress(b"x" * 64 * MIB), {"Content-Encoding": "gzip"})

    assert declared.startswith(b"HTTP/1.1 413 ")
    assert chunked == 413
    assert packed.status_code in {413, 415}
    assert process.memory_info().rss - before < 16 * MIB


async def test_slow_clients_are_let_go(served: Served) -> None:
    edge, _ = served
    request = f"POST {BET} HTTP/1.1\r\nHost: e\r\nContent-Length: 100\r\n\r\n{{".encode()

    silent, headers, body = await asyncio.gather(
        edge.say(b""), edge.say(request, pause_after=30), edge.say(request)
    )

    assert (silent, headers) == (b"", b"")
    assert body.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http at all\r\n\r\n",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        POST + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        POST + b"X: y\r\n" * 1000 + b"\r\n",
        b"POST /" + b"h" * 100_000 + b" HTTP/1.1\r\nHost: e\r\n\r\n",
    ],
    ids=range(6),
)
async def test_what_is_no_proper_http_is_told_so_and_no_more(served: Served, raw: bytes) -> None:
    edge, _ = served

    said = await edge.say(raw)

    status_line, _, rest = said.partition(b"\r\n")
    assert status_line.startswith(b"HTTP/1.")
    assert status_line.split()[1] in {b"400", b"413", b"431", b"404"}
    assert rest.partition(b"\r\n\r\n")[2] == b""
    assert b"aiohttp" not in said
    assert b"Python" not in said


async def test_connections_beyond_the_limit_are_closed_and_others_go_on(served: Served) -> None:
    edge, _ = served
    held = [await asyncio.open_connection(LOOPBACK, edge.port) for _ in range(30)]
    try:
        ended = await asyncio.gather(
            *(asyncio.wait_for(reader.read(), 20.0) for reader, _ in held), return_exceptions=True
        )
        assert all(one == b"" or isinstance(one, OSError) for one in ended)
    finally:
        for _, writer in held:
            writer.close()
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{edge.url}/health")).status_code == 200


@pytest.mark.parametrize("path", [BET, "/"])
@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_counted_and_no_error(
    tmp_path: Path, path: str, is_reset: bool
) -> None:
    """``is_reset``: with an RST, as of a client that was killed."""
    async with edge_process(tmp_path, f"{LOOPBACK}:{free_port()}") as edge:
        _, writer = await asyncio.open_connection(LOOPBACK, edge.port)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: e\r\nContent-Length: 100\r\n\r\n{{".encode())
        await writer.drain()

        async def is_read() -> bool:
            said = await edge.metrics()
            return under_way(said) == 1 or passages(said, "unknown") == 1

        await until(is_read, what="the headers were read")
        if is_reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

        async def is_counted() -> bool:
            said = await edge.metrics()
            return under_way(said) == 0 and passages(said, "malformed") + passages(said, "unknown") == 1

        await until(is_counted, what="it is counted")
    log = edge.child.log.read_text()
    assert "Traceback" not in log
    assert '"error"' not in log


def passages(metrics: str, outcome: str) -> int:
    return int(float(value_of(metrics, f'stakehold_edge_requests_total{{outcome="{outcome}"}}')))


def under_way(metrics: str) -> int:
    return int(float(value_of(metrics, "stakehold_edge_requests_under_way")))


def value_of(metrics: str, name: str) -> str:
    [line] = [line for line in metrics.splitlines() if line.startswith(f"{name} ")]
    return line.removeprefix(f"{name} ")


async def test_requests_without_a_body_hold_no_place_of_those_that_are_whole(
    served: Served, tmp_path: Path
) -> None:
    edge_of_all, api = served
    player = (await seat(api)).player
    body = json.dumps({"player_id": player, "currency": "EUR"}).encode()
    head = f"POST {BET} HTTP/1.1\r\nHost: e\r\nContent-Length: 100\r\n\r\n{{".encode()
    settings = {"STAKEHOLD_EDGE_MAX_REQUESTS": "3", "STAKEHOLD_EDGE_BODY_TIMEOUT_S": "60"}
    async with edge_process(tmp_path, edge_of_all.service_address, settings) as edge:
        held = [await asyncio.open_connection(LOOPBACK, edge.port) for _ in range(3)]
        for _, writer in held:
            writer.write(head)

        async def are_read() -> bool:
            return under_way(await edge.metrics()) == 3

        await until(are_read, what="the headers were read")
        whole = await post(edge, f"/{ARCADE}/balance", body, hmac_headers("/balance", body))
        for _, writer in held:
            writer.close()

    assert (whole.status_code, whole.json()["status"]) == (200, "ok")


async def test_what_was_passed_is_counted(served: Served) -> None:
    edge, _ = served
    await post(edge, "/nobody/at/all", b"{}", {})

    said = await edge.metrics()

    for outcome in ("answered", "unknown", "too_large", "too_slow"):
        assert f'stakehold_edge_requests_total{{outcome="{outcome}"}}' in said


class Silent(ProviderServiceServicer):
    """A service that answers too late, or with what it likes."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.released = asyncio.Event()
        self.code: grpc.StatusCode | None = None
        self.request = pb.HandleCallbackRequest()

    async def HandleCallback(  # noqa: N802
        self, request: pb.HandleCallbackRequest, context: Any
    ) -> pb.HandleCallbackResponse:
        self.request = request
        self.asked.set()
        if self.code is not None:
            await context.abort(self.code, "some internals")
        await self.released.wait()
        return pb.HandleCallbackResponse(status_code=200, body=b"late")


@pytest_asyncio.fixture(loop_scope="session")
async def silent() -> AsyncIterator[tuple[str, Silent]]:
    server, servicer = grpc.aio.server(), Silent()  # type: ignore[abstract]
    add_ProviderServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    yield f"{LOOPBACK}:{port}", servicer
    servicer.released.set()
    await server.stop(None)


async def test_without_an_answer_the_provider_is_told_to_come_again(
    silent: tuple[str, Silent], tmp_path: Path
) -> None:
    address, servicer = silent
    async with edge_process(tmp_path, address, QUICK) as edge:
        late = await post(edge, BET, b"{}", {"X-Real-IP": "203.0.113.7", "Cookie": "secret", "X-A": "1"})
        told = {header.name: header.value for header in servicer.request.headers}
        codes = [
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.UNAUTHENTICATED,
        ]
        failed = []
        for code in codes:
            servicer.code = code
            failed.append(await post(edge, BET, b"{}", {}))

    assert [reply.status_code for reply in (late, *failed)] == [503] * 4
    assert all(reply.content == b"" and reply.headers["retry-after"] == "1" for reply in (late, *failed))
    assert servicer.request.path == "/transaction/bet"
    assert told["X-A"] == "1"
    assert "Cookie" not in told


async def test_more_than_may_wait_for_their_answers_are_told_to_come_again(
    silent: tuple[str, Silent], tmp_path: Path
) -> None:
    address, servicer = silent
    settings = {"STAKEHOLD_EDGE_MAX_REQUESTS": "1", "STAKEHOLD_EDGE_ANSWER_TIMEOUT_S": "30"}
    async with edge_process(tmp_path, address, settings) as edge:
        first = asyncio.ensure_future(post(edge, BET, b"{}", {}))
        await servicer.asked.wait()
        second = await post(edge, BET, b"{}", {})
        servicer.released.set()
        said = await edge.metrics()

    assert (second.status_code, second.content, second.headers["retry-after"]) == (503, b"", "1")
    assert passages(said, "overloaded") == 1
    assert (await first).status_code == 200


async def test_without_a_service_the_provider_is_told_to_come_again(tmp_path: Path) -> None:
    async with edge_process(tmp_path, f"{LOOPBACK}:{free_port()}", QUICK) as edge:
        reply = await post(edge, BET, b"{}", {})

    assert (reply.status_code, reply.content) == (503, b"")


async def test_a_stop_waits_for_what_is_in_flight(silent: tuple[str, Silent], tmp_path: Path) -> None:
    address, servicer = silent
    async with edge_process(tmp_path, address, {**QUICK, "STAKEHOLD_EDGE_ANSWER_TIMEOUT_S": "10"}) as edge:
        asked = asyncio.ensure_future(post(edge, BET, b"{}", {}))
        await servicer.asked.wait()
        edge.child.process.send_signal(signal.SIGTERM)
        for _ in range(5):
            await asyncio.sleep(0)
        servicer.released.set()
        reply = await asked
        status = await edge.child.exited()

    assert (reply.status_code, reply.content, status) == (200, b"late", 0)
