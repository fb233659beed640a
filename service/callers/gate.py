"""What each call passes before it is carried out: whether its caller may, who it is, and the record of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from google.protobuf.message import Message

from persistence.errors import NotPermitted, StakeholdError, Unauthenticated
from persistence.postgres.sessions import token_digest
from service.callers.access_log import AccessLog, Visit, cleaned
from service.callers.caller import Caller
from service.callers.grants import GRANTS, Grant
from service.callers.identifying import current_caller
from service.callers.permits import Permit, Permits
from service.callers.persons import name_person
from service.errors import code_and_reason
from service.servicers.deadlines import Deadlines
from stakehold.v1 import command_pb2

_LONGEST_ID = 128
_CLAIMS = ("x509_common_name", "x509_subject_alternative_name")

Operation = Callable[[Any, Any], Awaitable[Any]]


class CallContext(Protocol):
    """What is asked of a gRPC context."""

    def peer(self) -> str: ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...

    def time_remaining(self) -> float | None: ...


class CommandGate(Protocol):
    """What the commands of one call pass, each by itself."""

    def require_source(self, source_id: str) -> None:
        """Raises SourceNotPermitted."""
        ...

    def require(self, command: command_pb2.Command) -> None:
        """Raises SourceNotPermitted and VerbNotPermitted."""
        ...

    def require_or_note(self, command: command_pb2.Command) -> None:
        """The same where the denial is one command's own, and the call goes on: it is kept here."""
        ...


class Gate:
    """One for all calls of a server."""

    def __init__(self, permits: Permits, access_log: AccessLog, deadlines: Deadlines) -> None:
        self._permits = permits
        self._log = access_log
        self._deadlines = deadlines

    def require(self, caller: Caller, method: str, request: Any) -> None:
        """Raises SourceNotPermitted and VerbNotPermitted. Nothing was looked up before."""
        self._permits.of(caller).require(method, request)

    def deny(self, method: str, request: Any, context: CallContext, error: Exception) -> None:
        """Keeps that a call was denied, where that is what the error says."""
        if isinstance(error, Unauthenticated):
            visit = _visit(method, request, context, caller=None)
            self._deny(visit, error, verb="", why=f"{error.cause}: {error}")
        elif isinstance(error, NotPermitted):
            self._deny(_visit(method, request, context, current_caller()), error, verb=error.verb)

    def commands(self, method: str, context: CallContext) -> CommandGate:
        """For a call whose commands are asked for one by one. Denials of them are kept."""
        caller = current_caller()
        return _CommandGate(self, self._permits.of(caller), caller, method, context)

    def deny_command(
        self,
        method: str,
        command: command_pb2.Command,
        context: CallContext,
        caller: Caller,
        error: NotPermitted,
    ) -> None:
        """Keeps that one command of many was denied."""
        operation = command.WhichOneof("operation")
        request = getattr(command, operation) if operation else None
        self._deny(_visit(method, request, context, caller), error, verb=error.verb)

    def around(self, method: str, operation: Operation) -> Operation:
        """The operation with its person named, and on record where it is an administrative one."""
        grant = GRANTS.get(method)
        if grant is None:
            return operation
        if grant.person:
            operation = _naming_the_person(grant.person, operation)
        return self._recorded(method, grant, operation) if grant.is_administrative else operation

    def _recorded(self, method: str, grant: Grant, operation: Operation) -> Operation:
        async def recorded(request: Any, context: CallContext) -> Any:
            opening = self._log.opening(
                _visit(method, request, context, current_caller()),
                details=_noted(request, grant),
                why=str(_field(request, grant.why)) if grant.why else "",
            )
            try:
                await self._log.begin(opening, deadline=self._deadlines.of(context))
                response = await operation(request, context)
            except asyncio.CancelledError:
                self._log.end(opening, code="CANCELLED", reason="")
                raise
            except Exception as error:
                code, reason = code_and_reason(error)
                self._log.end(opening, code=code.name, reason=reason)
                raise
            self._log.end(opening, code="OK", reason="")
            return response

        return recorded

    def _deny(self, visit: Visit, error: StakeholdError, *, verb: str, why: str = "") -> None:
        code, reason = code_and_reason(error)
        self._log.deny(visit, verb=verb, why=why or str(error), code=code.name, reason=reason)


