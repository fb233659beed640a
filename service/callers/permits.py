"""Asks the table of grants, cheaply: what a caller may do is worked out once for each caller and method."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol

from persistence.errors import SourceNotPermitted, VerbNotPermitted
from service.callers.caller import Caller, Identification, Role
from service.callers.grants import CREDIT_KINDS, DEBIT_KINDS, GRANTS, HOLD_KINDS, OPERATIONS, Grant
from stakehold.v1 import command_pb2, transaction_pb2, wallet_service_pb2

_MOST_CALLERS = 4096
"""That are remembered. Each is made anew by whoever identifies it, once its settings change."""

_LONGEST_SOURCE_ID = 64
"""No source has a longer one; what is longer is not told back."""

_FREE = "/grpc."
"""Health and reflection: no money and no player is named there."""

_UNSPECIFIED = transaction_pb2.TRANSACTION_KIND_UNSPECIFIED
"""Is not forbidden but malformed: whoever reads the request refuses it, with its field."""

_Check = Callable[[Any], None]


class Permit(Protocol):
    """What one caller may do. Each raises SourceNotPermitted or VerbNotPermitted."""

    def require(self, method: str, request: Any) -> None:
        """For a call. Of what comes as commands only the method is asked for."""
        ...

    def require_command(self, method: str, command: command_pb2.Command) -> None:
        """For one command of a call of ``method``."""
        ...

    def require_source(self, method: str, source_id: str) -> None:
        """For what comes as commands of one source."""
        ...


class _Free:
    """The development's caller, who is not asked."""

    def require(self, method: str, request: Any) -> None:
        """Permits."""

    def require_command(self, method: str, command: command_pb2.Command) -> None:
        """Permits."""

    def require_source(self, method: str, source_id: str) -> None:
        """Permits."""


