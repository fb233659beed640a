"""The line to the service: everything an operator sees or does goes through its API."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import grpc

from persistence.errors import SetupRefused
from service.operators.refusals import USAGE, NotDone, not_done
from service.transport.channels import open_blocking_channel
from service.transport.client_settings import ClientSettings

_OPTIONS = (("grpc.max_receive_message_length", -1),)  # a page may hold a thousand large commands

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class Office:
    """An open channel, and how long each call may take. ``apart`` is another one, where administration has an
    address of its own.
    """

    channel: grpc.Channel
    address: str
    timeout_s: float
    apart: "Office | None" = None

    def administration(self) -> "Office":
        """Where AdminService and AccessService are."""
        return self.apart or self

    def ask(
        self, method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request
    ) -> _Response:
        """Reads something. Raises NotDone."""
        return self._call(method, request, changes=False)

    def change(
        self, method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request
    ) -> _Response:
        """Changes something, where the same call again does no harm. Raises NotDone."""
        return self._call(method, request, changes=True)

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]",
        request: _Request,
        *,
        changes: bool,
    ) -> _Response:
        try:
            return method(request, timeout=self.timeout_s)
        except grpc.RpcError as error:
            raise not_done(error, self.address, changes=changes) from None


@contextmanager
def opened_office(address: str, timeout_s: float, *, admin_address: str = "") -> Iterator[Office]:
    """Nothing is sent before something is asked. ``admin_address`` is "" where administration is not apart.

    Raises NotDone.
    """
    with ExitStack() as stack:
        apart = None
        if admin_address:
            apart = Office(stack.enter_context(_opened(admin_address)), admin_address, timeout_s)
        yield Office(stack.enter_context(_opened(address)), address, timeout_s, apart)


def _opened(address: str) -> grpc.Channel:
    try:
        return open_blocking_channel(ClientSettings(), address, _OPTIONS)
    except SetupRefused as refused:
        raise NotDone(f"{refused}.", status=USAGE) from None
