"""Applies one command of the inbox, as the unary call would, and says what came of it."""

from persistence.valkey.engine import Engine, deadline_after
from service.conversions.commands import command_call, done_result, error_result
from service.conversions.results import currencies_of
from service.explanations import explanation_of
from service.quotes import Quotes
from service.registry import Registry
from stakehold.v1 import command_pb2

_METHOD = "inbox"


class Applier:
    """Through the same engine and the same words as WalletService."""

    def __init__(self, engine: Engine, registry: Registry, quotes: Quotes, *, timeout_s: float) -> None:
        self._engine = engine
        self._registry = registry
        self._quotes = quotes
        self._timeout_s = timeout_s

    async def apply(self, command: bytes) -> tuple[command_pb2.CommandResult, Exception | None]:
        """The answer to tell, and what was raised where it is none of OK."""
        try:
            call = command_call(command_pb2.Command.FromString(command), self._registry, self._quotes)
            results = await self._engine.transact(call, deadline=deadline_after(self._timeout_s))
            await self._registry.learn(currencies_of(results))
            return done_result(results, self._registry), None
        except Exception as error:
            return error_result(await explanation_of(error, self._registry, method=_METHOD)), error
