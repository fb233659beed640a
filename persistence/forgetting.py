"""Keeps the store's memory to what is in use: the ledger has everything else, and is asked when it is needed.

A player who was idle for the window is forgotten whole; of players who go on, the ids and rounds that are
older. Only what is drained is forgotten, a little at a time, and each time the script that does it looks
whether the player was in use since: then it is left for the next sweep.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

import structlog

from persistence.errors import LedgerUnavailable, NotDone, OutcomeUnknown
from persistence.old_fields import FIND_OLD, ForgetCounts, OldFields
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.reading.memory import LedgerMemory
from persistence.residents import Players, Resident, Residents, Runner
from persistence.transactions import PlayerId
from persistence.valkey.residence import FORGET

_log = structlog.get_logger(__name__)

FORGETTING_SCRIPTS = (FORGET, FIND_OLD)

_TURNS_IN_A_WINDOW = 24
_WITNESSES_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Who is forgotten, and what of the others, by the time of their last use. Unix milliseconds."""

    idle_since_ms: int
    older_than_ms: int


@dataclass(frozen=True, slots=True)
class Pace:
    """``window_s`` is how long a player may be idle, and an id old; ``pause_s`` lies between two batches."""

    window_s: float
    batch_players: int = 100
    pause_s: float = 0.02


@dataclass(frozen=True, slots=True)
class Turns:
    """Whose ids and rounds are looked through, of those who go on. All that the store has of a player is read
    for it: so it is each one's turn every so often, not in every sweep.

    It is that of whom a multiple of ``every_ms``, and a little more for each, lies between the two times.
    """

    after_ms: int
    until_ms: int
    every_ms: int

    def include(self, player_id: PlayerId) -> bool:
        offset_ms = crc32(player_id.encode()) % self.every_ms
        return (self.after_ms - offset_ms) // self.every_ms < (self.until_ms - offset_ms) // self.every_ms


EVERYBODY = Turns(after_ms=-1, until_ms=0, every_ms=1)


class Forgetter:
    """Sweeps through the store's players.

    Raises LedgerUnavailable and StoreUnavailable.
    """

    def __init__(
        self,
        runner: Runner,
        players: Players,
        ledger: AdoptingLedger,
        memory: LedgerMemory,
        *,
        ledger_id: UUID,
    ) -> None:
        self._players = players
        self._residents = Residents(runner, players, ledger, memory, ledger_id=ledger_id)
        self.counts = ForgetCounts()
        self._old_fields = OldFields(self._residents, memory, self.counts)
        self._swept_up_to_ms = 0

    async def sweep(self, now_ms: Callable[[], int], pace: Pace) -> None:
        """Looks at every player once."""
        window_ms = round(pace.window_s * 1000)
        turns = Turns(self._swept_up_to_ms, now_ms(), max(1, window_ms // _TURNS_IN_A_WINDOW))
        async for found in self._batches(pace.batch_players):
            limit_ms = now_ms() - window_ms
            limits = Limits(idle_since_ms=limit_ms, older_than_ms=limit_ms)
            residents = await self._residents.read(dict.fromkeys(found), witnesses_age_s=_WITNESSES_AGE_S)
            await self._look_at_all(residents, limits, turns)
            await asyncio.sleep(pace.pause_s)
        self._swept_up_to_ms = turns.until_ms
        self.counts.sweeps += 1

    async def forget(
        self, found: Iterable[tuple[int, PlayerId]], limits: Limits
    ) -> set[tuple[int, PlayerId]]:
        """Looks at some players, each with its partition; those of them who were forgotten whole."""
        residents = await self._residents.read(dict.fromkeys(found))
        return await self._look_at_all(residents, limits, EVERYBODY)

    async def _batches(self, batch_players: int) -> AsyncIterator[list[tuple[int, PlayerId]]]:
        """All players, about so many at a time: most of the keys that the store lists are not of wallets."""
        found: list[tuple[int, PlayerId]] = []
        async for more in self._players.players(batch_players):
            found += more
            if len(found) >= batch_players:
                yield found
                found = []
        if found:
            yield found

    async def _look_at_all(
        self, residents: Sequence[Resident], limits: Limits, turns: Turns
    ) -> set[tuple[int, PlayerId]]:
        """Those who are gone."""
        gone = await asyncio.gather(*(self._look_at(resident, limits, turns) for resident in residents))
        return {
            (resident.partition, resident.player_id)
            for resident, is_gone in zip(residents, gone, strict=True)
            if is_gone
        }

    async def _look_at(self, resident: Resident, limits: Limits, turns: Turns) -> bool:
        """Whether the player is gone."""
        self.counts.seen_players += 1
        marker = resident.marker
        try:
            if marker is None or (marker.used_ms < limits.idle_since_ms and resident.is_drained):
                return await self._forget_whole(resident)
            is_due = turns.include(resident.player_id) or self._old_fields.needs_filter(resident)
            if is_due and resident.is_drained:
                await self._old_fields.forget(resident, before_ms=limits.older_than_ms)
        except (NotDone, OutcomeUnknown) as error:
            if isinstance(error, LedgerUnavailable):
                raise
            _log.warning("not_forgotten", player=resident.player_id, error=str(error))
        return False

    async def _forget_whole(self, resident: Resident) -> bool:
        word, *_ = await self._residents.run(FORGET, resident, [str(resident.cursor), resident.text])
        self.counts.forgotten_players += word == b"OK"
        return word == b"OK"
