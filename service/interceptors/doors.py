"""Lets calls in, and out again: by the source that a call names, by the provider whose callback it is, or by
the service that it is for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from persistence.errors import DeadlineExceeded
from service.admission import Admission
from service.conversions.commands import source_id_of
from service.rate_limits import RateLimits
from service.servicers.deadlines import CallContext

Enter = Callable[[Any, CallContext], str | None]
"""Gives what the call is to leave with; None: it is not counted. Raises DeadlineExceeded, Overloaded and
Stopping.
"""
Leave = Callable[[str], None]

_ALWAYS_ADMITTED = ("/grpc.", "/stakehold.v1.EventService/")
"""Health and reflection answer however busy it is, and do not hold up the end. Subscriptions are no calls in
flight either: they last, they count themselves, and they are ended when the server stops."""
_IN_BULK = "/stakehold.v1.BulkService/"
"""Their commands are admitted one by one, in service/flow.py; the calls themselves are only counted."""
_CALLBACK = "/stakehold.v1.ProviderService/HandleCallback"
_PROVIDER = "provider/"
"""Before a provider's id, so that it is never taken for a source's."""
_SERVICE = "service/"
"""The same before the name of a service whose calls name no source: reads of wallets leave room for whoever
freezes one."""
_LONGEST_SOURCE_ID = 128


class Doors:
    """``is_provider`` says whether an id is one of the providers file: anybody may make up others, and all of
    those share one share.
    """

    def __init__(
        self,
        rate_limits: RateLimits,
        admission: Admission,
        bulk_admission: Admission,
        *,
        is_provider: Callable[[str], bool],
    ) -> None:
        self._rate_limits = rate_limits
        self._admission = admission
        self._bulk_admission = bulk_admission
        self._is_provider = is_provider

    def of(self, method: str) -> tuple[Enter, Leave]:
        """By the method's full name."""
        if method.startswith(_ALWAYS_ADMITTED):
            return lambda request, context: None, lambda share: None
        if method == _CALLBACK:
            return self._enter_callback, self._admission.leave
        if method.startswith(_IN_BULK):
            return self._enter_in_bulk, self._bulk_admission.leave
        return partial(self._enter, _SERVICE + _service_of(method)), self._admission.leave

    def _enter(self, service: str, request: Any, context: CallContext) -> str:
        _require_time(context)
        source_id = _source_id_of(request)
        self._rate_limits.take(source_id)
        share = source_id or service
        self._admission.enter(share)
        return share

    def _enter_in_bulk(self, request: Any, context: CallContext) -> str:
        _require_time(context)
        source_id = _source_id_of(request)
        self._bulk_admission.enter(source_id)
        return source_id

    def _enter_callback(self, request: Any, context: CallContext) -> str:
        """Its source's rate limit is asked for once its signature is known to be good."""
        _require_time(context)
        provider_id: str = request.provider_id
        share = _PROVIDER + (provider_id if self._is_provider(provider_id) else "")
        self._admission.enter(share)
        return share


def _require_time(context: CallContext) -> None:
    remaining_s = context.time_remaining()
    if remaining_s is not None and remaining_s <= 0:
        raise DeadlineExceeded("the deadline passed before the call was looked at")


def _service_of(method: str) -> str:
    """AdminService, of /stakehold.v1.AdminService/OpenWallet."""
    return method.rpartition("/")[0].rpartition(".")[2]


def _source_id_of(request: Any) -> str:
    """Who calls, as far as it says so at once: a batch is its first command's source's, a stream nobody's."""
    if isinstance(request, list):
        source_id = source_id_of(request[0]) if request and request[0] is not None else ""
    else:
        source_id = getattr(request, "source_id", "")
    return source_id if len(source_id) <= _LONGEST_SOURCE_ID else ""  # nobody's: it will be refused
