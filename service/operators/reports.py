"""What a command has to say, before it is written in one of the formats."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from service.operators.cells import Column
from service.operators.paging import Paged


def _nothing() -> Sequence[Message]:
    return ()


@dataclass(frozen=True, slots=True)
class Listing:
    """Messages of one sort: a JSON array, a table, a CSV. ``items`` are iterated once, as they are written.

    ``before`` and ``after`` are rows of tables and CSV that are no items, such as a statement's opening
    balance; ``after`` is asked when all items are through.
    """

    name: str
    title: str
    columns: Sequence[Column]
    items: Iterable[Any]
    before: Sequence[Message] = ()
    after: Callable[[], Sequence[Message]] = _nothing
    lacks_some: bool = False
    """Whether ``items`` are known not to be all there are."""

    @property
    def is_cut(self) -> bool:
        """Whether there are, or may be, more; known when all items are through."""
        return self.lacks_some or (isinstance(self.items, Paged) and self.items.is_cut)


@dataclass(frozen=True, slots=True)
class Record:
    """One message: a JSON object, lines of names and values, a CSV of one row."""

    columns: Sequence[Column]
    message: Message


@dataclass(frozen=True, slots=True)
class Dossier:
    """Several listings under one head. A CSV has only one of them; ``part`` says which.

    In JSON the head's members and the listings are members of one object, unless ``message`` is all of it.
    """

    head: Mapping[str, str]
    listings: Sequence[Listing]
    message: Message | None = None

    def part(self, name: str) -> Listing:
        return next(listing for listing in self.listings if listing.name == name)


Report = Listing | Record | Dossier
