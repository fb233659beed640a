"""What the store should remember of a player, told by the ledger: ids and rounds, in the scripts' own texts.

The scripts change an id's record and a round step by step; folding a player's entries in the order of their
chain makes the same changes again, and leaves the same texts to the letter. The other side are the includes
``transactions``, ``rounds`` and ``settlements`` of ``lua/``, and ``persistence/valkey/records.py``. Ids and
rounds are named by their fields in the player's hashes: source US id, and source US game US round.

A text is complete if all entries are folded that changed it: its own, those that refer to it, those that
refer to them, and all of its round. So whoever folds a part of a player's entries takes one that nothing
joins to the rest: whatever an entry ``touches`` is folded whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fx.conversions import Conversion
from persistence.slips import slip_id_of
from persistence.transactions import (
    SEPARATOR,
    TAKES,
    EntryType,
    Operation,
    OutboxPosition,
    PlayerId,
    TransactionKind,
)
from persistence.valkey.records import TRANSACTION_FIELDS, encode_round, encode_transaction

_SETTLES = frozenset((TransactionKind.WIN, TransactionKind.REFUND))
_REFERENCE, _GAME, _ROUND = (TRANSACTION_FIELDS.index(name) for name in ("reference", "game", "round"))


@dataclass(frozen=True, slots=True)
class PlayerMemory:
    """All that the store should remember of a player, as texts by the fields of its hashes.

    ``cursor`` is how far the player's partition was drained when this was read. ``older`` has the fields of
    ids and rounds that the ledger knows beside these, and maybe some that it only names; None where they are
    too many to list.
    """

    player_id: PlayerId
    cursor: OutboxPosition
    wallets: Mapping[str, str]
    ids: Mapping[str, str]
    rounds: Mapping[str, str]
    older: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Question:
    """Fields of ids and rounds that the store does not have."""

    player_id: PlayerId
    ids: tuple[str, ...]
    rounds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recollection:
    """What the ledger has of a question's fields, and of all that these refer to.

    What was asked for and is missing here is certainly absent from a ledger drained up to ``cursor``.
    """

    cursor: OutboxPosition
    ids: Mapping[str, str]
    rounds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of ids and of rounds."""

    ids: tuple[str, ...] = ()
    rounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """What the store remembers of ids and of rounds."""

    ids: Mapping[str, str]
    rounds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """An entry of the ledger, as far as the store's memory depends on it.

    Numbers are decimal texts, and what does not apply is empty, as in an outbox entry. ``position`` is epoch,
    sequence and index. The balances are the wallet's afterwards.
    """

    chain_position: int
    type: EntryType
    position: str
    booked_ms: str
    source: str
    transaction_id: str
    operation: str = ""
    kind: str = ""
    fingerprint: str = ""
    currency: str = ""
    amount: str = ""
    cash_change: str = "0"
    bonus_change: str = "0"
    held_change: str = "0"
    receivable_change: str = "0"
    wallet_version: str = ""
    wallet_status: str = ""
    cash: str = ""
    bonus: str = ""
    held: str = ""
    receivable: str = ""
    game: str = ""
    round: str = ""
    reference: str = ""
    outcome: str = ""
    reason: str = ""
    related: str = ""
    late: bool = False
    closes_round: bool = False
    conversion: str = ""
    slip: str = ""

    @property
    def id_field(self) -> str:
        return f"{self.source}{SEPARATOR}{self.transaction_id}"

    def touches(self) -> Fields:
        """The ids and rounds that the entry names. A change of a wallet alone names none."""
        if self.type in {EntryType.WALLET_OPENED, EntryType.STATUS_CHANGED}:
            return Fields()
        return touched(
            self.source, self.transaction_id, reference=self.reference, game=self.game, round_=self.round
        )


def touched(source: str, transaction_id: str, *, reference: str, game: str, round_: str) -> Fields:
    """The fields of a transaction and of what it names."""
    ids = (f"{source}{SEPARATOR}{name}" for name in (transaction_id, reference) if name)
    return Fields(tuple(ids), (_round_field(source, game, round_),) if round_ else ())


