"""What a store still knows of transactions that its ledger lost: the ledger was restored from a backup, and
the outbox had been cut off behind what the newer ledger had.

The memory of ids has nearly all of an entry: who, what, how much, which round, what it undid. It has not its
metadata, when the caller says that it occurred, and what was forgotten because nobody had used it for the
window. Pure: nothing is read or written here.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from fx.conversions import Conversion
from persistence.drain_batch import RawRecord
from persistence.outbox import FORMAT, OutboxEntry, entry_texts
from persistence.slips import Slip, slip_id_of
from persistence.transactions import (
    OPERATOR_SOURCE,
    SEPARATOR,
    Buckets,
    CurrencyCode,
    EntryType,
    Operation,
    OutboxPosition,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletBalance,
    WalletStatus,
)
from persistence.valkey.records import TRANSACTION_FIELDS, transaction_fields

_ROLLED_BACK = "rolled_back"
_NOT_YET_SEEN = "awaited"
_CLOSED_ROUND_FIELDS = 8
_NOWHERE = 2**62
"""Openings and statuses of wallets are known without the place of their records: they get one beyond all,
each its own, whatever else is kept: when the repair is said again, it is there, and nothing else is.
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A player as the store has them: wallets, and the texts of ids and rounds by their fields."""

    player_id: PlayerId
    wallets: Mapping[CurrencyCode, WalletBalance]
    ids: Mapping[str, str]
    rounds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Lost:
    position: OutboxPosition
    index: int
    booked_ms: int
    entry: OutboxEntry
    slip_text: str


def names_of(player: Remembered) -> list[tuple[PlayerId, SourceId, TransactionId]]:
    """The ids that took effect, or were refused for good."""
    names = []
    for field, text in player.ids.items():
        if text.partition(SEPARATOR)[0] != _NOT_YET_SEEN:
            source, transaction = field.split(SEPARATOR)
            names.append((player.player_id, SourceId(source), TransactionId(transaction)))
    return names


def lost_records(
    player: Remembered, lost: Collection[tuple[PlayerId, SourceId, TransactionId]]
) -> list[RawRecord]:
    """Records as they may have stood in the outbox, in their order, of the ids that the ledger lost."""
    entries = [
        _entry_of(source, transaction, player.ids[source + SEPARATOR + transaction])
        for name, source, transaction in lost
        if name == player.player_id
    ]
    entries.sort(key=lambda found: (found.position, found.index))
    entries = _with_closed_rounds(_with_slips(player, entries), player.rounds)
    records: dict[OutboxPosition, list[_Lost]] = defaultdict(list)
    for found in entries:
        records[found.position].append(found)
    return [
        _raw(position, player.player_id, found[0].booked_ms, [one.entry for one in found])
        for position, found in records.items()
    ]


def opening_record(player: PlayerId, wallet: WalletBalance, *, epoch: int) -> RawRecord:
    """A wallet that the ledger does not know."""
    entry = _wallet_entry(EntryType.WALLET_OPENED, f"open-{wallet.currency}", wallet)
    return _raw(_place_of_its_own(epoch, player, entry), player, 0, [entry])


def status_record(player: PlayerId, wallet: WalletBalance, *, epoch: int) -> RawRecord:
    """A wallet that has another status than the ledger knows."""
    entry = _wallet_entry(EntryType.STATUS_CHANGED, f"status-{wallet.currency}-{wallet.version}", wallet)
    return _raw(_place_of_its_own(epoch, player, entry), player, 0, [entry])


def change_of(entries: Iterable[OutboxEntry], currency: CurrencyCode) -> Buckets:
    """What entries make of a wallet altogether."""
    applied = [e.change for e in entries if e.type is EntryType.APPLIED and e.currency == currency]
    return Buckets(
        sum(change.cash for change in applied),
        sum(change.bonus for change in applied),
        sum(change.held for change in applied),
        sum(change.receivable for change in applied),
    )


def _entry_of(source: SourceId, transaction: TransactionId, text: str) -> _Lost:
    known = transaction_fields(text)
    epoch, sequence, index = map(int, known["position"].split("-"))
    is_rolled_back = known["state"] == _ROLLED_BACK
    entry = OutboxEntry(
        type=EntryType.APPLIED if is_rolled_back else EntryType(known["state"]),
        operation=Operation(known["operation"]) if known["operation"] else None,
        source=source,
        transaction_id=transaction,
        kind=TransactionKind(known["kind"]) if known["kind"] else None,
        fingerprint=known["fingerprint"],
        currency=CurrencyCode(known["currency"]) if known["currency"] else None,
        amount=_number(known["amount"]),
        version=None,
        change=Buckets(
            *(int(known[f"{bucket}_change"] or 0) for bucket in ("cash", "bonus", "held", "receivable"))
        ),
        after=None,
        wallet_version=None,
        wallet_status=None,
        credit_line=None,
        game=known["game"],
        round=known["round"],
        reference=known["reference"],
        outcome=Outcome(known["outcome"]) if known["outcome"] else None,
        reason=known["reason"],
        # Of what was rolled back since, it names the rollback, which says so itself.
        related="" if is_rolled_back else known["related"],
        late=known["late"] == "1",
        closes_round=False,
        occurred_ms=None,
        metadata={},
        conversion=Conversion.parse(known["conversion"]) if known["conversion"] else None,
    )
    return _Lost(OutboxPosition(epoch, sequence), index, int(known["booked_ms"]), entry, known["slip"])


def _with_slips(player: Remembered, lost: Sequence[_Lost]) -> list[_Lost]:
    """With the slip that each left behind. What opened a slip remembers it as it is now, every other one as
    it was before: so one's slip afterwards is what the next one found.
    """
    after: dict[tuple[SourceId, TransactionId], str] = {}
    changes: dict[tuple[str, str], list[tuple[OutboxPosition, int, str, str]]] = defaultdict(list)
    for field, text in player.ids.items():
        known = transaction_fields(text)
        if known["slip"]:
            source, transaction = field.split(SEPARATOR)
            epoch, sequence, index = map(int, known["position"].split("-"))
            opener = slip_id_of(known["slip"])
            changes[source, opener].append(
                (OutboxPosition(epoch, sequence), index, transaction, known["slip"])
            )
    for (source, opened_by), found in changes.items():
        found.sort()
        newest = transaction_fields(player.ids.get(source + SEPARATOR + opened_by, "")).get("slip", "")
        for number, (_, _, transaction, _) in enumerate(found):
            left = found[number + 1][3] if number + 1 < len(found) else newest
            after[SourceId(source), TransactionId(transaction)] = left
    return [
        replace(one, entry=replace(one.entry, slip=Slip.parse(text)))
        if (text := after.get((one.entry.source, one.entry.transaction_id), ""))
        else one
        for one in lost
    ]


def _with_closed_rounds(lost: Sequence[_Lost], rounds: Mapping[str, str]) -> list[_Lost]:
    """Rounds remember when they were closed: what was booked then, and was not too late, has closed them."""
    closing: dict[str, int] = {}
    for number, one in enumerate(lost):
        entry = one.entry
        text = rounds.get(SEPARATOR.join((entry.source, entry.game, entry.round)), "") if entry.round else ""
        may_close = entry.type in (EntryType.APPLIED, EntryType.ROUND_CLOSED) and not entry.late
        if may_close and text and _closed_ms(text) == one.booked_ms:
            closing[entry.source + SEPARATOR + entry.game + SEPARATOR + entry.round] = number
    closers = set(closing.values())
    return [
        replace(one, entry=replace(one.entry, closes_round=True)) if number in closers else one
        for number, one in enumerate(lost)
    ]


def _closed_ms(round_text: str) -> int | None:
    """Of a round as ``encode_round`` writes it; None for one that is open."""
    state, *_, closed_ms = (fields := round_text.split(SEPARATOR))
    return int(closed_ms) if state == "closed" and len(fields) == _CLOSED_ROUND_FIELDS else None


def _wallet_entry(type_: EntryType, transaction_id: str, wallet: WalletBalance) -> OutboxEntry:
    fields = dict.fromkeys(TRANSACTION_FIELDS, "")
    fields |= {"state": type_, "position": "0-0-0", "booked_ms": "0", "currency": wallet.currency}
    text = SEPARATOR.join(fields[name] for name in TRANSACTION_FIELDS)
    entry = _entry_of(OPERATOR_SOURCE, TransactionId(transaction_id), text).entry
    return replace(entry, wallet_status=WalletStatus(wallet.status), credit_line=wallet.credit_line)


def _raw(
    position: OutboxPosition, player: PlayerId, booked_ms: int, entries: Sequence[OutboxEntry]
) -> RawRecord:
    fields = ["format", FORMAT, "time", str(booked_ms), "player", player]
    for entry in entries:
        fields += ["entry", SEPARATOR.join(entry_texts(entry))]
    return RawRecord(str(position), [field.encode() for field in fields])


def _place_of_its_own(epoch: int, player: PlayerId, entry: OutboxEntry) -> OutboxPosition:
    name = SEPARATOR.join((player, entry.transaction_id)).encode()
    number = int.from_bytes(blake2b(name, digest_size=8).digest(), "big") % _NOWHERE
    return OutboxPosition(epoch, _NOWHERE + number)


def _number(text: str) -> int | None:
    return int(text) if text else None
