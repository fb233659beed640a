"""What a run of outbox records becomes in the ledger. Pure: nothing is read or written here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from persistence.chart_of_accounts import Leg, legs_of
from persistence.epochs import EpochHistory
from persistence.errors import (
    DriftDetected,
    HistoryForked,
    LedgerBroken,
    OutboxGap,
    OutboxRecordMalformed,
    VersionGap,
)
from persistence.hash_chain import ChainedEntry, MetadataSeal, entry_hash
from persistence.late_duplicates import FirstBooking, LateDuplicate, late_duplicates_of
from persistence.outbox import OutboxEntry, OutboxRecord, decode_record
from persistence.transactions import Buckets, CurrencyCode, EntryId, OutboxPosition, PlayerId, partition_of

Wallet = tuple[PlayerId, CurrencyCode]

NO_FIRSTS: Mapping[EntryId, FirstBooking] = MappingProxyType({})

LAST_MOMENT_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A stream entry as it was read: its id, and its fields and values in turn."""

    stream_id: str
    fields: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far a partition is in the ledger, which epochs come after its cursor, and under which lease."""

    partition: int
    history: EpochHistory
    cursor: OutboxPosition
    entry_count: int
    chain_hash: bytes
    lease: int = 0

    @property
    def epoch(self) -> int:
        """The newest. Each takeover makes another, so it tells whether the history is still all of it."""
        return self.history.newest


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """An entry with everything that is stored beside it."""

    chained: ChainedEntry
    legs: tuple[Leg, ...]
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """The record at which a partition cannot go on, and why."""

    record: RawRecord
    error: LedgerBroken


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Records of one partition, ready to be written: from the state ``before`` to the state ``after``.

    ``wallets`` has what each touched wallet must hold in the ledger afterwards. ``broken`` is the record that
    follows and cannot be applied, where there is one.
    """

    before: PartitionState
    after: PartitionState
    records: Sequence[RawRecord]
    lines: Sequence[LedgerLine]
    wallets: Mapping[Wallet, Buckets]
    late_duplicates: Sequence[LateDuplicate]
    oldest_booked_ms: int | None
    broken: BrokenRecord | None


def build_batch(
    state: PartitionState,
    records: Sequence[RawRecord],
    *,
    partition_count: int,
    firsts: Mapping[EntryId, FirstBooking] = NO_FIRSTS,
) -> PartitionBatch:
    """As many of the records, in order, as follow from the state and from each other.

    ``firsts`` are the earlier bookings of entries that are late duplicates.
    """
    building = _Building(state, partition_count, firsts)
    for index, record in enumerate(records):
        try:
            building.add(record)
        except LedgerBroken as error:
            return building.batch(records[:index], BrokenRecord(record, error))
    return building.batch(records, None)


