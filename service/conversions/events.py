"""Between EventService's messages and what subscriptions know."""

from persistence.errors import FieldInvalid
from persistence.postgres.reading.chains import EventFilter
from persistence.postgres.reading.entries import RecordedEntry
from service.conversions.fields import read_optional_id
from service.conversions.ledger import entry_message, read_kinds
from service.eventing.cursors import Cursor
from service.eventing.following import Behind, Idle, Told, ToldEntry
from service.eventing.subscriptions import Start
from service.registry import CurrencyScales
from stakehold.v1 import event_service_pb2 as pb

_STARTS = {pb.START_POINT_BEGINNING: Start.BEGINNING, pb.START_POINT_NOW: Start.NOW}


def read_event_filter(request: pb.SubscribeRequest) -> EventFilter:
    return EventFilter(
        player_id=read_optional_id(request.player_id, "player_id"),
        source_id=read_optional_id(request.source_id, "source_id"),
        kinds=read_kinds(request.kinds),
    )


def read_start(request: pb.SubscribeRequest) -> str | Start:
    """A cursor, as it stands there, or an end of the ledger."""
    match request.WhichOneof("start"):
        case "cursor":
            return request.cursor
        case "start_point":
            start = _STARTS.get(request.start_point)
            if start is None:
                raise FieldInvalid("start_point", "must be the beginning or now")
            return start
        case None:
            raise FieldInvalid("start", "must be a cursor or a start_point")


def told_message(told: Told, cursor: Cursor, scales: CurrencyScales) -> pb.SubscribeResponse:
    match told:
        case ToldEntry():
            return pb.SubscribeResponse(event=event_message(told.entry, str(cursor), scales))
        case Idle():
            return pb.SubscribeResponse(
                heartbeat=pb.Heartbeat(cursor=str(cursor), entries_behind=told.entries_behind)
            )
        case Behind():
            return pb.SubscribeResponse(
                fell_behind=pb.FellBehind(cursor=str(cursor), entries_behind=told.entries_behind)
            )


def event_message(recorded: RecordedEntry, cursor: str, scales: CurrencyScales) -> pb.Event:
    chained = recorded.chained
    return pb.Event(
        event_id=str(chained.entry_id),
        partition=chained.entry_id.partition,
        position=chained.chain_position,
        cursor=cursor,
        entry=entry_message(recorded, scales),
    )
