"""Undoes late duplicates once the ledger has told of them.

The store remembers a late duplicate under the caller's id, in the place of what the ledger has there: a
rollback would undo the duplicate, or find nothing where the first booking stands. So the player is forgotten
first, and comes back as the ledger knows them. Only then is it read, once more, what is owed: whatever the
caller did to the duplicate in the meantime is drained by then, and nothing more can be done to it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from persistence.calls import RestoreOutcome
from persistence.errors import NotDone, OutcomeUnknown, StoreUnavailable
from persistence.forgetting import Limits
from persistence.outbox import OutboxEntry
from persistence.postgres.adopting import AdoptingLedger, Incident, IncidentKind
from persistence.postgres.repairs import RepairList, ToldDuplicate
from persistence.transactions import PlayerId
from persistence.valkey.engine import Engine, deadline_after

_log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0
_AT_ONCE = 500
_EVERYBODY = Limits(idle_since_ms=2**62, older_than_ms=0)


class ForgetsPlayers(Protocol):
    """persistence.forgetting.Forgetter."""

    async def forget(
        self, found: Iterable[tuple[int, PlayerId]], limits: Limits
    ) -> set[tuple[int, PlayerId]]: ...


@dataclass(slots=True)
class RepairCounts:
    """What was done since the start."""

    restored: int = 0
    known: int = 0
    failed: int = 0
    reversed: int = 0


class Reversing:
    """One pass does all that can be done now; the next one does the rest."""

    def __init__(
        self,
        engine: Engine,
        ledger: AdoptingLedger,
        repairs: RepairList,
        forgetter: ForgetsPlayers,
        counts: RepairCounts,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._repairs = repairs
        self._forgetter = forgetter
        self._counts = counts
        self._forgotten: set[int] = set()
        """Incidents whose players were forgotten after they had been raised."""
        self._failed: set[int] = set()

    async def run_once(self) -> None:
        """Raises LedgerUnavailable."""
        if found := await self._all():
            await self._forget_players_of(found)
            found = await self._all()
        self._forgotten &= {duplicate.incident_id for duplicate in found}
        held = set[int]()
        for duplicate in found:
            if duplicate.incident_id in self._forgotten and duplicate.partition not in held:
                await self._undo(duplicate, held)

    async def _all(self) -> list[ToldDuplicate]:
        found: list[ToldDuplicate] = []
        while more := await self._repairs.late_duplicates(
            _AT_ONCE, after=found[-1].incident_id if found else 0
        ):
            found += more
        return found

    async def _forget_players_of(self, found: Iterable[ToldDuplicate]) -> None:
        """Each partition for itself: the others do not wait for one that cannot be reached."""
        due: defaultdict[int, dict[int, tuple[int, PlayerId]]] = defaultdict(dict)
        for d in found:
            if d.incident_id not in self._forgotten:
                due[d.partition][d.incident_id] = (d.partition, d.player_id)
        for partition, players in due.items():
            try:
                gone = await self._forgetter.forget(set(players.values()), _EVERYBODY)
            except (StoreUnavailable, OutcomeUnknown) as error:
                _log.warning("late_duplicates_wait", partition=partition, error=str(error))
                continue
            self._forgotten |= {incident_id for incident_id, player in players.items() if player in gone}

    async def _undo(self, duplicate: ToldDuplicate, held: set[int]) -> None:
        if duplicate.reversal is None:
            await self._resolve(duplicate, "it moved nothing, and is remembered as it was booked first")
        elif duplicate.is_reversed:
            await self._resolve(duplicate, f"reversed by transaction {duplicate.reversal.transaction_id}")
        elif duplicate.undone_by:
            await self._resolve(duplicate, f"undone by its caller's transaction {duplicate.undone_by}")
        else:
            await self._reverse(duplicate, duplicate.reversal, held)

    async def _reverse(self, duplicate: ToldDuplicate, reversal: OutboxEntry, held: set[int]) -> None:
        player = duplicate.player_id
        try:
            outcome = await self._engine.restore(player, reversal, deadline=deadline_after(_TIMEOUT_S))
        except (NotDone, OutcomeUnknown) as error:
            _log.warning("reversal_waits", player=player, error=str(error))
            self._counts.failed += 1
            held.add(duplicate.partition)
        except Exception as error:
            # A mistake of ours: it is owed until it is corrected, and nobody else waits for that.
            if duplicate.incident_id not in self._failed:
                _log.exception("reversal_failed", player=player, transaction=reversal.transaction_id)
            self._failed.add(duplicate.incident_id)
            await self._tell_not_reversed(duplicate, reversal, str(error))
        else:
            await self._note(duplicate, reversal, outcome)

    async def _note(self, duplicate: ToldDuplicate, reversal: OutboxEntry, outcome: RestoreOutcome) -> None:
        if outcome is RestoreOutcome.BOOKED:
            self._counts.reversed += 1
            _log.warning(
                "late_duplicate_reversed", player=duplicate.player_id, transaction=reversal.transaction_id
            )
        elif outcome is not RestoreOutcome.KNOWN:
            # Should the store have come back from before it forgot the player: it has to forget once more.
            self._forgotten.discard(duplicate.incident_id)
            await self._tell_not_reversed(duplicate, reversal, f"it was answered {outcome.name}")

    async def _tell_not_reversed(self, duplicate: ToldDuplicate, reversal: OutboxEntry, why: str) -> None:
        self._counts.failed += 1
        incident = Incident(
            _key_of_failure(duplicate),
            IncidentKind.LATE_DUPLICATE,
            duplicate.partition,
            f"transaction {reversal.transaction_id}, which undoes a late duplicate, could not be booked: "
            f"{why}; it is tried again",
            (duplicate.player_id, reversal.source, reversal.transaction_id),
        )
        await self._ledger.raise_incidents([incident])

    async def _resolve(self, duplicate: ToldDuplicate, resolution: str) -> None:
        """A failure first: it is looked for no more once the duplicate's own incident is closed."""
        await self._repairs.resolve(_key_of_failure(duplicate), resolution)
        await self._repairs.resolve(f"late_duplicate {duplicate.entry_id}", resolution)


def _key_of_failure(duplicate: ToldDuplicate) -> str:
    return f"not_reversed {duplicate.entry_id}"
