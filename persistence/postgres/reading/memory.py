"""What the store should remember of players, read from the ledger: many players in a handful of queries."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from persistence.player_memory import (
    Fields,
    KnownEntry,
    PlayerMemory,
    Question,
    Recollection,
    Texts,
    fold,
    recollect,
    touched,
)
from persistence.postgres.database import Connection, Pool, Row, translated_errors
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.queries import query
from persistence.transactions import (
    SEPARATOR,
    EntryType,
    OutboxPosition,
    PlayerId,
    partition_of,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_IN_A_TURN = 250
"""So many are taken in before others have their turn, about 5 ms: they may be tens of thousands."""


class LedgerMemory:
    """Reads memories. The pool's connections need no more than LedgerRole.READER.

    Each call sees one moment of the ledger: a memory's cursor is that of its texts. All methods raise
    LedgerUnavailable; they take as long as the pool's statements may, or until whoever waits gives up.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._partition_count: int | None = None

    async def players(
        self, players: Sequence[PlayerId], *, since_ms: int, most_ids: int, most_older: int
    ) -> list[PlayerMemory]:
        """All wallets, and what was booked at or after ``since_ms``, Unix milliseconds: one memory for each
        player, in their order.

        Of ids only the newest ``most_ids``, but with whatever they are connected to. What is left out is in
        ``older``, unless that are more than ``most_older`` fields.
        """
        asked = list(dict.fromkeys(players))
        if not asked:
            return []
        async with self._snapshot() as connection:
            cursors = await self._cursors_of(connection, asked)
            wallets = await _wallets(connection, asked)
            since = _EPOCH + timedelta(milliseconds=since_ms)
            newest = await connection.fetch(query("newest_ids_of_players"), asked, since, most_ids)
            circles = await _explore(connection, asked, _named_in(newest))
            known = await _known_fields(connection, circles, most_older)
        memories: dict[PlayerId, PlayerMemory] = {}
        for player_id, circle in circles.items():
            texts = await circle.texts()
            older = circle.without(known[player_id])
            memories[player_id] = PlayerMemory(
                player_id,
                cursors[player_id],
                wallets[player_id],
                texts.ids,
                texts.rounds,
                older if len(older) <= most_older else None,
            )
        return [memories[player_id] for player_id in players]

    async def recall(self, questions: Sequence[Question]) -> list[Recollection]:
        """What the ledger has of each question's fields, in the questions' order."""
        if not questions:
            return []
        asked = list(dict.fromkeys(question.player_id for question in questions))
        async with self._snapshot() as connection:
            cursors = await self._cursors_of(connection, asked)
            wanted = [(question.player_id, Fields(question.ids, question.rounds)) for question in questions]
            circles = await _explore(connection, asked, wanted)
        texts = {player_id: await circle.texts() for player_id, circle in circles.items()}
        found = [recollect(fields, texts[player_id]) for player_id, fields in wanted]
        return [
            Recollection(cursors[player_id], of_player.ids, of_player.rounds)
            for (player_id, _), of_player in zip(wanted, found, strict=True)
        ]

    async def texts_up_to(self, player_id: PlayerId, wanted: Fields, until: OutboxPosition) -> Texts:
        """What the ledger has of all that is connected to some ids and rounds, as it was at a position."""
        async with self._snapshot() as connection:
            circles = await _explore(connection, [player_id], [(player_id, wanted)])
        return await circles[player_id].texts(until)

    async def cursors(self, partitions: Iterable[int]) -> dict[int, OutboxPosition]:
        """How far these partitions are drained now."""
        with translated_errors():
            async with self._pool.acquire() as connection:
                return await _cursors(connection, partitions)

    async def _cursors_of(
        self, connection: Connection, players: Sequence[PlayerId]
    ) -> dict[PlayerId, OutboxPosition]:
        """The cursor of each player's partition. How many there are is asked once: it never changes."""
        if self._partition_count is None:
            self._partition_count = (await read_settings(connection)).partition_count
        partitions = {player_id: partition_of(player_id, self._partition_count) for player_id in players}
        cursors = await _cursors(connection, set(partitions.values()))
        return {player_id: cursors[partition] for player_id, partition in partitions.items()}

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        """A connection on which all queries see the same moment, and none goes through the whole ledger.

        A plan lives as long as its connection, and may be of a time when the ledger was small.
        """
        with translated_errors():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(query("look_up_by_index"))
                yield connection