class _Bound:
    def __init__(self, caller: Caller, grants: Mapping[str, Grant]) -> None:
        self._caller = caller
        self._grants = grants
        self._debits = _kinds(DEBIT_KINDS, caller.roles)
        self._credits = _kinds(CREDIT_KINDS, caller.roles)
        self._holds = _kinds(HOLD_KINDS, caller.roles)
        self._checks: dict[str, _Check] = {}
        self._command_checks: dict[str, dict[str, _Check]] = {}

    def require(self, method: str, request: Any) -> None:
        check = self._checks.get(method)
        if check is None:
            check = self._checks[method] = self._check_of(method)
        check(request)

    def require_command(self, method: str, command: command_pb2.Command) -> None:
        operation = command.WhichOneof("operation")
        if operation is None:
            return  # malformed, and refused so
        checks = self._command_checks.get(method)
        if checks is None:
            checks = self._command_checks[method] = self._command_checks_of(method)
        checks[operation](getattr(command, operation))

    def require_source(self, method: str, source_id: str) -> None:
        if not source_id or not self._caller.may_act_as(source_id):
            self._refuse_source(method, _name(method), source_id)

    def _check_of(self, method: str) -> _Check:
        if method.startswith(_FREE):
            return _permit
        grant = self._grants.get(method)
        roles = self._caller.roles
        if grant is None or not roles & (grant.own | grant.all):
            return lambda request: self._refuse_verb(method, _name(method))
        if roles & grant.all:
            fields = [name for name, only in grant.only.items() if not roles & only]
            return self._fields_check(method, fields) if fields else _permit
        if grant.by_command:
            return _permit
        operation = _OPERATION_OF.get(method)
        if operation is None:
            return self._source_check(method, _name(method))
        return self._operation_check(method, operation)

    def _command_checks_of(self, method: str) -> dict[str, _Check]:
        return {
            operation: self._operation_check(method, operation)
            if self._caller.roles & self._grants[alone].own
            else self._refusal(method, operation)
            for operation, alone in OPERATIONS.items()
        }

    def _operation_check(self, method: str, operation: str) -> _Check:
        """Of a request that moves money: its source, and then its kinds."""
        of_source = self._source_check(method, operation)
        if operation == "transact":
            of_steps = self._steps_check(method)

            def check_all(request: wallet_service_pb2.TransactRequest) -> None:
                of_source(request)
                of_steps(request)

            return check_all
        kinds = {"debit": self._debits, "credit": self._credits, "hold": self._holds}.get(operation)
        if kinds is None:
            return of_source
        may_act_as = self._caller.may_act_as

        def check(request: Any) -> None:
            source_id = request.source_id
            if not source_id or not may_act_as(source_id):
                self._refuse_source(method, operation, source_id)
            if request.kind not in kinds:
                self._refuse_kind(method, operation, request.kind)

        return check

    def _steps_check(self, method: str) -> Callable[[wallet_service_pb2.TransactRequest], None]:
        kinds = {"debit": self._debits, "credit": self._credits, "hold": self._holds}
        forbidden = {
            operation
            for operation, alone in OPERATIONS.items()
            if not self._caller.roles & self._grants[alone].own
        }

        def check(request: wallet_service_pb2.TransactRequest) -> None:
            for step in request.steps:
                operation = step.WhichOneof("operation")
                if operation is None:
                    continue  # malformed, and refused so
                if operation in forbidden:
                    self._refuse_verb(method, operation)
                allowed = kinds.get(operation)
                if allowed is not None:
                    kind = getattr(step, operation).kind
                    if kind not in allowed:
                        self._refuse_kind(method, operation, kind)

        return check

    def _source_check(self, method: str, verb: str) -> _Check:
        may_act_as = self._caller.may_act_as

        def check(request: Any) -> None:
            source_id = request.source_id
            if not source_id or not may_act_as(source_id):
                self._refuse_source(method, verb, source_id)

        return check

    def _fields_check(self, method: str, fields: Iterable[str]) -> _Check:
        def check(request: Any) -> None:
            for name in fields:
                if request.HasField(name):
                    self._refuse_verb(method, f"{_name(method)} {name}")

        return check

    def _refusal(self, method: str, verb: str) -> _Check:
        return lambda request: self._refuse_verb(method, verb)

    def _refuse_kind(self, method: str, operation: str, kind: int) -> None:
        if kind == _UNSPECIFIED:
            return
        try:
            name = transaction_pb2.TransactionKind.Name(kind).removeprefix("TRANSACTION_KIND_")  # type: ignore[arg-type]
        except ValueError:
            name = str(kind)
        self._refuse_verb(method, f"{operation} {name}")

    def _refuse_verb(self, method: str, verb: str) -> NoReturn:
        raise VerbNotPermitted(
            f"{self._caller.name} may not: none of its roles permits {verb}. Nothing was done; let a caller "
            "do it that has the role, or have the role added in the file of callers",
            caller=self._caller.name,
            method=method,
            verb=verb,
        )

    def _refuse_source(self, method: str, verb: str, source_id: str) -> NoReturn:
        source_id = source_id[:_LONGEST_SOURCE_ID]
        what = f"may not act as source {source_id}" if source_id else "has to name a source in source_id"
        raise SourceNotPermitted(
            f"{self._caller.name} {what}. Nothing was done; name a source of its own, or have it added to "
            "the caller's in the file of callers",
            caller=self._caller.name,
            method=method,
            verb=verb,
            source_id=source_id,
        )


class Permits:
    """What all callers may do, each worked out when it first calls."""

    def __init__(self, grants: Mapping[str, Grant] = GRANTS) -> None:
        self._grants = grants
        self._of: dict[int, tuple[Caller, Permit]] = {}
        self._equal: dict[Caller, Permit] = {}

    def of(self, caller: Caller) -> Permit:
        """Found by what the caller is, not by what it is equal to: that takes longer."""
        found = self._of.get(id(caller))
        if found is not None:
            return found[1]
        if len(self._of) >= _MOST_CALLERS:
            self._of.clear()
            self._equal.clear()
        permit = self._equal.get(caller)
        if permit is None:
            permit = self._equal[caller] = self._made(caller)
        self._of[id(caller)] = (caller, permit)  # kept, so that no other one gets its id
        return permit

    def _made(self, caller: Caller) -> Permit:
        if caller.identified_by is Identification.DEVELOPMENT:
            return _Free()
        return _Bound(caller, self._grants)


_OPERATION_OF = {method: operation for operation, method in OPERATIONS.items()}


def _kinds(by_role: Mapping[Role, frozenset[int]], roles: Iterable[Role]) -> frozenset[int]:
    return frozenset[int]().union(*(by_role[role] for role in roles if role in by_role))


def _name(method: str) -> str:
    return method.rpartition("/")[2]


def _permit(request: Any) -> None:
    """There is nothing more to ask."""
