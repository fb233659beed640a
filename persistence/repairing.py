"""Carries out what the ledger says is owed, through the engine like everything else, each once.

A record that was salvaged is booked entry by entry under its own ids; a caller who has asked again since has
been served, and nothing is booked twice. A late duplicate is reversed. A player to whom either happened is
forgotten by the store when it is drained, and comes back as the ledger knows them: rounds and counts of wins
follow from entries there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from persistence.calls import RestoreOutcome
from persistence.errors import OutboxRecordMalformed
from persistence.forgetting import Limits
from persistence.outbox import OutboxEntry, OutboxRecord, decode_record
from persistence.postgres.adopting import AdoptingLedger, Incident, IncidentKind
from persistence.postgres.repairs import Repair, RepairList, SalvagedRecord
from persistence.transactions import EntryType, PlayerId
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


class Repairing:
    """One pass does all that can be done now; the next one does the rest."""

    def __init__(
        self, engine: Engine, ledger: AdoptingLedger, repairs: RepairList, forgetter: ForgetsPlayers
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._repairs = repairs
        self._forgetter = forgetter
        self._to_forget: set[tuple[int, PlayerId]] = set()
        self.counts = RepairCounts()

    async def run_once(self) -> None:
        """Raises LedgerUnavailable, StoreUnavailable and the like: then the next pass goes on."""
        while records := await self._repairs.to_restore(_AT_ONCE):
            for salvaged in records:
                await self._restore(salvaged)
        for repair in await self._repairs.pending(_AT_ONCE):
            await self._reverse(repair)
        await self._repairs.resolve_found()
        if self._to_forget:
            self._to_forget -= await self._forgetter.forget(self._to_forget, _EVERYBODY)

    async def _restore(self, salvaged: SalvagedRecord) -> None:
        """Every entry of a record, and an incident for each."""
        try:
            record = decode_record(salvaged.record.stream_id, salvaged.record.fields)
        except OutboxRecordMalformed as error:
            await self._give_up(salvaged, error)
            return
        incidents: list[Incident] = []
        for index, entry in enumerate(record.entries):
            outcome = await self._restore_entry(record, entry)
            self.counts.restored += outcome is RestoreOutcome.BOOKED
            self.counts.known += outcome is RestoreOutcome.KNOWN
            self.counts.failed += outcome not in {RestoreOutcome.BOOKED, RestoreOutcome.KNOWN}
            incidents.append(_forked(salvaged, record, index, outcome))
        await self._ledger.raise_incidents(incidents)
        await self._repairs.is_restored(salvaged)
        self._to_forget.add((salvaged.partition, record.player))

    async def _give_up(self, salvaged: SalvagedRecord, error: OutboxRecordMalformed) -> None:
        """The record stays where it is kept, and a person is told."""
        self.counts.failed += 1
        name = f"{salvaged.partition}-{salvaged.record.stream_id}"
        incident = Incident(
            f"history_forked {name} {salvaged.incarnation}",
            IncidentKind.HISTORY_FORKED,
            salvaged.partition,
            f"record {name} of primary {salvaged.incarnation} could not be booked again: {error}",
        )
        await self._ledger.raise_incidents([incident])
        await self._repairs.is_restored(salvaged)

    async def _restore_entry(self, record: OutboxRecord, entry: OutboxEntry) -> RestoreOutcome:
        player, currency = record.player, entry.currency
        deadline = deadline_after(_TIMEOUT_S)
        if entry.type is EntryType.WALLET_OPENED and currency is not None:
            line = entry.credit_line or 0
            _, new = await self._engine.open_wallet(player, currency, credit_line=line, deadline=deadline)
            return RestoreOutcome.BOOKED if new else RestoreOutcome.KNOWN
        if (
            entry.type is EntryType.STATUS_CHANGED
            and currency is not None
            and entry.wallet_status is not None
        ):
            _, changed = await self._engine.set_wallet_status(
                player,
                currency,
                entry.wallet_status,
                reason="restored after the history forked",
                expected_version=None,
                deadline=deadline,
            )
            return RestoreOutcome.BOOKED if changed else RestoreOutcome.KNOWN
        return await self._engine.restore(player, entry, deadline=deadline)

    async def _reverse(self, repair: Repair) -> None:
        player = repair.player_id
        if repair.is_booked:
            await self._repairs.resolve(
                repair.incident_id, f"reversed by transaction {repair.entry.transaction_id}"
            )
            self._to_forget.add((repair.partition, player))
            return
        outcome = await self._engine.restore(player, repair.entry, deadline=deadline_after(_TIMEOUT_S))
        if outcome is RestoreOutcome.BOOKED:
            self.counts.reversed += 1
            _log.warning("late_duplicate_reversed", player=player, transaction=repair.entry.transaction_id)
        elif outcome is not RestoreOutcome.KNOWN:
            self.counts.failed += 1
            _log.error("repair_failed", player=player, outcome=outcome.value)


def _forked(salvaged: SalvagedRecord, record: OutboxRecord, index: int, outcome: RestoreOutcome) -> Incident:
    entry = record.entries[index]
    name = f"{salvaged.partition}-{record.position}-{index}"
    result = {
        RestoreOutcome.BOOKED: "it was booked again under its id",
        RestoreOutcome.KNOWN: "its id stands in the history that is kept",
        RestoreOutcome.NO_WALLET: "there is no such wallet, and it could not be booked again",
        RestoreOutcome.ROLLED_BACK: "what it undoes had been undone since",
        RestoreOutcome.OVERFLOW: "the wallet cannot hold it, and it could not be booked again",
    }[outcome]
    return Incident(
        f"history_forked {name} {salvaged.incarnation}",
        IncidentKind.HISTORY_FORKED,
        salvaged.partition,
        f"entry {name} of primary {salvaged.incarnation} is no part of the history ({salvaged.reason}): "
        f"{result}",
        (record.player, entry.source, entry.transaction_id),
        name,
    )