@dataclass(slots=True)
class _Circle:
    """Entries of a player, and the ids and rounds by which they were looked for.

    Once nothing is left to look for, all that the entries touch was: their texts are complete.
    """

    ids: set[str] = field(default_factory=set)
    rounds: set[str] = field(default_factory=set)
    entries: dict[int, KnownEntry] = field(default_factory=dict)

    def look_for(self, fields: Fields) -> Fields:
        """Those of the fields that were not looked for yet."""
        ids = tuple(name for name in dict.fromkeys(fields.ids) if name not in self.ids)
        rounds = tuple(name for name in dict.fromkeys(fields.rounds) if name not in self.rounds)
        self.ids.update(ids)
        self.rounds.update(rounds)
        return Fields(ids, rounds)

    def without(self, fields: Iterable[str]) -> tuple[str, ...]:
        """Those of the fields that were never looked for."""
        return tuple(
            name for name in dict.fromkeys(fields) if name not in self.ids and name not in self.rounds
        )

    async def texts(self, until: OutboxPosition | None = None) -> Texts:
        """The entries folded, those up to a position where one is given, after others had their turn."""
        await asyncio.sleep(0)
        entries = (self.entries[position] for position in sorted(self.entries))
        return fold(entry for entry in entries if until is None or _position(entry) <= until)


def _position(entry: KnownEntry) -> OutboxPosition:
    """Of the record that the entry is in."""
    return OutboxPosition.parse(entry.position.rpartition("-")[0])


async def _cursors(connection: Connection, partitions: Iterable[int]) -> dict[int, OutboxPosition]:
    rows = await connection.fetch(query("cursors_now"), list(partitions))
    return {row["partition"]: OutboxPosition(row["cursor_epoch"], row["cursor_sequence"]) for row in rows}


async def _wallets(connection: Connection, players: Sequence[PlayerId]) -> dict[PlayerId, dict[str, str]]:
    wallets: dict[PlayerId, dict[str, str]] = {player_id: {} for player_id in players}
    for row in await connection.fetch(query("newest_changes_of_players"), players):
        player_id, currency, *texts = row
        wallets[player_id][currency] = SEPARATOR.join(texts)
    return wallets


async def _known_fields(
    connection: Connection, circles: Mapping[PlayerId, _Circle], most_older: int
) -> dict[PlayerId, list[str]]:
    """All fields that the ledger knows of each player, or enough to see that too many are left out."""
    most = [len(circle.ids) + len(circle.rounds) + most_older + 1 for circle in circles.values()]
    rows = await connection.fetch(query("known_fields_of_players"), list(circles), most)
    return {row["player_id"]: row["fields"] for row in rows}


async def _explore(
    connection: Connection, players: Iterable[PlayerId], wanted: Iterable[tuple[PlayerId, Fields]]
) -> dict[PlayerId, _Circle]:
    """The entries that touch what is wanted, those that touch what these touch, and so on to the last."""
    circles = {player_id: _Circle() for player_id in players}
    waiting = [(player_id, circles[player_id].look_for(fields)) for player_id, fields in wanted]
    while any(fields.ids or fields.rounds for _, fields in waiting):
        found = await connection.fetch(query("entries_about"), *_columns(waiting))
        waiting = []
        for number, row in enumerate(found):
            if number % _ROWS_IN_A_TURN == 0:
                await asyncio.sleep(0)
            player_id, entry = _known_entry(row)
            circle = circles[player_id]
            if entry.chain_position not in circle.entries:
                circle.entries[entry.chain_position] = entry
                waiting.append((player_id, circle.look_for(entry.touches())))
    return circles


def _columns(wanted: Sequence[tuple[PlayerId, Fields]]) -> list[list[str]]:
    """Three columns of ids, and four of rounds."""
    ids = [(player_id, *name.split(SEPARATOR)) for player_id, fields in wanted for name in fields.ids]
    rounds = [(player_id, *name.split(SEPARATOR)) for player_id, fields in wanted for name in fields.rounds]
    return [*_turned(ids, 3), *_turned(rounds, 4)]


def _turned(rows: Sequence[tuple[str, ...]], width: int) -> list[list[str]]:
    return [[row[column] for row in rows] for column in range(width)]


def _named_in(rows: Iterable[Row]) -> list[tuple[PlayerId, Fields]]:
    return [
        (
            row["player_id"],
            touched(
                row["source"],
                row["transaction_id"],
                reference=row["reference"],
                game=row["game"],
                round_=row["round"],
            ),
        )
        for row in rows
    ]


def _known_entry(row: Row) -> tuple[PlayerId, KnownEntry]:
    """A row of the query ``entries_about``, whose columns after the player are KnownEntry's in their order.

    Raises ValueError for a type that no version of this service writes.
    """
    player_id, chain_position, type_, *texts = row
    return player_id, KnownEntry(chain_position, EntryType(type_), *texts)
