"""Reads who asks, and for whom."""

from typing import Protocol

from persistence.calls import Source
from persistence.transactions import PlayerId
from service.conversions.fields import read_optional_id, read_player_id
from service.registry import Registry


class Asked(Protocol):
    """A request of a source for a player."""

    source_id: str
    player_id: str


def read_caller(request: Asked, registry: Registry) -> tuple[PlayerId, Source]:
    """Raises FieldInvalid and SourceNotFound."""
    return read_player_id(request.player_id), registry.source(request.source_id)


def read_group(player_group: str) -> str:
    """Whose spreads hold; "" for everybody's."""
    return read_optional_id(player_group, "player_group") if player_group else ""
