"""Who calls: asked once for each RPC, before anything else is looked at."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol

from persistence.errors import Unauthenticated
from service.callers.caller import DEVELOPMENT, Caller


class Connection(Protocol):
    """What is asked of a gRPC context."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


class Identifier(Protocol):
    """Knows callers by what their connection and their call show."""

    def identify(self, context: Connection) -> Caller:
        """Raises Unauthenticated."""
        ...


class KeyUnknown(Unauthenticated):
    """No key of this id is known now; ``arrival`` waits for what the issuer's server is being asked.

    ``are_there``: other keys of the issuer are.
    """

    def __init__(self, arrival: Callable[[], Awaitable[None]], *, are_there: bool) -> None:
        super().__init__(
            "the token is signed with a key that its issuer does not name"
            if are_there
            else "the keys of the token's issuer cannot be had now",
            cause="token_key_unknown" if are_there else "token_keys_unavailable",
        )
        self.arrival = arrival


class DevelopmentIdentifier:
    """Everybody is the development's caller: only where a server listens on loopback."""

    def identify(self, context: Connection) -> Caller:
        """Asks nobody."""
        return DEVELOPMENT


async def identified(identifier: Identifier, context: Connection) -> Caller:
    """Only who shows a key that nobody knows yet is kept waiting, once. Raises Unauthenticated."""
    try:
        return identifier.identify(context)
    except KeyUnknown as unknown:
        await unknown.arrival()
    return identified_at_once(identifier, context)


def identified_at_once(identifier: Identifier, context: Connection) -> Caller:
    """Without waiting for a key that nobody knows. Raises Unauthenticated."""
    try:
        return identifier.identify(context)
    except KeyUnknown as unknown:
        raise Unauthenticated(str(unknown), cause=unknown.cause) from None


_CALLER: ContextVar[Caller] = ContextVar("stakehold_caller")


def note_caller(caller: Caller) -> None:
    """Of the RPC whose task this is: each RPC has a task, and so a context, of its own."""
    _CALLER.set(caller)


def current_caller() -> Caller:
    """Who has called the RPC that this task answers. Raises Unauthenticated outside of one."""
    try:
        return _CALLER.get()
    except LookupError:
        raise Unauthenticated("nobody was asked who calls", cause="not_asked") from None
