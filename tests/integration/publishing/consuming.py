"""What a consumer reads that knows nothing but CloudEvents, and what must be true of it."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.brokers import Message


@dataclass(frozen=True, slots=True)
class Published:
    """One message, as a consumer reads it that knows nothing but CloudEvents."""

    event_id: str
    partition: int
    position: int
    player_id: str
    channel: str


def read(message: Message) -> Published:
    attributes: Mapping[str, Any]
    if message.headers["content-type"].startswith("application/cloudevents+json"):
        attributes = json.loads(message.body)
    else:
        prefix = "ce-" if "ce-id" in message.headers else "ce_"
        attributes = {
            name.removeprefix(prefix): text
            for name, text in message.headers.items()
            if name.startswith(prefix)
        }
    return Published(
        attributes["id"],
        int(attributes["partition"]),
        int(attributes["sequence"]),
        attributes["subject"],
        message.channel,
    )


def require_all_in_order(
    messages: Sequence[Message], ledger: Mapping[int, list[str]], *, by_player: bool
) -> int:
    """That the broker has the ledger's entries, each for the first time after those before it.

    What comes again does so in stretches that begin anew further back and leave nothing out. Returns how
    often something came again.
    """
    lanes: defaultdict[Any, list[Published]] = defaultdict(list)
    for event in map(read, messages):
        lanes[(event.partition, event.player_id if by_player else "")].append(event)
    told: defaultdict[int, set[str]] = defaultdict(set)
    for lane in lanes.values():
        places = sorted({event.position for event in lane})
        ranks = {place: rank for rank, place in enumerate(places)}
        last = newest = -1
        for event in lane:
            assert ledger[event.partition][event.position] == event.event_id
            rank = ranks[event.position]
            assert rank <= newest + 1, f"{event.event_id} came before what precedes it"
            assert rank <= last or rank == last + 1, f"{event.event_id} came again without what precedes it"
            last, newest = rank, max(newest, rank)
            told[event.partition].add(event.event_id)
    assert {partition: set(ids) for partition, ids in ledger.items()} == told
    return len(messages) - sum(map(len, ledger.values()))
