"""Health is told for each service, and told to those who watch it when the server stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest
import pytest_asyncio
import structlog.testing
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedValkey
from tests.api_services import SERVICE_NAMES
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.wallet_api import TIMEOUT_S

Status = health_pb2.HealthCheckResponse


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def address(ground: Grounds) -> AsyncIterator[str]:
    async with ground.serving() as server:
        yield server.address


@pytest.mark.parametrize("service", ["", *SERVICE_NAMES])
async def test_the_server_and_each_of_its_services_is_serving(address: str, service: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)

    assert answer.status == Status.SERVING


async def test_the_health_of_an_unknown_service_is_not_found(address: str) -> None:
    with structlog.testing.capture_logs() as logs:
        async with grpc.aio.insecure_channel(address) as channel:
            request = health_pb2.HealthCheckRequest(service="stakehold.v1.NoSuchService")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert logs == []


@pytest.mark.parametrize("service", ["", *SERVICE_NAMES])
async def test_whoever_watches_hears_that_the_server_stops(ground: Grounds, service: str) -> None:
    async with AsyncExitStack() as server_stack:
        server = await server_stack.enter_async_context(ground.serving(shutdown_grace_s=0.3))
        async with grpc.aio.insecure_channel(server.address) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=TIMEOUT_S)
            first = await watch.read()
            stopping = asyncio.create_task(server_stack.pop_all().aclose())

            heard = await watch.read()

            await stopping
    assert (first.status, heard.status) == (Status.SERVING, Status.NOT_SERVING)
