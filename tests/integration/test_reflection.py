"""Clients that know nothing can find out everything: reflection under both of its names."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from service.embedded import EmbeddedValkey
from tests.api_services import SERVICE_NAMES
from tests.ledgers import Ledgers
from tests.serving import grounds
from tests.wallet_api import TIMEOUT_S

ROOT = Path(__file__).parents[2]
GRPCURL = ROOT / ".venv" / "bin" / "grpcurl"
V1, V1ALPHA = "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"
HEALTH = "grpc.health.v1.Health"
ALL_SERVICES = {*SERVICE_NAMES, HEALTH, V1, V1ALPHA}


@pytest_asyncio.fixture(scope="module")
async def address(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    async with grounds(ledgers, valkey) as ground, ground.serving() as server:
        yield server.address


async def grpcurl(address: str, *words: str, options: tuple[str, ...] = ()) -> str:
    tool = await asyncio.create_subprocess_exec(
        GRPCURL, "-plaintext", *options, address, *words, stdout=asyncio.subprocess.PIPE, stderr=-2
    )
    said, _ = await asyncio.wait_for(tool.communicate(), TIMEOUT_S)
    assert tool.returncode == 0, said.decode()
    return said.decode()


async def reflected(
    address: str, version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    async with grpc.aio.insecure_channel(address) as channel:
        ask = channel.stream_stream(
            f"/{version}/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        call = ask(iter([request]), timeout=TIMEOUT_S)
        answers = [answer async for answer in call]
    (answer,) = answers
    assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
    return answer


def files_of(answer: reflection_pb2.ServerReflectionResponse) -> list[descriptor_pb2.FileDescriptorProto]:
    texts = answer.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(text) for text in texts]


async def test_grpcurl_lists_all_services(address: str) -> None:
    assert set((await grpcurl(address, "list")).split()) == ALL_SERVICES


@pytest.mark.parametrize("service", sorted(ALL_SERVICES))
async def test_grpcurl_describes_a_service(address: str, service: str) -> None:
    assert f"{service} is a service:" in await grpcurl(address, "describe", service)


async def test_grpcurl_calls_a_method_that_it_only_knows_by_asking(address: str) -> None:
    said = await grpcurl(address, "stakehold.v1.AdminService/ListCurrencies")

    codes = {currency["currency_code"] for currency in json.loads(said)["currencies"]}
    assert {"EUR", "BTC", "ETH"} <= codes


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_either_version_lists_all_services(address: str, version: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    answer = await reflected(address, version, request)

    assert {service.name for service in answer.list_services_response.service} == ALL_SERVICES


@pytest.mark.parametrize("version", [V1, V1ALPHA])
@pytest.mark.parametrize("service", sorted(ALL_SERVICES))
async def test_either_version_describes_every_service(address: str, version: str, service: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)

    files = files_of(await reflected(address, version, request))

    described = {f"{file.package}.{found.name}" for file in files for found in file.service}
    assert service in described


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_either_version_says_that_it_does_not_know_a_symbol(address: str, version: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="stakehold.v1.NoSuchThing")

    answer = await reflected(address, version, request)

    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_version_1_describes_itself_in_its_own_package(address: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=V1)

    (file,) = files_of(await reflected(address, V1, request))

    fields = [field.type_name for message in file.message_type for field in message.field]
    methods = [name for method in file.service[0].method for name in (method.input_type, method.output_type)]
    assert file.package == "grpc.reflection.v1"
    assert {name.rpartition(".")[0] for name in [*fields, *methods] if name} == {".grpc.reflection.v1"}