class _CommandGate:
    def __init__(self, gate: Gate, permit: Permit, caller: Caller, method: str, context: CallContext) -> None:
        self._gate = gate
        self._permit = permit
        self._caller = caller
        self._method = method
        self._context = context

    def require_source(self, source_id: str) -> None:
        self._permit.require_source(self._method, source_id)

    def require(self, command: command_pb2.Command) -> None:
        self._permit.require_command(self._method, command)

    def require_or_note(self, command: command_pb2.Command) -> None:
        try:
            self._permit.require_command(self._method, command)
        except NotPermitted as error:
            self._gate.deny_command(self._method, command, self._context, self._caller, error)
            raise


def _naming_the_person(field: str, operation: Operation) -> Operation:
    async def named(request: Any, context: CallContext) -> Any:
        name_person(request, field, current_caller())
        return await operation(request, context)

    return named


def _visit(method: str, request: Any, context: CallContext, caller: Caller | None) -> Visit:
    return Visit(
        method=method,
        peer=peer_address(context.peer()),
        caller=caller.name if caller else "",
        identified_by=caller.identified_by.value if caller else "",
        claimed="" if caller else _claimed(context),
        source_id=_id_of(request, "source_id"),
        player_id=_id_of(request, "player_id"),
        transaction_id=_transaction_id_of(request),
    )


def peer_address(peer: str) -> str:
    """The address without the port, of what gRPC calls a peer: ipv4:127.0.0.1:4711 or ipv6:%5B::1%5D:4711."""
    kind, _, rest = unquote(peer).partition(":")
    address = rest.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else peer
    return cleaned(address, _LONGEST_ID)


def _claimed(context: CallContext) -> str:
    """What a certificate says of whom nobody knows."""
    shown = context.auth_context()
    names = [name for claim in _CLAIMS for name in shown.get(claim, ()) if name]
    return cleaned(", ".join(name.decode("ascii", "backslashreplace") for name in names))


def _id_of(request: Any, field: str) -> str:
    value = getattr(request, field, "")
    return cleaned(value, _LONGEST_ID) if isinstance(value, str) else ""


def _transaction_id_of(request: Any) -> str:
    steps = getattr(request, "steps", None)
    if not steps:
        return _id_of(request, "transaction_id")
    operation = steps[0].WhichOneof("operation")
    return _id_of(getattr(steps[0], operation), "transaction_id") if operation else ""


def _noted(request: Message, grant: Grant) -> dict[str, str]:
    """What a record keeps of a request, by the fields' names. What is empty is left out."""
    paths = (*grant.noted, grant.person) if grant.person else grant.noted
    found = {path.rpartition(".")[2]: _text(request, path) for path in paths}
    kept = {name: text for name, text in found.items() if text}
    return kept | {f"{name}_digest": _digest(_field(request, name)) for name in grant.digested}


def _digest(secret: str) -> str:
    """Of a session's token: what providers.sessions has of it."""
    return token_digest(secret).hex()


def _text(request: Message, path: str) -> str:
    parent, _, name = path.rpartition(".")
    message = _field(request, parent) if parent else request
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.is_repeated:
        return ", ".join(str(item) for item in value[:_LONGEST_ID])
    if field.message_type is not None:
        return str(value).strip().replace("\n", ", ") if message.HasField(name) else ""
    if field.enum_type is not None:
        number = field.enum_type.values_by_number.get(value)
        return number.name if number else str(value)
    return str(value) if value else ""


def _field(request: Message, path: str) -> Any:
    value: Any = request
    for name in path.split("."):
        value = getattr(value, name)
    return value
