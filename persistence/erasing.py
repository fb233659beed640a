"""Erases what the service keeps of a player beside the money.

Money, ids and the chain stay as they are, and so does the player's id, which is a pseudonym by contract. What
goes are texts that callers, payment services and people have written: metadata, what was submitted, what
cases and their messages say, notes of reviews, contents of callbacks. All of it in one transaction, under an
append-only record of who wanted it and why.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import LiteralString

from persistence.audit.entry_checks import StoredEntry, check_content
from persistence.audit.entry_walk import UnreadableEntry, walk
from persistence.errors import SetupRefused
from persistence.hash_chain import hash_of_erased
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.queries import query
from persistence.transactions import PlayerId, partition_of
from persistence.valkey.hot_wallets import HotWallets
from persistence.valkey.residence import Residence

_AT_ONCE = 500

StripCommand = Callable[[bytes], bytes]
"""A submitted command, serialised, without its metadata."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How many of what were erased; ``sealed_before`` entries have a hash that covers the text itself."""

    entries: int = 0
    sealed_before: int = 0
    salvaged: int = 0
    quarantined: int = 0
    repairs: int = 0
    commands: int = 0
    cases: int = 0
    messages: int = 0
    reviews: int = 0
    callbacks: int = 0

    @property
    def is_nothing(self) -> bool:
        return not any(getattr(self, each.name) for each in fields(self))


class _DryRun(Exception):
    """Nothing is to be kept of it."""


class Eraser:
    """The connection needs LedgerRole.ERASER. Raises LedgerUnavailable and StoreUnavailable."""

    def __init__(self, connection: Connection, players: HotWallets, strip: StripCommand) -> None:
        self._connection = connection
        self._players = players
        self._strip = strip

    async def erase(self, player: PlayerId, *, by: str, reason: str, dry_run: bool = False) -> Erased:
        """May be repeated: what is erased already is left alone, and leaves no second record.

        Raises SetupRefused while something of the player's is open, or an entry does not verify.
        """
        await self._require_drained(player)
        erased = Erased()
        try:
            with translated_errors():
                async with self._connection.transaction():
                    await self._require_nothing_open(player)
                    erased = await self._erase(player, by, reason)
                    if dry_run or erased.is_nothing:
                        raise _DryRun
        except _DryRun:
            pass
        return erased

    async def _require_drained(self, player: PlayerId) -> None:
        """What is under way to the ledger would bring its metadata along."""
        with translated_errors():
            count = (await read_settings(self._connection)).partition_count
        marker = (await self._players.residences([player]))[player]
        [partition] = await AdoptingLedger(self._connection).partitions([partition_of(player, count)])
        try:
            position = Residence.parse(marker).position if marker else None
        except ValueError:
            position = None
        if position is not None and position > partition.cursor:
            raise SetupRefused(
                f"player {player} has entries that are not in the ledger yet: drain first, then say it again"
            )

    async def _require_nothing_open(self, player: PlayerId) -> None:
        rows = await self._connection.fetch(query("what_is_open_of_a_player"), player)
        if rows:
            what = "; ".join(f"{row['count']} {row['what']}" for row in rows)
            raise SetupRefused(f"player {player} cannot be erased yet: {what}")

    async def _erase(self, player: PlayerId, by: str, reason: str) -> Erased:
        entries = await self._sound_entries(player)
        others = {
            "salvaged": await self._count("erase_salvaged", player),
            "quarantined": await self._count("erase_quarantined", player),
            "repairs": await self._count("erase_repairs", player),
            "commands": await self._erase_commands(player),
            "messages": await self._count("erase_messages", player),
            "cases": await self._count("erase_cases", player),
            "reviews": await self._count("erase_reviews", player),
            "callbacks": await self._count("erase_callbacks", player),
        }
        old = sum(hash_ is not None for _, _, hash_ in entries)
        erased = Erased(entries=len(entries), sealed_before=old, **others)
        if not erased.is_nothing:
            number = await self._connection.fetchval(
                query("record_erasure"), player, by, reason, len(entries)
            )
            for start in range(0, len(entries), _AT_ONCE):
                columns = zip(*entries[start : start + _AT_ONCE], strict=True)
                await self._connection.execute(query("erase_entries"), number, *map(list, columns))
        return erased

    async def _sound_entries(self, player: PlayerId) -> list[tuple[int, int, bytes | None]]:
        """Partition, place and erased hash of each entry with metadata. What is wrong already must not be
        made unprovable.
        """
        found: list[tuple[int, int, bytes | None]] = []
        async for batch in walk(self._connection, query("entries_to_erase"), player, batch_size=_AT_ONCE):
            for stored in batch:
                if isinstance(stored, UnreadableEntry) or list(check_content(stored)):
                    raise SetupRefused(
                        f"entries of player {player} do not verify, and are not erased: see `stakehold "
                        f"verify --player {player}`"
                    )
                found.append(_gone(stored))
        return found

    async def _erase_commands(self, player: PlayerId) -> int:
        rows = await self._connection.fetch(query("commands_of_a_player"), player)
        stripped = [
            (row["submission_number"], row["command_index"], command)
            for row in rows
            if (command := self._strip(row["command"])) != row["command"]
        ]
        if stripped:
            await self._connection.execute(query("erase_commands"), *map(list, zip(*stripped, strict=True)))
        return len(stripped)

    async def _count(self, name: LiteralString, player: PlayerId) -> int:
        done = await self._connection.execute(query(name), player)
        return int(done.split()[-1])


def _gone(stored: StoredEntry) -> tuple[int, int, bytes | None]:
    chained = stored.chained
    erased_hash = hash_of_erased(stored.previous_hash, chained, stored.legs) if chained.seal is None else None
    return chained.entry_id.partition, chained.chain_position, erased_hash
