"""Events in the envelope of CloudEvents 1.0, structured as JSON or binary with protobuf data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from google.protobuf.json_format import MessageToDict

from persistence.postgres.reading.entries import RecordedEntry
from persistence.transactions import Operation
from service.conversions.ledger import entry_message
from service.publishing.publish_settings import Encoding
from service.registry import CurrencyScales
from stakehold.v1 import ledger_service_pb2

STRUCTURED_TYPE = "application/cloudevents+json; charset=UTF-8"
_POSITION_DIGITS = 19


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event, encoded. ``headers`` are those of the binary mode, by their names in CloudEvents."""

    event_id: str
    partition: int
    position: int
    player_id: str
    kind: str
    recorded_s: float
    content_type: str
    headers: Mapping[str, str]
    body: bytes


def cloud_event(
    recorded: RecordedEntry, encoding: Encoding, *, ledger_id: UUID, scales: CurrencyScales
) -> CloudEvent:
    """The same bytes, however often it is made."""
    chained = recorded.chained
    entry = entry_message(recorded, scales)
    attributes = _attributes(recorded, entry, ledger_id)
    if encoding is Encoding.STRUCTURED:
        content_type, headers, body = STRUCTURED_TYPE, {}, _structured(attributes, entry)
    else:
        content_type, headers = "application/protobuf", {name: str(each) for name, each in attributes.items()}
        body = entry.SerializeToString(deterministic=True)
    return CloudEvent(
        event_id=entry.entry_id,
        partition=chained.entry_id.partition,
        position=chained.chain_position,
        player_id=chained.player,
        kind=_kind(recorded),
        recorded_s=recorded.recorded_time.timestamp(),
        content_type=content_type,
        headers=headers,
        body=body,
    )


def _attributes(
    recorded: RecordedEntry, entry: ledger_service_pb2.Entry, ledger_id: UUID
) -> dict[str, str | int]:
    chained = recorded.chained
    return {
        "specversion": "1.0",
        "id": entry.entry_id,
        "source": f"urn:uuid:{ledger_id}",
        "type": f"stakehold.v1.entry.{chained.entry.type}",
        "subject": chained.player,
        "time": entry.recorded_time.ToJsonString(),
        # Extensions: the first two are CloudEvents' own.
        "partitionkey": chained.player,
        "sequence": f"{chained.chain_position:0{_POSITION_DIGITS}}",
        "partition": chained.entry_id.partition,
    }


def _structured(attributes: Mapping[str, str | int], entry: ledger_service_pb2.Entry) -> bytes:
    document = {**attributes, "datacontenttype": "application/json", "data": MessageToDict(entry)}
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _kind(recorded: RecordedEntry) -> str:
    """The transaction's kind, or what sort of record it is; a word without dots."""
    entry = recorded.chained.entry
    if entry.operation is Operation.ROLLBACK:
        return "rollback"
    return str(entry.kind or entry.type)
