"""Between AccessService's messages and the records of the access log."""

from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from persistence.errors import FieldInvalid
from persistence.postgres.access_log import AccessFilter, AccessKind, AccessPage, WrittenRecord
from service.conversions.fields import read_optional_id
from service.conversions.ledger import read_period
from stakehold.v1 import access_service_pb2 as pb

KINDS: Mapping[AccessKind, pb.AccessRecordKind.ValueType] = {
    AccessKind.BEGUN: pb.ACCESS_RECORD_KIND_BEGUN,
    AccessKind.ENDED: pb.ACCESS_RECORD_KIND_ENDED,
    AccessKind.DENIED: pb.ACCESS_RECORD_KIND_DENIED,
    AccessKind.UNLISTED: pb.ACCESS_RECORD_KIND_UNLISTED,
}
_KIND_OF: Mapping[int, AccessKind] = {number: kind for kind, number in KINDS.items()}


def read_access_filter(request: pb.ListAccessRecordsRequest) -> AccessFilter:
    """Raises FieldInvalid."""
    start, end = read_period(request)
    return AccessFilter(
        caller=read_optional_id(request.caller, "caller"),
        method=read_optional_id(request.method, "method"),
        kinds=tuple(_read_kind(number, f"kinds[{index}]") for index, number in enumerate(request.kinds)),
        code=read_optional_id(request.code, "code"),
        player_id=read_optional_id(request.player_id, "player_id"),
        call_id=read_optional_id(request.call_id, "call_id"),
        start=start,
        end=end,
    )


def access_page_message(page: AccessPage) -> pb.ListAccessRecordsResponse:
    return pb.ListAccessRecordsResponse(
        records=[_record_message(written) for written in page.records], next_page_token=page.next_page_token
    )


def _record_message(written: WrittenRecord) -> pb.AccessRecord:
    record = written.record
    return pb.AccessRecord(
        position=written.position,
        kind=KINDS[record.kind],
        call_id=record.call_id,
        caller=record.caller,
        identified_by=record.identified_by,
        claimed=record.claimed,
        peer=record.peer,
        method=record.method,
        verb=record.verb,
        source_id=record.source_id,
        player_id=record.player_id,
        transaction_id=record.transaction_id,
        details=record.details or {},
        why=record.why,
        code=record.code,
        reason=record.reason,
        count=record.count,
        first_time=_timestamp(record.first_time),
        last_time=_timestamp(record.last_time),
        recorded_time=_timestamp(written.recorded_time),
        server_id=written.server_id,
        hash=written.hash,
    )


def _read_kind(number: int, field: str) -> AccessKind:
    kind = _KIND_OF.get(number)
    if kind is None:
        raise FieldInvalid(field, "must be one of its named values")
    return kind


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
