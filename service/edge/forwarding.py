"""Hands a provider's request to the service, as it is, and its answer back."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from service.edge.metrics import Passage
from service.providers.http_headers import NOT_PASSED_ON
from service.telemetry.traces import Traces, outgoing_metadata
from service.transport.channels import RenewedChannel
from stakehold.v1 import provider_service_pb2 as pb
from stakehold.v1.provider_service_pb2_grpc import ProviderServiceStub

if TYPE_CHECKING:
    from stakehold.v1.provider_service_pb2_grpc import ProviderServiceAsyncStub

_log = structlog.get_logger(__name__)

_PATH = re.compile(r"/([a-z0-9][a-z0-9_-]{0,31})(/[\x21-\x7e]{0,511})")
_MOST_HEADER_BYTES = 32 << 10
_LOOK_EVERY_S = 1.0
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 20),
    # The service's name may stand for many: calls go to all of them in turn.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 30_000),
    # Nobody but the provider sends a callback again.
    ("grpc.enable_retries", 0),
)
_ANSWER_HEADERS = frozenset({"content-type", "retry-after"})


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a path names, and what of them."""

    provider_id: str
    path: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What is sent back."""

    passage: Passage
    status_code: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


UNKNOWN = Forwarded(Passage.UNKNOWN, 404)
UNAVAILABLE = Forwarded(Passage.UNAVAILABLE, 503, headers=(("Retry-After", "1"),))
"""What was done about it is not known here, or nothing was: a provider sends it again."""


def named_by(raw_path: str) -> Named | None:
    """None where the path, as it was sent, is no provider's."""
    match = _PATH.fullmatch(raw_path)
    return Named(match[1], match[2]) if match else None


def passed_on(headers: Iterable[tuple[str, str]]) -> list[pb.HttpHeader] | None:
    """None where they are too many."""
    passed = [
        pb.HttpHeader(name=name, value=value)
        for name, value in headers
        if name.lower() not in NOT_PASSED_ON and name.isascii() and value.isascii()
    ]
    size = sum(len(header.name) + len(header.value) for header in passed)
    return passed if size <= _MOST_HEADER_BYTES else None


class Forwarder:
    def __init__(self, channel: RenewedChannel, *, timeout_s: float, traces: Traces) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._traces = traces
        self._providers: ProviderServiceAsyncStub | None = None
        self._look_again_at = 0.0

    async def forward(
        self,
        named: Named,
        method: str,
        headers: Iterable[pb.HttpHeader],
        body: bytes,
        *,
        peer: str,
        traceparent: str,
    ) -> Forwarded:
        """Never raises for what the service does not do."""
        receive_time = Timestamp()
        receive_time.GetCurrentTime()
        request = pb.HandleCallbackRequest(
            provider_id=named.provider_id,
            method=method,
            path=named.path,
            body=body,
            headers=headers,
            peer=peer,
            receive_time=receive_time,
        )
        try:
            with self._traces.incoming("edge.callback", traceparent):
                providers = await self._current_providers()
                response = await providers.HandleCallback(
                    request, timeout=self._timeout_s, metadata=outgoing_metadata()
                )
        except grpc.aio.AioRpcError as error:
            return _forwarded_error(error)
        return Forwarded(
            Passage.ANSWERED,
            response.status_code,
            response.body,
            tuple(
                (header.name, header.value)
                for header in response.headers
                if header.name.lower() in _ANSWER_HEADERS
            ),
        )

    async def _current_providers(self) -> "ProviderServiceAsyncStub":
        """By the certificates of now, or of a second ago: looking for new ones costs reading files."""
        now = asyncio.get_running_loop().time()
        if self._providers is None or now >= self._look_again_at:
            self._look_again_at = now + _LOOK_EVERY_S
            self._providers = ProviderServiceStub(await self._channel.current())
        return self._providers


def _forwarded_error(error: grpc.aio.AioRpcError) -> Forwarded:
    """What it was is for the log, not for who called."""
    match error.code():
        case grpc.StatusCode.NOT_FOUND:
            return UNKNOWN
        case grpc.StatusCode.INVALID_ARGUMENT:
            return Forwarded(Passage.MALFORMED, 400)
        case code:
            _log.warning("callback_not_answered", code=code.name, details=error.details())
            return UNAVAILABLE
