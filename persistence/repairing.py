"""Carries out what the ledger says is owed, through the engine like everything else, each once.

A record that was salvaged is booked entry by entry under its own ids; a caller who has asked again since has
been served, and nothing is booked twice. Late duplicates are undone (persistence.reversing). What cannot be
done now is left for the next pass, and holds up nothing that does not follow from it; what a person has to
look at is an incident.
"""

from dataclasses import dataclass, field

import structlog

from persistence.acknowledged import Told
from persistence.calls import RestoreOutcome
from persistence.errors import (
    DeadlineExceeded,
    NotDone,
    OutboxRecordMalformed,
    OutcomeUnknown,
    WalletNotFound,
)
from persistence.outbox import OutboxEntry, OutboxRecord, decode_record
from persistence.postgres.adopting import AdoptingLedger, Incident, IncidentKind, TransactionName
from persistence.postgres.repairs import RepairList, SalvagedRecord
from persistence.reversing import ForgetsPlayers, RepairCounts, Reversing
from persistence.transactions import EntryType, OutboxPosition, PlayerId
from persistence.valkey.engine import Engine, deadline_after

_log = structlog.get_logger(__name__)

_TIMEOUT_S = 10.0
_AT_ONCE = 500


@dataclass(slots=True)
class _Held:
    """Whose records wait for the next pass, as an earlier one of theirs does: they go in their order."""

    partitions: set[int] = field(default_factory=set)
    players: set[PlayerId] = field(default_factory=set)

    def has(self, partition: int, player: PlayerId) -> bool:
        return partition in self.partitions or player in self.players