def fold(entries: Iterable[KnownEntry]) -> Texts:
    """What the scripts left after these entries of one player, which are in the order of their chain."""
    folding = _Folding()
    for entry in entries:
        folding.add(entry)
    return Texts(
        {name: encode_transaction(record) for name, record in folding.records.items()},
        {name: round_.text() for name, round_ in folding.rounds.items()},
    )


def recollect(wanted: Fields, texts: Texts) -> Texts:
    """Those of the texts that are wanted, and all that these refer to."""
    ids, rounds = dict[str, str](), dict[str, str]()
    waiting, waiting_rounds = list(wanted.ids), list(wanted.rounds)
    while waiting:
        name = waiting.pop()
        text = texts.ids.get(name)
        if text is None or name in ids:
            continue
        ids[name] = text
        parts, (source, _, transaction_id) = text.split(SEPARATOR), name.partition(SEPARATOR)
        named = touched(
            source, transaction_id, reference=parts[_REFERENCE], game=parts[_GAME], round_=parts[_ROUND]
        )
        waiting += named.ids
        waiting_rounds += named.rounds
    for name in waiting_rounds:
        if (text := texts.rounds.get(name)) is not None:
            rounds[name] = text
    return Texts(ids, rounds)


def _round_field(source: str, game: str, round_: str) -> str:
    return SEPARATOR.join((source, game, round_))


_Record = dict[str, str]
"""What is remembered under an id: TRANSACTION_FIELDS, those that are empty may be missing."""


@dataclass(slots=True)
class _Round:
    state: str = "open"
    bets: int = 0
    live_bets: int = 0
    wins: int = 0
    unattributed_wins: int = 0
    used_ms: str = ""
    locks: dict[tuple[str, str], str] = field(default_factory=dict)
    """The first one of each pair of currencies."""
    closed_ms: str = ""

    def text(self) -> str:
        counts = (self.bets, self.live_bets, self.wins, self.unattributed_wins)
        return encode_round(
            self.state, counts, self.used_ms, tuple(self.locks.values()), closed_ms=self.closed_ms
        )

    def close(self, closed_ms: str) -> None:
        if self.state == "open":
            self.state, self.closed_ms = "closed", closed_ms

    def lock_rate(self, conversion: Conversion) -> None:
        lock = conversion.lock
        self.locks.setdefault((lock.currency, lock.wallet_currency), str(lock))


