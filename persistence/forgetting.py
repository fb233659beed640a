"""Keeps the store's memory to what is in use: the ledger has everything else, and is asked when it is needed.

A player who was idle for the window is forgotten whole; of players who go on, the ids and rounds that are
older. Only what is drained is forgotten, a little at a time, and each time the script that does it looks
whether the player was in use since: then it is left for the next sweep.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from lua import Script, load_script
from persistence.adoption_plan import LedgerPartition
from persistence.errors import LedgerUnavailable, NotDone, OutcomeUnknown
from persistence.older_filter import OlderFilter, blocks_for
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.reading.memory import LedgerMemory
from persistence.transactions import SEPARATOR, PlayerId
from persistence.valkey.keys import player_keys
from persistence.valkey.residence import ANYTHING, FORGET, Residence
from persistence.witness import Witness

_log = structlog.get_logger(__name__)

FIND_OLD = load_script("find_old")
FORGETTING_SCRIPTS = (FORGET, FIND_OLD)

_FIELDS_PER_LOOK = 500
_FIELDS_AT_ONCE = 100
_FIRST_FILTER_FIELDS = 64
_MOST_FILTERED = 1_000_000
_TIMEOUT_S = 5.0
_NEVER_MS = 4_000_000_000_000


class Runner(Protocol):
    """Runs a script where its keys are."""

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None,
    ) -> Sequence[bytes]: ...


class Players(Protocol):
    """The players whom the store has something of: persistence.valkey.hot_wallets.HotWallets."""

    def players(self, batch_size: int) -> AsyncIterator[list[tuple[int, PlayerId]]]: ...

    async def residences(self, players: Sequence[PlayerId]) -> dict[PlayerId, str]: ...


@dataclass(slots=True)
class ForgetCounts:
    """What sweeps have done since the start."""

    sweeps: int = 0
    seen_players: int = 0
    forgotten_players: int = 0
    forgotten_fields: int = 0
    filters: int = 0


@dataclass(frozen=True, slots=True)
class _Resident:
    """A player as the store has it now. ``marker`` is None where there is none, or it is out of date."""

    player_id: PlayerId
    partition: LedgerPartition
    witness: Witness
    text: str
    marker: Residence | None

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(player_keys(self.partition.partition, self.player_id))

    @property
    def is_drained(self) -> bool:
        position = self.marker.position if self.marker else None
        return position is None or position <= self.partition.cursor


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
        counts: ForgetCounts | None = None,
    ) -> None:
        self._runner = runner
        self._players = players
        self._ledger = ledger
        self._memory = memory
        self._ledger_id = ledger_id
        self.counts = counts or ForgetCounts()

    async def sweep(self, now_ms: Callable[[], int], pace: Pace) -> None:
        """Looks at every player once."""
        async for found in self._players.players(pace.batch_players):
            if found:
                limit_ms = now_ms() - round(pace.window_s * 1000)
                await self.forget(found, Limits(idle_since_ms=limit_ms, older_than_ms=limit_ms))
            await asyncio.sleep(pace.pause_s)
        self.counts.sweeps += 1

    async def forget(
        self, found: Iterable[tuple[int, PlayerId]], limits: Limits
    ) -> set[tuple[int, PlayerId]]:
        """Looks at some players, each with its partition; those of them who were forgotten whole."""
        residents = await self._residents(found)
        forgotten = await asyncio.gather(*(self._look_at(resident, limits) for resident in residents))
        return {
            (resident.partition.partition, resident.player_id)
            for resident, gone in zip(residents, forgotten, strict=True)
            if gone
        }

    async def _residents(self, found: Iterable[tuple[int, PlayerId]]) -> list[_Resident]:
        """The markers are read first: what they name as drained is so at the cursors that are read then."""
        placed = dict.fromkeys(found)
        texts = await self._players.residences([player for _, player in placed])
        partitions = {p.partition: p for p in await self._ledger.partitions()}
        residents = []
        for number, player in placed:
            partition = partitions[number]
            witness = partition.witness(self._ledger_id)
            if partition.state == "open" and witness is not None:
                text = texts[player]
                residents.append(_Resident(player, partition, witness, text, _marker(text, witness)))
        return residents

    async def _look_at(self, resident: _Resident, limits: Limits) -> bool:
        """Whether the player is gone."""
        self.counts.seen_players += 1
        marker = resident.marker
        try:
            if marker is None or (marker.used_ms < limits.idle_since_ms and resident.is_drained):
                done = await self._run(FORGET, resident, [str(resident.partition.cursor), resident.text])
                self.counts.forgotten_players += done[0] == b"OK"
                return done[0] == b"OK"
            if resident.is_drained:
                await self._forget_old_fields(resident, marker, limits.older_than_ms)
        except (NotDone, OutcomeUnknown) as error:
            if isinstance(error, LedgerUnavailable):
                raise
            _log.warning("not_forgotten", player=resident.player_id, error=str(error))
        return False

    async def _forget_old_fields(self, resident: _Resident, marker: Residence, old_before_ms: int) -> None:
        ids = await self._old_fields(resident, "ids", old_before_ms)
        rounds = await self._old_fields(resident, "rounds", old_before_ms)
        fields = [*ids[:_FIELDS_AT_ONCE], *rounds[: _FIELDS_AT_ONCE - len(ids[:_FIELDS_AT_ONCE])]]
        if not fields and marker.older != ANYTHING:
            return
        older, count, filter_ = await self._filter_for(resident, marker, len(fields))
        if not fields and older == ANYTHING:
            return
        done = await self._run(
            FORGET,
            resident,
            [
                str(resident.partition.cursor),
                resident.text,
                older,
                str(count),
                filter_,
                str(sum(field.count(SEPARATOR) == 1 for field in fields)),
                *fields,
            ],
        )
        if done[0] == b"OK":
            self.counts.forgotten_fields += len(fields)
            self.counts.filters += bool(filter_)

    async def _filter_for(self, resident: _Resident, marker: Residence, more: int) -> tuple[str, int, bytes]:
        """What ``older`` says once so many fields more are forgotten, how many it stands for, and the filter,
        where it has to be made anew because the fields do not fit any more.
        """
        count = marker.older_count + more
        if marker.older == "":
            return str(blocks_for(max(count, _FIRST_FILTER_FIELDS))), count, b""
        if marker.older != ANYTHING and blocks_for(count) <= int(marker.older):
            return marker.older, count, b""
        [memory] = await self._memory.players(
            [resident.player_id], since_ms=_NEVER_MS, most_ids=0, most_older=_MOST_FILTERED
        )
        if memory.older is None or memory.cursor < resident.partition.cursor:
            return ANYTHING, 0, b""
        blocks = 2 * blocks_for(len(memory.older))
        filter_ = await asyncio.to_thread(lambda: OlderFilter.of(memory.older or (), blocks).bytes)
        return str(blocks), len(memory.older), filter_

    async def _old_fields(self, resident: _Resident, which: str, old_before_ms: int) -> list[str]:
        fields: dict[str, None] = {}
        at = "0"
        while len(fields) < _FIELDS_AT_ONCE:
            look = [which, at, str(old_before_ms), str(_FIELDS_PER_LOOK)]
            word, *rest = await self._run(FIND_OLD, resident, look)
            if word != b"OK":
                return []
            at = rest[0].decode()
            fields.update(dict.fromkeys(field.decode() for field in rest[1:]))
            if at == "0":
                break
        return list(fields)

    async def _run(
        self, script: Script, resident: _Resident, arguments: Sequence[str | bytes]
    ) -> Sequence[bytes]:
        return await self._runner.run(
            script,
            resident.keys,
            [str(resident.witness), *arguments],
            deadline=asyncio.get_running_loop().time() + _TIMEOUT_S,
            incarnation=resident.witness.incarnation,
        )


def _marker(text: str, witness: Witness) -> Residence | None:
    try:
        marker = Residence.parse(text)
    except ValueError:
        return None
    return marker if marker.generation == witness.generation else None
