"""Players as the store has them now, for whoever drops what the ledger knows too."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from lua import Script
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.reading.memory import LedgerMemory
from persistence.transactions import SEPARATOR, OutboxPosition, PlayerId
from persistence.valkey.keys import player_keys
from persistence.valkey.residence import ANYTHING, Residence
from persistence.witness import Witness

_TIMEOUT_S = 5.0


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


@dataclass(frozen=True, slots=True)
class Resident:
    """A player as the store has it now. ``marker`` is what ``text`` says, None where there is none or it is
    out of date; ``cursor`` how far the player's partition was drained after that.
    """

    player_id: PlayerId
    partition: int
    witness: Witness
    cursor: OutboxPosition
    text: str
    marker: Residence | None

    @property
    def is_drained(self) -> bool:
        position = self.marker.position if self.marker else None
        return position is None or position <= self.cursor

    @property
    def older(self) -> str:
        """As the marker's."""
        return self.marker.older if self.marker else ANYTHING

    @property
    def older_count(self) -> int:
        return self.marker.older_count if self.marker else 0

    def with_older(self, older: str, count: int) -> "Resident":
        """As the script leaves the player that sets these."""
        generation, position, used_ms, *_ = self.text.split(SEPARATOR)
        text = SEPARATOR.join((generation, position, used_ms, older, str(count)))
        return replace(self, text=text, marker=Residence.parse(text))


class Residents:
    """Reads players, and runs scripts that do nothing where one is not as it was read.

    Both raise LedgerUnavailable and StoreUnavailable.
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
        self._runner = runner
        self._players = players
        self._ledger = ledger
        self._memory = memory
        self._ledger_id = ledger_id
        self._witnesses: dict[int, Witness] = {}
        self._witnesses_until = 0.0

    async def read(
        self, placed: Collection[tuple[int, PlayerId]], *, witnesses_age_s: float = 0.0
    ) -> list[Resident]:
        """Players, each with its partition, where that is open. Witnesses may be so old: a script that is
        given an old one does nothing.

        The cursors are read after the markers: what was drained meanwhile counts.
        """
        if not placed:
            return []
        texts = await self._players.residences([player for _, player in placed])
        cursors = await self._memory.cursors({number for number, _ in placed})
        if asyncio.get_running_loop().time() >= self._witnesses_until or not witnesses_age_s:
            await self._read_witnesses(witnesses_age_s)
        return [
            Resident(player, number, witness, cursors[number], texts[player], _marker(texts[player], witness))
            for number, player in placed
            if (witness := self._witnesses.get(number)) is not None
        ]

    async def run(
        self, script: Script, resident: Resident, arguments: Sequence[str | bytes]
    ) -> Sequence[bytes]:
        """Raises also what running a script does: NotDone, OutcomeUnknown."""
        return await self._runner.run(
            script,
            tuple(player_keys(resident.partition, resident.player_id)),
            [str(resident.witness), *arguments],
            deadline=asyncio.get_running_loop().time() + _TIMEOUT_S,
            incarnation=resident.witness.incarnation,
        )

    async def _read_witnesses(self, age_s: float) -> None:
        """Those of the partitions that are open."""
        self._witnesses_until = asyncio.get_running_loop().time() + age_s
        self._witnesses = {
            partition.partition: witness
            for partition in await self._ledger.partitions()
            if partition.state == "open" and (witness := partition.witness(self._ledger_id)) is not None
        }


def _marker(text: str, witness: Witness) -> Residence | None:
    try:
        marker = Residence.parse(text)
    except ValueError:
        return None
    return marker if marker.generation == witness.generation else None
