"""Admits calls, turns exceptions into statuses, counts and times. Wraps a method when it is first called."""

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import AbortError, ServerInterceptor, ServicerContext

from persistence.errors import FieldInvalid, Overloaded, Shortage
from service.callers.caller import Caller
from service.callers.gate import Gate
from service.callers.identifying import Identifier, identified, note_caller
from service.callers.standing import Standing, while_same
from service.conversions.bulk import UNREADABLE
from service.errors import status_of
from service.explanations import explanation_of
from service.interceptors.doors import Doors
from service.metrics import CallMetrics
from service.registry import Registry
from service.servicers.deadlines import CallContext

Context = ServicerContext[Any, Any]
Answer = tuple[grpc.StatusCode, str, bytes]
"""What is sent in place of a response: code, message, and the serialised rich status."""

_STATUS_DETAILS = "grpc-status-details-bin"
_UNREADABLE = object()
"""Stands for a request that is no message of its type."""


class AnswerInterceptor(ServerInterceptor):
    """The only place that catches what operations raise."""

    def __init__(
        self,
        identifier: Identifier,
        gate: Gate,
        registry: Registry,
        metrics: CallMetrics,
        doors: Doors,
        *,
        recheck_s: float,
    ) -> None:
        self._recheck_s = recheck_s
        self._identifier = identifier
        self._gate = gate
        self._registry = registry
        self._metrics = metrics
        self._doors = doors
        self._wrapped: dict[str, Any] = {}
        self._overload_answer = lru_cache(maxsize=256)(self._answer_overload)

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
        if handler is None:
            return handler
        if handler.request_streaming and handler.response_streaming:
            assert inspect.isasyncgenfunction(handler.stream_stream), f"{method} does not yield its responses"
            return grpc.stream_stream_rpc_method_handler(
                self._around_stream(method, handler.stream_stream, reads=True),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._around_unary(method, handler.stream_unary, lasts=True),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.response_streaming:
            assert inspect.isasyncgenfunction(handler.unary_stream), f"{method} does not yield its responses"
            return grpc.unary_stream_rpc_method_handler(
                self._around_stream(method, handler.unary_stream),
                _reading(handler.request_deserializer),
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._around_unary(method, handler.unary_unary),
            _reading(handler.request_deserializer),
            handler.response_serializer,
        )

    def _around_unary(
        self, method: str, operation: Callable[..., Awaitable[Any]], *, lasts: bool = False
    ) -> Any:
        """``lasts``: the request is a stream, so that the answer may be long in coming."""
        observe = self._metrics.observer_of(method)
        enter, leave = self._doors.of(method)
        require, deny = self._gate.require, self._gate.deny
        operation = self._gate.around(method, operation)

        async def answered(request: Any, context: Context) -> Any:
            started = time.perf_counter()
            entered = None
            try:
                caller = await identified(self._identifier, context)
                note_caller(caller)
                if lasts:
                    request = self._while_same(request, context, caller)
                if request is _UNREADABLE:
                    raise FieldInvalid("request", UNREADABLE)
                require(caller, method, request)
                entered = enter(request, context)
                response = await operation(request, context)
            except AbortError:  # answered already
                raise
            except asyncio.CancelledError:
                observe(_code_of_given_up(context), time.perf_counter() - started)
                raise
            except Exception as error:
                deny(method, request, context, error)
                code, message, details = await self._answer(method, error)
                observe(code.name, time.perf_counter() - started)
                context.set_code(code)
                context.set_details(message)
                context.set_trailing_metadata(((_STATUS_DETAILS, details),))
                return None
            finally:
                if entered is not None:
                    leave(entered)
            observe("OK", time.perf_counter() - started)
            return response

        return answered

    def _around_stream(
        self, method: str, operation: Callable[..., AsyncGenerator[Any, None]], *, reads: bool = False
    ) -> Any:
        """``reads``: the request is a stream, too; with its end the answers end."""
        observe = self._metrics.observer_of(method)
        enter, leave = self._doors.of(method)
        require, deny = self._gate.require, self._gate.deny

        async def answered(request: Any, context: Context) -> AsyncIterator[Any]:
            started = time.perf_counter()
            entered = standing = None
            try:
                caller = await identified(self._identifier, context)
                note_caller(caller)
                if reads:
                    request = self._while_same(request, context, caller)
                else:
                    standing = Standing(self._identifier, context, caller, every_s=self._recheck_s)
                if request is _UNREADABLE:
                    raise FieldInvalid("request", UNREADABLE)
                require(caller, method, request)
                entered = enter(request, context)
                async with aclosing(operation(request, context)) as responses:
                    async for response in responses:
                        if standing is not None:
                            standing.hand_over()
                        yield response
                        if standing is not None:
                            standing.take_back()
            except AbortError:  # answered already
                raise
            except (asyncio.CancelledError, GeneratorExit, Exception) as error:
                cause = _told(error, standing)
                if cause is None:
                    observe(_code_of_given_up(context), time.perf_counter() - started)
                    raise
                deny(method, request, context, cause)
                code, message, details = await self._answer(method, cause)
                observe(code.name, time.perf_counter() - started)
                await context.abort(code, message, ((_STATUS_DETAILS, details),))
            finally:
                if standing is not None:
                    standing.close()
                if entered is not None:
                    leave(entered)
            observe("OK", time.perf_counter() - started)

        return answered

    def _while_same(self, messages: Any, context: Context, caller: Caller) -> AsyncIterator[Any]:
        return while_same(messages, self._identifier, context, caller, every_s=self._recheck_s)

    async def _answer(self, method: str, error: Exception) -> Answer:
        if isinstance(error, Overloaded):
            self._metrics.count_shed(error.cause)
            return self._overload_answer(error.cause, error.source_id, error.partition, error.retry_delay_ms)
        explanation = await explanation_of(error, self._registry, method=method)
        return explanation.code, explanation.message, explanation.status().SerializeToString()

    def _answer_overload(
        self, cause: Shortage, source_id: str, partition: int | None, retry_delay_ms: int
    ) -> Answer:
        """Made once and kept: where most calls are shed, shedding must be cheap."""
        error = Overloaded(
            "", retry_delay_ms=retry_delay_ms, cause=cause, source_id=source_id, partition=partition
        )
        code, status = status_of(error, self._registry)
        return code, status.message, status.SerializeToString()


def _told(error: BaseException, standing: Standing | None) -> Exception | None:
    """What the caller is told of; None where the call was given up, and nobody is there to be told."""
    if isinstance(error, Exception):
        return error
    return standing.take_cancellation() if standing and isinstance(error, asyncio.CancelledError) else None


def _reading(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """GRPC tells callers the text of what a deserializer raises, and calls it UNKNOWN."""

    def read(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError:
            return _UNREADABLE

    return read


def _code_of_given_up(context: CallContext) -> str:
    """A call whose deadline passes is cancelled, as one is that its caller gives up before."""
    remaining_s = context.time_remaining()
    return "CANCELLED" if remaining_s is None or remaining_s > 0 else "DEADLINE_EXCEEDED"