class Repairing:
    """One pass does all that can be done now; the next one does the rest."""

    def __init__(
        self, engine: Engine, ledger: AdoptingLedger, repairs: RepairList, forgetter: ForgetsPlayers
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._repairs = repairs
        self.counts = RepairCounts()
        self._failed: set[int] = set()
        self._reversing = Reversing(engine, ledger, repairs, forgetter, self.counts)

    async def run_once(self) -> None:
        """Raises LedgerUnavailable."""
        await self._settle_history()
        await self._restore_all()
        await self._reversing.run_once()
        await self._repairs.resolve_found()

    async def _settle_history(self) -> None:
        """What was kept to be sure, and was drained after all, is not to be booked again."""
        after = 0
        while records := await self._repairs.in_places_of_history(_AT_ONCE, after=after):
            entries = [_as_drained(salvaged) for salvaged in records]
            known = await self._ledger.known([name for of_record in entries for name in of_record])
            drained = [
                salvaged
                for salvaged, of_record in zip(records, entries, strict=True)
                if of_record and all(known.get(name) == entry for name, entry in of_record.items())
            ]
            await self._repairs.is_restored(*drained)
            after = records[-1].salvaged_id

    async def _restore_all(self) -> None:
        held, after = _Held(), 0
        while records := await self._repairs.to_restore(_AT_ONCE, after=after):
            for salvaged in records:
                await self._restore(salvaged, held)
            after = records[-1].salvaged_id

    async def _restore(self, salvaged: SalvagedRecord, held: _Held) -> None:
        """Every entry of a record, and an incident for each."""
        try:
            record = decode_record(salvaged.record.stream_id, salvaged.record.fields)
        except OutboxRecordMalformed as error:
            await self._tell_not_booked(salvaged, error)
            await self._repairs.is_restored(salvaged)
            return
        if held.has(salvaged.partition, record.player):
            return
        try:
            outcomes = [await self._restore_entry(record, entry) for entry in record.entries]
        except (NotDone, OutcomeUnknown) as error:
            self._postpone(salvaged, record.player, error, held)
        except Exception as error:
            # A mistake of ours: it stays until it is corrected, and nobody else waits for that.
            if salvaged.salvaged_id not in self._failed:
                _log.exception("salvaged_record_not_booked", record=_name(salvaged))
            self._failed.add(salvaged.salvaged_id)
            held.players.add(record.player)
            await self._tell_not_booked(salvaged, error)
        else:
            await self._finish(salvaged, record, outcomes)

    def _postpone(
        self, salvaged: SalvagedRecord, player: PlayerId, error: NotDone | OutcomeUnknown, held: _Held
    ) -> None:
        _log.warning("salvaged_record_waits", record=_name(salvaged), error=str(error))
        self.counts.failed += 1
        if isinstance(error, DeadlineExceeded):
            held.players.add(player)
        else:
            held.partitions.add(salvaged.partition)

    async def _finish(
        self, salvaged: SalvagedRecord, record: OutboxRecord, outcomes: list[RestoreOutcome]
    ) -> None:
        for outcome in outcomes:
            self.counts.restored += outcome is RestoreOutcome.BOOKED
            self.counts.known += outcome is RestoreOutcome.KNOWN
            self.counts.failed += outcome not in {RestoreOutcome.BOOKED, RestoreOutcome.KNOWN}
        incidents = [_forked(salvaged, record, index, outcome) for index, outcome in enumerate(outcomes)]
        await self._ledger.raise_incidents(incidents)
        await self._repairs.is_restored(salvaged)
        await self._repairs.resolve(_key(salvaged), "it was booked again in the end")

    async def _tell_not_booked(self, salvaged: SalvagedRecord, error: Exception) -> None:
        """The record stays where it is kept, and a person is told."""
        self.counts.failed += 1
        incident = Incident(
            _key(salvaged),
            IncidentKind.HISTORY_FORKED,
            salvaged.partition,
            f"record {_name(salvaged)} of primary {salvaged.incarnation} could not be booked again: {error}",
        )
        await self._ledger.raise_incidents([incident])

    async def _restore_entry(self, record: OutboxRecord, entry: OutboxEntry) -> RestoreOutcome:
        player, currency = record.player, entry.currency
        deadline = deadline_after(_TIMEOUT_S)
        if entry.type is EntryType.WALLET_OPENED and currency is not None:
            line = entry.credit_line or 0
            _, new = await self._engine.open_wallet(player, currency, credit_line=line, deadline=deadline)
            return RestoreOutcome.BOOKED if new else RestoreOutcome.KNOWN
        if entry.type is EntryType.STATUS_CHANGED:
            return await self._restore_status(player, entry, deadline)
        return await self._engine.restore(player, entry, deadline=deadline)

    async def _restore_status(self, player: PlayerId, entry: OutboxEntry, deadline: float) -> RestoreOutcome:
        assert entry.currency is not None
        assert entry.wallet_status is not None
        try:
            _, changed = await self._engine.set_wallet_status(
                player,
                entry.currency,
                entry.wallet_status,
                reason="restored after the history forked",
                expected_version=None,
                deadline=deadline,
            )
        except WalletNotFound:
            return RestoreOutcome.NO_WALLET
        return RestoreOutcome.BOOKED if changed else RestoreOutcome.KNOWN


def _as_drained(salvaged: SalvagedRecord) -> dict[TransactionName, tuple[Told, OutboxPosition]]:
    """What the ledger has of a record's entries if it is drained; nothing for one that cannot be read."""
    try:
        record = decode_record(salvaged.record.stream_id, salvaged.record.fields)
    except OutboxRecordMalformed:
        return {}
    return {
        (record.player, entry.source, entry.transaction_id): (
            Told(entry.type, entry.fingerprint),
            record.position,
        )
        for entry in record.entries
    }


def _name(salvaged: SalvagedRecord) -> str:
    return f"{salvaged.partition}-{salvaged.record.stream_id}"


def _key(salvaged: SalvagedRecord) -> str:
    return f"history_forked {_name(salvaged)} {salvaged.incarnation}"


def _forked(salvaged: SalvagedRecord, record: OutboxRecord, index: int, outcome: RestoreOutcome) -> Incident:
    entry = record.entries[index]
    name = f"{salvaged.partition}-{record.position}-{index}"
    result = {
        RestoreOutcome.BOOKED: "it was booked again under its id",
        RestoreOutcome.KNOWN: "its id stands in the history that is kept",
        RestoreOutcome.NO_WALLET: "there is no such wallet, and it could not be booked again",
        RestoreOutcome.NO_ORIGINAL: "what it undoes is not booked, and so it was not booked either",
        RestoreOutcome.ROLLED_BACK: "what it undoes had been undone since",
        RestoreOutcome.OTHER_EXCHANGE: "the other side of its exchange is not of it, and it was not booked",
        RestoreOutcome.SLIP_MOVED_ON: "its slip has changed otherwise since, and it was not booked again",
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
