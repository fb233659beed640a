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

from persistence.errors import StakeholdError
from service.errors import internal_status, status_of
from service.metrics import CallMetrics
from service.registry import CurrencyScales

_log = structlog.get_logger(__name__)

Context = ServicerContext[Any, Any]
_STATUS_DETAILS = "grpc-status-details-bin"


class AnswerInterceptor(ServerInterceptor):
    """The only place that catches what operations raise."""

    def __init__(self, scales: CurrencyScales, metrics: CallMetrics) -> None:
        self._scales = scales
        self._metrics = metrics
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

        async def answered(request: Any, context: Context) -> Any:
            started = time.perf_counter()
            try:
                response = await operation(request, context)
            except AbortError:  # answered already
                raise
            except Exception as error:
                code, status = self._status(method, error)
                observe(code.name, time.perf_counter() - started)
                await _abort(context, code, status)
                raise
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
                code, status = self._status(method, error)
                observe(code.name, time.perf_counter() - started)
                await _abort(context, code, status)
            observe("OK", time.perf_counter() - started)

        return answered

    def _status(self, method: str, error: Exception) -> tuple[grpc.StatusCode, status_pb2.Status]:
        if isinstance(error, StakeholdError):
            try:
                return status_of(error, self._scales)
            except KeyError:
                pass
        incident_id = uuid.uuid4().hex
        _log.error("internal_error", method=method, incident_id=incident_id, exc_info=error)
        return internal_status(incident_id)


async def _abort(context: Context, code: grpc.StatusCode, status: status_pb2.Status) -> None:
    await context.abort(code, status.message, ((_STATUS_DETAILS, status.SerializeToString()),))
