"""Applies one command of the inbox, as the unary call would, and says what came of it."""

from persistence.tracing import current_call
from persistence.valkey.engine import Engine, deadline_after
from service.conversions.commands import code_of, command_call, done_result, error_result, reason_of
from service.conversions.results import currencies_of
from service.explanations import explanation_of
from service.quotes import Quotes
from service.registry import Registry
from service.telemetry.traces import CommandTraces, Traces
from stakehold.v1 import command_pb2

_METHOD = "inbox"


class Applier:
    """Through the same engine and the same words as WalletService."""

    def __init__(
        self, engine: Engine, registry: Registry, quotes: Quotes, *, timeout_s: float, traces: Traces
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._quotes = quotes
        self._timeout_s = timeout_s
        self._traces = traces

    def traced(self, traceparent: str = "") -> CommandTraces | None:
        """The traces of commands that came in a call with this context, or in one that is not traced."""
        return self._traces.commands(_METHOD, traceparent)

    async def apply(
        self, command: bytes, traces: CommandTraces | None
    ) -> tuple[command_pb2.CommandResult, Exception | None]:
        """The answer to tell, and what was raised where it is none of OK."""
        trace = None if traces is None else traces.begin("command")
        if trace is None:
            return await self._apply(command)
        token = current_call.set(trace.call)
        code, reason = "UNKNOWN", ""
        try:
            result, error = await self._apply(command)
            code, reason = code_of(result), reason_of(result)
            return result, error
        finally:
            current_call.reset(token)
            trace.end(code, reason)

    async def _apply(self, command: bytes) -> tuple[command_pb2.CommandResult, Exception | None]:
        try:
            call = command_call(command_pb2.Command.FromString(command), self._registry, self._quotes)
            results = await self._engine.transact(call, deadline=deadline_after(self._timeout_s))
            await self._registry.learn(currencies_of(results))
            return done_result(results, self._registry), None
        except Exception as error:
            return error_result(await explanation_of(error, self._registry, method=_METHOD)), error
