"""Lists of entries, page by page.

Entries are ordered by booked time, then partition, then their place in the partition's chain. A list ends at
what was the newest entry of the ledger when its first page was read, and a page begins right after the last
entry of the page before. So whatever the ledger held when the first page was read is listed exactly once, and
nothing is listed twice, however many entries arrive in between. Of those that arrive late (their partition
was drained after others, so that they sort before that end) a list has those that sort after the page at
hand. Whoever follows the ledger begins each list earlier than the last one ended, by a drainer's longest lag.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from persistence.errors import PageTokenInvalid
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.postgres.reading.entries import RecordedEntry, Row, complete_entries, fitting_page
from persistence.postgres.reading.page_tokens import read_token, write_token
from persistence.transactions import TransactionKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_FILTER_PARAMETER = 8


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries. What is empty or None does not matter; ``end`` is exclusive.

    A rollback has no other kind than ROLLBACK here, whatever it undoes.
    """

    player_id: str = ""
    currency: str = ""
    round_id: str = ""
    source_id: str = ""
    kinds: tuple[TransactionKind, ...] = ()
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Some entries. ``next_page_token`` is empty where there are no more."""

    entries: Sequence[RecordedEntry]
    next_page_token: str


class _Place(NamedTuple):
    """Where an entry stands in the order of lists."""

    booked_time: datetime
    partition: int
    chain_position: int

    @classmethod
    def of(cls, row: Row) -> "_Place":
        return cls(row["booked_time"], row["partition"], row["chain_position"])

    @classmethod
    def from_numbers(cls, numbers: Sequence[int]) -> "_Place":
        booked_us, partition, chain_position = numbers
        try:
            return cls(_EPOCH + booked_us * _MICROSECOND, partition, chain_position)
        except OverflowError:
            raise PageTokenInvalid from None

    def numbers(self) -> tuple[int, int, int]:
        return (self.booked_time - _EPOCH) // _MICROSECOND, self.partition, self.chain_position


async def list_entries(
    connection: Connection, wanted: EntryFilter, *, page_size: int, page_token: str
) -> EntryPage:
    """One page. Raises PageTokenInvalid. The connection is in one snapshot for all queries."""
    scope = ("entries", *astuple(wanted))
    if page_token:
        numbers = read_token(page_token, scope, count=6)
        after, until = _Place.from_numbers(numbers[:3]), _Place.from_numbers(numbers[3:])
    else:
        newest = await connection.fetchrow(query("newest_place"))
        if newest is None:
            return EntryPage((), "")
        after, until = _Place(wanted.start or _EPOCH, -1, -1), _Place.of(newest)
    statement, arguments = list_query(wanted)
    rows = await connection.fetch(statement, *after, *until, page_size + 1, *arguments)
    shown, token = fitting_page(rows, page_size), ""
    if len(shown) < len(rows):
        token = write_token((*_Place.of(shown[-1]).numbers(), *until.numbers()), scope)
    return EntryPage(await complete_entries(connection, shown), token)


def list_query(wanted: EntryFilter) -> tuple[str, list[object]]:
    """The query for a filter, and its arguments from the eighth on; the first seven are two places and a
    limit. Only conditions that are set stand in it, so that each combination is planned by its own indexes.
    """
    conditions: list[tuple[str, object]] = [
        ("player_id = {}", wanted.player_id),
        ("currency = {}", wanted.currency),
        ("round_id = {}", wanted.round_id),
        ("source_id = {}", wanted.source_id),
        (kind_condition(wanted.kinds), list(wanted.kinds)),
        ("booked_time < {}", wanted.end),
    ]
    asked = [(condition, argument) for condition, argument in conditions if argument]
    filters = "".join(
        f" AND {condition.format(f'${number}')}"
        for number, (condition, _) in enumerate(asked, _FIRST_FILTER_PARAMETER)
    )
    statement = query("list_entries").replace("-- filters", filters)
    return statement, [argument for _, argument in asked]


def kind_condition(kinds: Sequence[TransactionKind]) -> str:
    """In the ledger a rollback that was applied has its original's kind."""
    if TransactionKind.ROLLBACK in kinds:
        return "(operation = 'rollback' OR kind = ANY ({}))"
    return "(operation <> 'rollback' AND kind = ANY ({}))"
