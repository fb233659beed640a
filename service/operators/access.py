"""The access log: who was denied what, and who administered what."""

from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from service.operators.cells import Column
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Listing
from stakehold.v1 import access_service_pb2 as pb
from stakehold.v1.access_service_pb2_grpc import AccessServiceStub

KINDS = pb.AccessRecordKind.DESCRIPTOR

_COLUMNS = [
    Column("position", is_number=True),
    Column("last_time"),
    Column("kind"),
    Column("caller"),
    Column("identified_by", in_table=False),
    Column("claimed", in_table=False),
    Column("peer"),
    Column("method"),
    Column("verb"),
    Column("source_id"),
    Column("player_id"),
    Column("transaction_id", in_table=False),
    Column("code"),
    Column("reason"),
    Column("count", is_number=True),
    Column("why"),
    Column("call_id", in_table=False),
    Column("first_time", in_table=False),
    Column("recorded_time", in_table=False),
    Column("server_id", in_table=False),
]
"""JSON has the details and the hash, too."""


@dataclass(frozen=True, slots=True)
class AccessWanted:
    """Which records. What is empty does not matter."""

    caller: str
    method: str
    kinds: tuple[str, ...]
    code: str
    player_id: str
    call_id: str
    start: datetime | None
    end: datetime | None


def list_access_records(office: Office, wanted: AccessWanted, *, limit: int | None) -> Listing:
    """Newest first."""
    office = office.administration()
    access = AccessServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[pb.AccessRecord]:
        request = pb.ListAccessRecordsRequest(
            caller=wanted.caller,
            method=wanted.method,
            kinds=[pb.AccessRecordKind.Value(f"ACCESS_RECORD_KIND_{name.upper()}") for name in wanted.kinds],
            code=wanted.code,
            player_id=wanted.player_id,
            call_id=wanted.call_id,
            start_time=_moment(wanted.start),
            end_time=_moment(wanted.end),
            page_size=size,
            page_token=token,
        )
        answer = office.ask(access.ListAccessRecords, request)
        return Page(answer.records, answer.next_page_token)

    return Listing("records", "Access records", _COLUMNS, Paged(fetch, limit))


def _moment(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
