"""What was not done, as a sentence for people and an exit status for programs."""

from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

REFUSED = 1
"""It was refused, or is not there."""
USAGE = 2
"""What was asked makes no sense."""
NO_ANSWER = 3
"""The service could not be asked, or could not answer now: come again."""

_Code = grpc.StatusCode
_COME_AGAIN = frozenset(
    {
        _Code.UNAVAILABLE,
        _Code.DEADLINE_EXCEEDED,
        _Code.RESOURCE_EXHAUSTED,
        _Code.CANCELLED,
        _Code.INTERNAL,
        _Code.UNKNOWN,
        _Code.UNIMPLEMENTED,
    }
)
_OUTCOME_UNKNOWN = frozenset(
    {_Code.UNAVAILABLE, _Code.DEADLINE_EXCEEDED, _Code.CANCELLED, _Code.INTERNAL, _Code.UNKNOWN}
)


class NotDone(Exception):
    """A command ends here. The text is a sentence; ``reason`` is the API's, empty where it gave none."""

    def __init__(self, sentence: str, *, status: int = REFUSED, reason: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason


def not_done(error: grpc.RpcError, address: str, *, changes: bool) -> NotDone:
    """``changes``: the call would have changed something, so that a lost answer leaves a doubt."""
    call: Any = error  # whatever a channel raises is a call, too; its type does not say so
    if not isinstance(call, grpc.Call):
        return NotDone(f"{address}: {error}", status=NO_ANSWER)
    code, reason = call.code(), _reason(call)
    sentence = _sentence(call, address, reason)
    if changes and code in _OUTCOME_UNKNOWN:
        sentence += " Whether it was done is not known; say it again, it is done once."
    return NotDone(sentence, status=_status(code), reason=reason)


def _status(code: grpc.StatusCode) -> int:
    if code in _COME_AGAIN:
        return NO_ANSWER
    return USAGE if code is _Code.INVALID_ARGUMENT else REFUSED


def _sentence(error: grpc.Call, address: str, reason: str) -> str:
    code, said = error.code(), (error.details() or "").rstrip(".")
    if reason:
        return f"{said} ({reason})."
    if code is _Code.UNAVAILABLE:
        return (
            f"nobody answers at {address}. --address or STAKEHOLD_ADDRESS says where the service is; "
            "STAKEHOLD_CA_FILE, STAKEHOLD_CERT_FILE and STAKEHOLD_KEY_FILE, whom to trust and who asks."
        )
    if code is _Code.DEADLINE_EXCEEDED:
        return f"no answer from {address} in time. --timeout-s says how long to wait."
    if code is _Code.UNIMPLEMENTED:
        return f"the service at {address} is of a release that does not know this."
    return f"{said} ({code.name})."


def _reason(error: grpc.Call) -> str:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # code and details disagree: nothing that a servicer of ours says
        return ""
    info = error_details_pb2.ErrorInfo()
    if status is not None and any(detail.Unpack(info) for detail in status.details):
        return str(info.reason)
    return ""