class _Building:
    """A batch under construction. A record is added whole or not at all."""

    def __init__(
        self, state: PartitionState, partition_count: int, firsts: Mapping[EntryId, FirstBooking]
    ) -> None:
        self._before = state
        self._firsts = firsts
        self._late_duplicates: list[LateDuplicate] = []
        self._partition_count = partition_count
        self._cursor = state.cursor
        self._chain_hash = state.chain_hash
        self._lines: list[LedgerLine] = []
        self._versions: dict[Wallet, int] = {}
        self._wallets: dict[Wallet, Buckets] = {}
        self._oldest_booked_ms: int | None = None

    def add(self, raw: RawRecord) -> None:
        record = decode_record(raw.stream_id, raw.fields)
        self._require_next(record.position)
        late_duplicates = late_duplicates_of(record, self._before.partition, self._firsts)
        if late_duplicates:
            record = _displaced(record, late_duplicates)
        wallets, versions = dict[Wallet, Buckets](), dict[Wallet, int]()
        try:
            self._require_own(record.player)
            _require_moments(record)
            legs = [legs_of(record.player, entry) for entry in record.entries]
            for entry in record.entries:
                if entry.version is not None:
                    self._follow(record.player, entry, wallets, versions)
            self._chain(record, legs)
        except ValueError as error:
            raise OutboxRecordMalformed(raw.stream_id, str(error)) from error
        self._late_duplicates += late_duplicates.values()
        self._wallets.update(wallets)
        self._versions.update(versions)
        self._cursor = record.position
        self._oldest_booked_ms = min(record.booked_ms, self._oldest_booked_ms or record.booked_ms)

    def batch(self, records: Sequence[RawRecord], broken: BrokenRecord | None) -> PartitionBatch:
        before = self._before
        after = replace(
            before,
            cursor=self._cursor,
            entry_count=before.entry_count + len(self._lines),
            chain_hash=self._chain_hash,
        )
        return PartitionBatch(
            before,
            after,
            records,
            self._lines,
            self._wallets,
            self._late_duplicates,
            self._oldest_booked_ms,
            broken,
        )

    def _require_next(self, position: OutboxPosition) -> None:
        history, partition = self._before.history, self._before.partition
        expected = history.next_after(self._cursor)
        if position == expected:
            return
        if position > self._cursor and history.is_forked(position):
            raise HistoryForked(
                f"record {position} of partition {partition} is not of its history, which goes on from "
                f"{self._cursor} with {expected or 'nothing'} in epoch {history.newest}: it was written to a "
                "store that had been given up"
            )
        raise OutboxGap(
            f"partition {partition} is drained up to {self._cursor}, and its outbox goes on "
            f"with {position}: what was between them is missing"
        )

    def _require_own(self, player: PlayerId) -> None:
        partition = partition_of(player, self._partition_count)
        if partition != self._before.partition:
            raise ValueError(f"player {player} is of partition {partition}, not of {self._before.partition}")

    def _follow(
        self,
        player: PlayerId,
        entry: OutboxEntry,
        wallets: dict[Wallet, Buckets],
        versions: dict[Wallet, int],
    ) -> None:
        """Checks a wallet's next version against the one before it, if that is in this batch too.

        Where it is not, the ledger's own rules check the version, and its balances are compared.
        """
        if entry.version is None or entry.currency is None or entry.after is None:
            raise ValueError("a change of a wallet lacks its currency, its version or its balances")
        wallet = (player, entry.currency)
        version = versions.get(wallet, self._versions.get(wallet))
        if version is not None and entry.version != version + 1:
            raise VersionGap(f"{_name(wallet)} goes from version {version} to {entry.version}")
        before = wallets.get(wallet, self._wallets.get(wallet))
        if before is not None and entry.after != _sum(before, entry.change):
            raise DriftDetected(
                f"{_name(wallet)} has {entry.after} at version {entry.version}, but {before} changed by "
                f"{entry.change}"
            )
        versions[wallet] = entry.version
        wallets[wallet] = entry.after

    def _chain(self, record: OutboxRecord, legs: Sequence[tuple[Leg, ...]]) -> None:
        lines: list[LedgerLine] = []
        previous_hash = self._chain_hash
        chain_position = self._before.entry_count + len(self._lines)
        for index, (entry, entry_legs) in enumerate(zip(record.entries, legs, strict=True)):
            chained = ChainedEntry(
                EntryId(self._before.partition, record.position, index),
                chain_position + index,
                record.player,
                record.booked_ms,
                entry,
                MetadataSeal.new(entry.metadata),
            )
            hash_ = entry_hash(previous_hash, chained, entry_legs)
            lines.append(LedgerLine(chained, entry_legs, previous_hash, hash_))
            previous_hash = hash_
        self._lines += lines
        self._chain_hash = previous_hash


def _displaced(record: OutboxRecord, late_duplicates: Mapping[int, LateDuplicate]) -> OutboxRecord:
    entries = tuple(
        late_duplicates[index].displaced if index in late_duplicates else entry
        for index, entry in enumerate(record.entries)
    )
    return replace(record, entries=entries)


def _require_moments(record: OutboxRecord) -> None:
    for moment_ms in (record.booked_ms, *(entry.occurred_ms for entry in record.entries)):
        if moment_ms is not None and not 0 <= moment_ms <= LAST_MOMENT_MS:
            raise ValueError(f"{moment_ms} ms is no time that a calendar has")


def _name(wallet: Wallet) -> str:
    return f"the {wallet[1]} wallet of player {wallet[0]}"


def _sum(before: Buckets, change: Buckets) -> Buckets:
    return Buckets(
        before.cash + change.cash,
        before.bonus + change.bonus,
        before.held + change.held,
        before.receivable + change.receivable,
    )
