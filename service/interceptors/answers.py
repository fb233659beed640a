"""Turns exceptions into statuses, counts and times calls. Wraps each method once, when it is first called."""

import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.rpc import status_pb2
from grpc.aio import AbortError, ServerInterceptor, ServicerContext

from persistence.errors import OutcomeUnknown, Overloaded, Refused, StakeholdError
from service.errors import internal_status, status_of
from service.metrics import CallMetrics
from service.registry import Registry

_log = structlog.get_logger(__name__)

Context = ServicerContext[Any, Any]
_STATUS_DETAILS = "grpc-status-details-bin"
_ALWAYS_ADMITTED = "/grpc."
"""Health and reflection answer however busy it is."""
_OVERLOAD_RETRY_MS = 200


class AnswerInterceptor(ServerInterceptor):
    """The only place that catches what operations raise."""

    def __init__(self, registry: Registry, metrics: CallMetrics, *, max_calls_in_flight: int) -> None:
        self._registry = registry
        self._metrics = metrics
        self._max_calls_in_flight = max_calls_in_flight
        self._calls_in_flight = 0
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        handler = self._wrapped.get(method)
        if handler is None:
            handler = self._wrap(method, await continuation(handler_call_details))
            if handler is not None:
                self._wrapped[method] = handler
        return handler

    def _wrap(self, method: str, handler: Any) -> Any:
        if handler is None or handler.request_streaming:
            return handler
        if handler.response_streaming:
            # A stream is a generator, or a coroutine that writes to the context, as Health.Watch is.
            around = (
                self._around_stream
                if inspect.isasyncgenfunction(handler.unary_stream)
                else self._around_unary
            )
            return grpc.unary_stream_rpc_method_handler(
                around(method, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._around_unary(method, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _around_unary(self, method: str, operation: Callable[..., Awaitable[Any]]) -> Any:
        observe = self._metrics.observer_of(method)
        limited = not method.startswith(_ALWAYS_ADMITTED)

        async def answered(request: Any, context: Context) -> Any:
            started = time.perf_counter()
            self._calls_in_flight += 1
            try:
                if limited and self._calls_in_flight > self._max_calls_in_flight:
                    raise Overloaded("too many calls are in flight", retry_delay_ms=_OVERLOAD_RETRY_MS)
                response = await operation(request, context)
            except AbortError:  # answered already
                raise
            except Exception as error:
                code, status = await self._status(method, error)
                observe(code.name, time.perf_counter() - started)
                await _abort(context, code, status)
                raise
            finally:
                self._calls_in_flight -= 1
            observe("OK", time.perf_counter() - started)
            return response

        return answered

    def _around_stream(self, method: str, operation: Callable[..., AsyncIterator[Any]]) -> Any:
        observe = self._metrics.observer_of(method)

        async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
            started = time.perf_counter()
            try:
                async for response in operation(request, context):
                    yield response
            except AbortError:  # answered already
                raise
            except Exception as error:
                code, status = await self._status(method, error)
                observe(code.name, time.perf_counter() - started)
                await _abort(context, code, status)
            observe("OK", time.perf_counter() - started)

        return answered

    async def _status(self, method: str, error: Exception) -> tuple[grpc.StatusCode, status_pb2.Status]:
        if isinstance(error, StakeholdError):
            try:
                if isinstance(error, Refused) and error.details.balance is not None:
                    await self._registry.learn([error.details.balance.currency])
                return status_of(error, self._registry)
            except OutcomeUnknown as unknown:
                return status_of(unknown, self._registry)
            except KeyError:
                pass
        incident_id = uuid.uuid4().hex
        _log.error("internal_error", method=method, incident_id=incident_id, exc_info=error)
        return internal_status(incident_id)


async def _abort(context: Context, code: grpc.StatusCode, status: status_pb2.Status) -> None:
    await context.abort(code, status.message, ((_STATUS_DETAILS, status.SerializeToString()),))
