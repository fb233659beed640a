"""Drops old ids and rounds of players who go on, and keeps the filter that says which the ledger may know."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lua import load_script
from persistence.older_filter import OlderFilter, blocks_for
from persistence.postgres.reading.memory import LedgerMemory
from persistence.residents import Resident, Residents
from persistence.transactions import SEPARATOR, PlayerId
from persistence.valkey.residence import ANYTHING, FORGET

FIND_OLD = load_script("find_old")

_PLAYERS_AT_ONCE = 8
_FIELDS_PER_LOOK = 200
"""Looking through so many takes the store 0.3 ms, and those that come together hold everybody else up."""

_MOST_FOUND = 5_000
_FIELDS_AT_ONCE = 100
_FIRST_FILTER_FIELDS = 64
_MOST_FILTERED = 1_000_000
_NEVER_MS = 4_000_000_000_000


@dataclass(slots=True)
class ForgetCounts:
    """What was done since the start."""

    sweeps: int = 0
    seen_players: int = 0
    forgotten_players: int = 0
    forgotten_fields: int = 0


@dataclass(frozen=True, slots=True)
class _Older:
    """What the ledger alone may know. ``filter`` is a whole new one, or b"": the one there is grows."""

    older: str
    count: int
    filter: bytes = b""


class OldFields:
    """Forgets fields of players who are drained, as long as they are not in use meanwhile.

    Raises what running a script does, and LedgerUnavailable.
    """

    def __init__(self, residents: Residents, memory: LedgerMemory, counts: ForgetCounts) -> None:
        self._residents = residents
        self._memory = memory
        self._counts = counts
        self._unfilterable: set[PlayerId] = set()
        self._looking = asyncio.Semaphore(_PLAYERS_AT_ONCE)

    def needs_filter(self, resident: Resident) -> bool:
        """Whether the ledger is asked about every id of the player, and that need not be so."""
        return resident.older == ANYTHING and resident.player_id not in self._unfilterable

    async def forget(self, resident: Resident, *, before_ms: int) -> None:
        """All that were used last before that, some at a time. Makes the filter that is missing."""
        async with self._looking:
            after: Resident | None = resident
            if resident.older == ANYTHING:
                after = await self._make_filter(resident)
            while after is not None:
                after = await self._forget_some(after, before_ms)

    async def _forget_some(self, resident: Resident, before_ms: int) -> Resident | None:
        """The player as it is then, where there may be more to forget."""
        ids = await self._find(resident, "ids", before_ms, _MOST_FOUND)
        rounds = await self._find(resident, "rounds", before_ms, _MOST_FOUND - len(ids))
        fields = [*ids, *rounds]
        after: Resident | None = resident
        for start in range(0, len(fields), _FIELDS_AT_ONCE):
            some = fields[start : start + _FIELDS_AT_ONCE]
            older = await self._older_with(resident, len(some), len(fields))
            after = await self._drop(resident, some, older)
            if after is None:
                return None
            resident = after
        return after if len(fields) == _MOST_FOUND else None

    async def _find(self, resident: Resident, which: str, before_ms: int, most: int) -> list[str]:
        fields: dict[str, None] = {}
        at = "0"
        while len(fields) < most:
            look = [which, at, str(before_ms), str(_FIELDS_PER_LOOK)]
            word, *rest = await self._residents.run(FIND_OLD, resident, look)
            if word != b"OK":
                return []
            at = rest[0].decode()
            fields.update(dict.fromkeys(field.decode() for field in rest[1:]))
            if at == "0":
                break
        return list(fields)[:most]

    async def _drop(self, resident: Resident, fields: Sequence[str], older: _Older) -> Resident | None:
        """The player without the fields; None where it was in use meanwhile, and nothing was done."""
        ids = sum(field.count(SEPARATOR) == 1 for field in fields)
        now = (older.older, str(older.count), older.filter)
        word, *_ = await self._residents.run(
            FORGET, resident, [str(resident.cursor), resident.text, *now, str(ids), *fields]
        )
        if word != b"OK":
            return None
        self._counts.forgotten_fields += len(fields)
        return resident.with_older(older.older, older.count)

    async def _make_filter(self, resident: Resident) -> Resident | None:
        older = await self._filter_of(resident)
        return resident if older.older == ANYTHING else await self._drop(resident, (), older)

    async def _older_with(self, resident: Resident, more: int, all_: int) -> _Older:
        """With so many fields more, of ``all_`` that will come. A first filter has room for all; one that has
        no room is made anew.
        """
        if resident.older == ANYTHING:
            return _Older(ANYTHING, 0)
        count = resident.older_count + more
        if resident.older == "":
            return _Older(str(blocks_for(max(all_, _FIRST_FILTER_FIELDS))), count)
        if blocks_for(count) <= int(resident.older):
            return _Older(resident.older, count)
        return await self._filter_of(resident)

    async def _filter_of(self, resident: Resident) -> _Older:
        """A filter of all that the ledger knows of the player, where that can be had now."""
        [memory] = await self._memory.players(
            [resident.player_id], since_ms=_NEVER_MS, most_ids=0, most_older=_MOST_FILTERED
        )
        fields = memory.older
        if fields is None:
            self._unfilterable.add(resident.player_id)
        if fields is None or memory.cursor < resident.cursor:
            return _Older(ANYTHING, 0)
        self._unfilterable.discard(resident.player_id)
        blocks = 2 * blocks_for(len(fields))
        filter_ = await asyncio.to_thread(OlderFilter.of, fields, blocks)
        return _Older(str(blocks), len(fields), filter_.bytes)
