"""Every method that a line of a play may name, and how its request is sent."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from service.demo.plays import Json
from stakehold.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    cashier_service_pb2,
    cashier_service_pb2_grpc,
    fx_service_pb2,
    fx_service_pb2_grpc,
    sportsbook_service_pb2,
    sportsbook_service_pb2_grpc,
    submission_service_pb2,
    submission_service_pb2_grpc,
    wallet_service_pb2,
    wallet_service_pb2_grpc,
)

CALL_TIMEOUT_S, STREAM_TIMEOUT_S = 10.0, 60.0
COMMANDS_A_MESSAGE = 500
SERVICES: tuple[tuple[ModuleType, Any], ...] = (
    (wallet_service_pb2, wallet_service_pb2_grpc.WalletServiceStub),
    (admin_service_pb2, admin_service_pb2_grpc.AdminServiceStub),
    (sportsbook_service_pb2, sportsbook_service_pb2_grpc.SportsbookServiceStub),
    (submission_service_pb2, submission_service_pb2_grpc.SubmissionServiceStub),
    (cashier_service_pb2, cashier_service_pb2_grpc.CashierServiceStub),
    (fx_service_pb2, fx_service_pb2_grpc.FxServiceStub),
)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the API."""

    request_type: Any
    stub_method: Any
    streams: bool

    def request(self, request: Json) -> Message:
        """A line's request. A time that begins with "+" is counted from now."""
        message: Message = json_format.ParseDict(_in_time(request), self.request_type())
        return message

    def start(self, request: Message) -> Any:
        """The call, begun. Where the method takes a stream, the request is sent in parts."""
        if self.streams:
            return self.stub_method(_parts(request), timeout=STREAM_TIMEOUT_S)
        return self.stub_method(request, timeout=CALL_TIMEOUT_S)


def methods_of(channel: grpc.aio.Channel) -> Mapping[str, Method]:
    """By name, which is of one service only."""
    methods: dict[str, Method] = {}
    for module, stub_type in SERVICES:
        stub = stub_type(channel)
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                request_type = getattr(module, method.input_type.name)
                methods[method.name] = Method(
                    request_type, getattr(stub, method.name), method.client_streaming
                )
    return methods


def _parts(request: Any) -> Iterator[Message]:
    """A submission in messages that are small enough."""
    for start in range(0, len(request.commands), COMMANDS_A_MESSAGE):
        part = type(request)(commands=request.commands[start : start + COMMANDS_A_MESSAGE])
        if not start:
            part.source_id, part.submission_id = request.source_id, request.submission_id
            part.command_count = request.command_count
        yield part


def _in_time(request: Json) -> Json:
    return {
        name: _moment(value) if name.endswith("Time") else _in_times(value) for name, value in request.items()
    }


def _in_times(value: Any) -> Any:
    match value:
        case dict():
            return _in_time(value)
        case list():
            return [_in_times(each) for each in value]
        case _:
            return value


def _moment(time_text: str) -> str:
    if not time_text.startswith("+"):
        return time_text
    moment = Timestamp()
    moment.FromNanoseconds(time.time_ns() + int(time_text[1:].removesuffix("s")) * 1_000_000_000)
    return moment.ToJsonString()
