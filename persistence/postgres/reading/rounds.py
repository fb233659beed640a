"""What the ledger knows of a player's rounds and newest transactions, as it was at a position.

Which rounds may be open is kept in a table that follows the entries (persistence.following_rounds); what was
not followed yet is looked through. Whether they are, and all else, is told by the entries themselves.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from persistence.player_memory import Fields, Texts, touched
from persistence.postgres.database import Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reading.memory import LedgerMemory
from persistence.transactions import SEPARATOR, OutboxPosition, PlayerId

RoundName = tuple[str, str, str]
"""Source, game ("" for none) and round: what the field of a round is made of."""

BEFORE_ALL_ROUNDS: RoundName = ("", "", "")


@dataclass(frozen=True, slots=True)
class RoundsFound:
    """Rounds that may be open, by ``names`` in their order, and their ``texts``.

    ``is_last`` where there are no more of them.
    """

    names: Sequence[RoundName]
    texts: Texts
    is_last: bool


class RoundLedger:
    """Every method raises LedgerUnavailable. The pool's connections need no more than LedgerRole.READER."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._memory = LedgerMemory(pool)

    async def round(self, player_id: PlayerId, name: RoundName, until: OutboxPosition) -> Texts:
        """The texts of a round and of all that is connected to it; empty where it is not known."""
        return await self._memory.texts_up_to(player_id, Fields(rounds=(SEPARATOR.join(name),)), until)

    async def slips_in_play(self, player_id: PlayerId, *, source: str, most: int) -> tuple[str, ...]:
        """The fields of slips that are held or open, the newest ones; of one source, or "" for all."""
        rows = await self._fetch("slips_in_play", player_id, source, most)
        return tuple(f"{row['source_id']}{SEPARATOR}{row['slip_id']}" for row in rows)

    async def texts(self, player_id: PlayerId, fields: Fields, until: OutboxPosition) -> Texts:
        """The texts of these and of all that is connected to them."""
        return await self._memory.texts_up_to(player_id, fields, until)

    async def open_by_name(
        self,
        player_id: PlayerId,
        *,
        source: str,
        after: RoundName,
        most: int,
        partition: int,
        until: OutboxPosition,
    ) -> RoundsFound:
        """In the order of their names, at most so many; of one source, or "" for all."""
        arguments = (player_id, source, *after, most, partition)
        names = [_name(row) for row in await self._fetch("open_rounds_by_name", *arguments)]
        return await self._found(player_id, names, most, until)

    async def open_by_use(
        self,
        player_id: PlayerId,
        *,
        source: str,
        without: Collection[str],
        most: int,
        partition: int,
        until: OutboxPosition,
    ) -> RoundsFound:
        """Those last used first, without some, which are named by their fields."""
        arguments = (player_id, source, most, list(without), partition)
        names = [_name(row) for row in await self._fetch("open_rounds_by_use", *arguments)]
        return await self._found(player_id, names, most, until)

    async def newest_transactions(
        self, player_id: PlayerId, *, source: str, most: int, until: OutboxPosition
    ) -> Texts:
        """The texts of so many ids, and of what is connected to them."""
        place = (until.epoch, until.sequence)
        rows = await self._fetch("newest_ids_of_player", player_id, source, *place, most)
        named = [
            touched(
                row["source"],
                row["transaction_id"],
                reference=row["reference"],
                game=row["game"],
                round_=row["round"],
            )
            for row in rows
        ]
        wanted = Fields(
            tuple(name for fields in named for name in fields.ids),
            tuple(name for fields in named for name in fields.rounds),
        )
        return await self._memory.texts_up_to(player_id, wanted, until)

    async def _found(
        self, player_id: PlayerId, names: Sequence[RoundName], most: int, until: OutboxPosition
    ) -> RoundsFound:
        fields = Fields(rounds=tuple(SEPARATOR.join(name) for name in names))
        texts = await self._memory.texts_up_to(player_id, fields, until)
        return RoundsFound(names, texts, is_last=len(names) < most)

    async def _fetch(self, name: str, *arguments: object) -> Sequence[Row]:
        with translated_errors():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(query("look_up_by_index"))
                return await connection.fetch(query(name), *arguments)


def _name(row: Row) -> RoundName:
    return row["source_id"], row["game_id"], row["round_id"]