@dataclass(slots=True)
class _Folding:
    """The player's ids and rounds, as the entries so far have left them."""

    records: dict[str, _Record] = field(default_factory=dict)
    rounds: dict[str, _Round] = field(default_factory=dict)

    def add(self, entry: KnownEntry) -> None:
        match entry.type:
            case EntryType.APPLIED:
                self._apply(entry)
            case EntryType.REFUSED | EntryType.TOMBSTONE:
                self._remember(entry, wins=self._awaited_wins(entry))
            case EntryType.NO_MOVEMENT:
                self._remember(entry)
            case EntryType.ROUND_CLOSED:
                self._remember(entry)
                self._close_round(entry)
            case EntryType.WALLET_OPENED | EntryType.STATUS_CHANGED:
                pass

    def _apply(self, entry: KnownEntry) -> None:
        is_debit = entry.operation == Operation.DEBIT
        takes = entry.operation in TAKES
        record = self._remember(entry, wins=self._awaited_wins(entry) if takes else "")
        if entry.slip:
            self._change_slip(entry, record)
        if entry.operation == Operation.ROLLBACK:
            self._undo(entry)
            return
        if is_debit and entry.kind == TransactionKind.BET and entry.round:
            self._count_bet(entry)
        elif _settles(record):
            self._count_settlement(record, entry, by=1)
        if entry.closes_round and entry.round:
            self._close_round(entry)

    def _remember(self, entry: KnownEntry, *, wins: str = "") -> _Record:
        """Puts the entry under its id. Only what was applied remembers changes, be they zero."""
        record = {
            "state": str(entry.type),
            "fingerprint": entry.fingerprint,
            "operation": entry.operation,
            "kind": entry.kind,
            "position": entry.position,
            "booked_ms": entry.booked_ms,
            "currency": entry.currency,
            "amount": entry.amount,
            "version": entry.wallet_version,
            "status": entry.wallet_status,
            "cash": entry.cash,
            "bonus": entry.bonus,
            "held": entry.held,
            "receivable": entry.receivable,
            "game": entry.game,
            "round": entry.round,
            "reference": entry.reference,
            "outcome": entry.outcome,
            "reason": entry.reason,
            "related": entry.related,
            "late": "1" if entry.late else "",
            "wins": wins,
            "conversion": entry.conversion,
        }
        if entry.type is EntryType.APPLIED:
            record |= {
                "cash_change": entry.cash_change,
                "bonus_change": entry.bonus_change,
                "held_change": entry.held_change,
                "receivable_change": entry.receivable_change,
            }
        self.records[entry.id_field] = record
        return record

    def _awaited_wins(self, entry: KnownEntry) -> str:
        """How many wins stand that came before the bet."""
        awaited = self.records.get(entry.id_field)
        return awaited.get("wins", "") if awaited else ""

    def _count_bet(self, bet: KnownEntry) -> None:
        round_ = self._use_round(bet.game, bet.round, bet)
        round_.bets += 1
        round_.live_bets += 1
        if bet.conversion:
            round_.lock_rate(Conversion.parse(bet.conversion))

    def _undo(self, rollback: KnownEntry) -> None:
        original = self.records.get(f"{rollback.source}{SEPARATOR}{rollback.reference}")
        if original is None or original["state"] != "applied":
            return
        original["state"], original["related"] = "rolled_back", rollback.transaction_id
        if original["operation"] == Operation.ROLLBACK:
            redone = self.records[f"{rollback.source}{SEPARATOR}{original['reference']}"]
            redone["state"], redone["related"] = "applied", ""
        if original["kind"] == TransactionKind.BET and original["round"]:
            self._use_round(original["game"], original["round"], rollback).live_bets -= 1
        elif _settles(original):
            self._count_settlement(original, rollback, by=-1)

    def _change_slip(self, entry: KnownEntry, record: _Record) -> None:
        """What opened a slip remembers it as it is, what changed it as it was before."""
        opener = self.records[f"{entry.source}{SEPARATOR}{slip_id_of(entry.slip)}"]
        record["slip"] = opener.get("slip", entry.slip)
        opener["slip"] = entry.slip

    def _count_settlement(self, credit: _Record, cause: KnownEntry, *, by: int) -> None:
        """Counts a win or refund for its bet and in its round: by 1, or by -1 for its rollback.

        The round is the one that the credit names, or its bet's as it is now. So of a win that came before
        its bet only the rollback counts in the bet's round.
        """
        bet_field = f"{cause.source}{SEPARATOR}{credit['reference']}" if credit["reference"] else ""
        named = credit if credit["round"] else self.records.get(bet_field, {})
        if bet_field:
            self._count_win(bet_field, cause, by=by)
        if named.get("round"):
            round_ = self._use_round(named["game"], named["round"], cause)
            round_.wins += by
            round_.unattributed_wins += 0 if bet_field else by

    def _count_win(self, bet_field: str, cause: KnownEntry, *, by: int) -> None:
        bet = self.records.setdefault(bet_field, {"state": "awaited"})
        bet["wins"] = str(int(bet.get("wins") or 0) + by)
        if bet["state"] == "awaited":
            bet["booked_ms"] = cause.booked_ms

    def _close_round(self, entry: KnownEntry) -> None:
        self._use_round(entry.game, entry.round, entry).close(entry.booked_ms)

    def _use_round(self, game: str, round_: str, cause: KnownEntry) -> _Round:
        used = self.rounds.setdefault(_round_field(cause.source, game, round_), _Round())
        used.used_ms = cause.booked_ms
        return used


def _settles(record: _Record) -> bool:
    return record["operation"] == Operation.CREDIT and record["kind"] in _SETTLES
