"""Goes on with a ledger that was restored from a backup, on a store that had been drained further.

What the ledger lacks was answered, and most of it the store still knows: records that wait in the outbox,
and behind them the memory of ids. All of it is kept in ``ledger.salvaged``, in its order, before the store's
memory is given up; then it is booked again like everything that is salvaged, each under its own id. What
comes out for a wallet is compared with what the store has, and a difference is an incident.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from persistence.adoption import Adoption
from persistence.adoption_plan import LedgerPartition
from persistence.drain_batch import RawRecord
from persistence.errors import OutboxRecordMalformed
from persistence.outbox import OutboxEntry, decode_record
from persistence.postgres.adopting import AdoptingLedger, Incident, IncidentKind, TransactionName
from persistence.postgres.database import Connection, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.repairs import RepairList
from persistence.remembered import (
    Remembered,
    change_of,
    lost_records,
    names_of,
    opening_record,
    status_record,
)
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    OutboxPosition,
    PlayerId,
    WalletBalance,
    WalletStatus,
)
from persistence.valkey.hot_wallets import HotWallets
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey
from persistence.valkey.records import decode_wallet
from persistence.witness import Witness

_PLAYERS_AT_ONCE = 100
_IDS_AT_ONCE = 1000
_BEFORE_ALL = OutboxPosition(1, -1)
_REASON = "the ledger was restored from a backup that had not got it"


@dataclass(frozen=True, slots=True)
class Followed:
    """A partition that goes on with the restored ledger. ``waiting`` records stood in the outbox,
    ``remembered`` were made of the store's memory; of ``unlike`` wallets these do not make what it had.
    ``may_be_forgotten``: the store had let go of some players since, and cannot name what it knew of them.
    """

    partition: int
    epoch: int
    waiting: int
    remembered: int
    unlike: int
    may_be_forgotten: bool


@dataclass(slots=True)
class _Kept:
    remembered: list[RawRecord] = field(default_factory=list)
    openings: list[RawRecord] = field(default_factory=list)
    statuses: list[RawRecord] = field(default_factory=list)
    waiting: list[RawRecord] = field(default_factory=list)
    unlike: list[Incident] = field(default_factory=list)
    may_be_forgotten: bool = False

    def in_order(self) -> list[RawRecord]:
        """Wallets are opened before they are moved; what waits in the outbox came last."""
        remembered = sorted(self.remembered, key=lambda record: OutboxPosition.parse(record.stream_id))
        return [*self.openings, *remembered, *self.statuses, *self.waiting]


class RestoredLedger:
    """Raises LedgerUnavailable, StoreUnavailable and SetupRefused. Every step may be repeated."""

    def __init__(
        self, connection: Connection, store: OutboxReader, players: HotWallets, adopting: Adoption
    ) -> None:
        self._connection = connection
        self._ledger = AdoptingLedger(connection)
        self._repairs = RepairList(connection)
        self._store = store
        self._players = players
        self._adopting = adopting

    async def follow(self, partitions: Iterable[int]) -> AsyncIterator[Followed]:
        """All of these of which the store has seen more than the ledger has."""
        numbers = [number for number in partitions if await self._adopting.close_restored(number)]
        players = await self._adopting.meanwhile(self._players_by_partition())
        for number in numbers:
            if followed := await self._follow(number, sorted(players[number])):
                yield followed

    async def _players_by_partition(self) -> dict[int, set[PlayerId]]:
        players: dict[int, set[PlayerId]] = defaultdict(set)
        async for found in self._players.players(_PLAYERS_AT_ONCE):
            for number, player in found:
                players[number].add(player)
        return players

    async def _follow(self, number: int, players: Sequence[PlayerId]) -> Followed | None:
        kept = _Kept()

        async def keep(partition: LedgerPartition, survey: OutboxSurvey, witness: Witness) -> None:
            await self._gather(kept, partition, witness, players)
            # Beside the loop, which keeps the adoption's connection while millions are sorted.
            records = await asyncio.to_thread(kept.in_order)
            await self._repairs.salvage(number, records, incarnation=survey.incarnation, reason=_REASON)
            await self._ledger.raise_incidents(kept.unlike)

        following = await self._adopting.follow_restored(number, keep)
        if following is None:
            return None
        return Followed(
            number,
            following.witness.epoch,
            len(kept.waiting),
            len(kept.remembered),
            len(kept.unlike),
            kept.may_be_forgotten,
        )

    async def _gather(
        self, kept: _Kept, partition: LedgerPartition, witness: Witness, players: Sequence[PlayerId]
    ) -> None:
        number = partition.partition
        forgotten = await self._players.forgotten_up_to(number)
        kept.may_be_forgotten = forgotten is not None and forgotten > partition.cursor
        waiting: dict[PlayerId, list[OutboxEntry]] = defaultdict(list)
        async for records in self._store.slices(number, _BEFORE_ALL):
            kept.waiting += records
            for player, entries in _entries(records).items():
                waiting[player] += entries
        for start in range(0, len(players), _PLAYERS_AT_ONCE):
            some = players[start : start + _PLAYERS_AT_ONCE]
            found = await self._players.memories(some, generation=witness.generation)
            await self._gather_players(
                kept,
                partition,
                [
                    Remembered(
                        player,
                        {
                            CurrencyCode(currency): decode_wallet(currency, text)
                            for currency, text in sorted(wallets.items())
                        },
                        ids,
                        rounds,
                    )
                    for player, wallets, ids, rounds in found
                ],
                waiting,
            )

    async def _gather_players(
        self,
        kept: _Kept,
        partition: LedgerPartition,
        players: Sequence[Remembered],
        waiting: Mapping[PlayerId, Sequence[OutboxEntry]],
    ) -> None:
        known_wallets = await self._wallets([player.player_id for player in players])
        unknown = await self._unknown(
            [name for player in players for name in _not_in_outbox(player, waiting.get(player.player_id, ()))]
        )
        for player in players:
            own = waiting.get(player.player_id, ())
            records = lost_records(player, unknown[player.player_id])
            kept.remembered += records
            entries = [*own, *_entries(records).get(player.player_id, ())]
            for currency, wallet in player.wallets.items():
                before = known_wallets.get((player.player_id, currency))
                self._gather_wallet(kept, partition, player.player_id, wallet, before, entries)

    async def _unknown(self, names: Sequence[TransactionName]) -> dict[PlayerId, list[TransactionName]]:
        """Those that the ledger has not got, in their order."""
        unknown: dict[PlayerId, list[TransactionName]] = defaultdict(list)
        for start in range(0, len(names), _IDS_AT_ONCE):
            some = names[start : start + _IDS_AT_ONCE]
            known = await self._ledger.known(some)
            for name in some:
                if name not in known:
                    unknown[name[0]].append(name)
        return unknown

    def _gather_wallet(
        self,
        kept: _Kept,
        partition: LedgerPartition,
        player: PlayerId,
        wallet: WalletBalance,
        before: Row | None,
        entries: Sequence[OutboxEntry],
    ) -> None:
        epoch = partition.cursor.epoch
        if before is None:
            kept.openings.append(opening_record(player, wallet, epoch=epoch))
        if wallet.status != (WalletStatus.ACTIVE if before is None else before["wallet_status"]):
            kept.statuses.append(status_record(player, wallet, epoch=epoch))
        was = Buckets() if before is None else _balance(before)
        change = change_of(entries, wallet.currency)
        made = Buckets(
            was.cash + change.cash,
            was.bonus + change.bonus,
            was.held + change.held,
            was.receivable + change.receivable,
        )
        if made != wallet.buckets:
            kept.unlike.append(_unlike(partition, player, wallet, made))

    async def _wallets(self, players: Sequence[PlayerId]) -> dict[tuple[PlayerId, CurrencyCode], Row]:
        with translated_errors():
            rows = await self._connection.fetch(query("audit_wallets_of_players"), list(players))
        return {(row["player_id"], row["currency"]): row for row in rows}


def _not_in_outbox(player: Remembered, waiting: Iterable[OutboxEntry]) -> list[TransactionName]:
    in_outbox = {(entry.source, entry.transaction_id) for entry in waiting}
    return [name for name in names_of(player) if name[1:] not in in_outbox]


def _entries(records: Iterable[RawRecord]) -> dict[PlayerId, list[OutboxEntry]]:
    """By player. What cannot be read is kept all the same, for a person to look at."""
    entries: dict[PlayerId, list[OutboxEntry]] = defaultdict(list)
    for record in records:
        try:
            decoded = decode_record(record.stream_id, record.fields)
        except OutboxRecordMalformed:
            continue
        entries[decoded.player] += decoded.entries
    return entries


def _balance(row: Row) -> Buckets:
    return Buckets(*(int(row[f"{bucket}_after"]) for bucket in ("cash", "bonus", "held", "receivable")))


def _unlike(partition: LedgerPartition, player: PlayerId, wallet: WalletBalance, made: Buckets) -> Incident:
    return Incident(
        f"memory_lost {partition.partition} {player} {wallet.currency} {wallet.version}",
        IncidentKind.MEMORY_LOST,
        partition.partition,
        f"the {wallet.currency} wallet of player {player} had {_shown(wallet.buckets)} in the store; the "
        f"restored ledger and all that is known beside it make {_shown(made)}. Compare with its sources, and "
        "correct it.",
    )


def _shown(buckets: Buckets) -> str:
    return (
        f"cash {buckets.cash}, bonus {buckets.bonus}, held {buckets.held}, receivable {buckets.receivable} "
        "(minor units)"
    )
