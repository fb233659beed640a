"""Traces calls that come over gRPC: those whose callers do, and a share of the others."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import ServerInterceptor, ServicerContext

from service.telemetry.sampling import Sampling
from service.telemetry.trace_context import TraceContext

Context = ServicerContext[Any, Any]

_NEVER = ("/grpc.", "/stakehold.v1.EventService/")
"""Health and reflection say nothing about money, and a subscription is no call: it lasts for days."""
_IN_BULK = "/stakehold.v1.BulkService/"
_STATUS_DETAILS = "grpc-status-details-bin"
_LONGEST_SOURCE_ID = 128
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class Ending(Protocol):
    """A call under way."""

    def end(self, code: str, reason: str) -> None:
        """It is answered so."""


class Begin(Protocol):
    """Begins a call's span, which is the current one of its task from then on."""

    def __call__(
        self, method: str, parent: TraceContext | None, source: str, start_ns: int, *, in_bulk: bool
    ) -> Ending: ...


class TraceInterceptor(ServerInterceptor):
    """A call that is not traced passes through it as if it were not there."""

    def __init__(self, sampling: Sampling, begin: Begin) -> None:
        self._takes = sampling.takes
        self._begin = begin

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        parent = TraceContext.of_metadata(handler_call_details.invocation_metadata)
        if not self._takes(parent) or handler is None or handler_call_details.method.startswith(_NEVER):
            return handler
        return self._traced(handler, handler_call_details.method, parent, time.time_ns())

    def _traced(self, handler: Any, method: str, parent: TraceContext | None, start_ns: int) -> Any:
        def begin(request: Any) -> Ending:
            return self._begin(
                method, parent, _source_of(request), start_ns, in_bulk=method.startswith(_IN_BULK)
            )

        words = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(_around_stream(handler.stream_stream, begin), *words)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(_around_unary(handler.stream_unary, begin), *words)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_around_stream(handler.unary_stream, begin), *words)
        return grpc.unary_unary_rpc_method_handler(_around_unary(handler.unary_unary, begin), *words)


def _around_unary(operation: Callable[..., Awaitable[Any]], begin: Callable[[Any], Ending]) -> Any:
    async def answered(request: Any, context: Context) -> Any:
        call = begin(request)
        code = "UNKNOWN"
        try:
            response = await operation(request, context)
            code = _code_of(context)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            code = _code_of(context)
            raise
        finally:
            call.end(code, _reason_of(context))
        return response

    return answered


def _around_stream(
    operation: Callable[..., AsyncGenerator[Any, None]], begin: Callable[[Any], Ending]
) -> Any:
    async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
        call = begin(request)
        code = "UNKNOWN"
        try:
            async with aclosing(operation(request, context)) as responses:
                async for response in responses:
                    yield response
            code = _code_of(context)
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            code = _code_of(context)
            raise
        finally:
            call.end(code, _reason_of(context))

    return answered


def _source_of(request: Any) -> str:
    """Whom it says it is from, where it says so in one word."""
    source_id = getattr(request, "source_id", "")
    is_an_id = isinstance(source_id, str) and len(source_id) <= _LONGEST_SOURCE_ID and source_id.isprintable()
    return source_id if is_an_id else ""


def _code_of(context: Context) -> str:
    code: Any = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code or 0, "UNKNOWN")


def _reason_of(context: Context) -> str:
    """Why, where it was not OK: the stable word that the caller is told."""
    for key, value in context.trailing_metadata() or ():
        if key == _STATUS_DETAILS:
            info = error_details_pb2.ErrorInfo()
            with suppress(DecodeError):
                for detail in status_pb2.Status.FromString(value).details:
                    if detail.Unpack(info):
                        return str(info.reason)
    return ""
