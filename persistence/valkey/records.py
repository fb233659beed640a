"""Reads and writes what the scripts store: the other side of the includes ``wallets``, ``transactions`` and
``rounds`` of ``lua/``.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from fx.conversions import Conversion
from persistence.calls import RoundRecord, TransactionRecord, TransactionState
from persistence.slips import Slip
from persistence.transactions import (
    SEPARATOR,
    Buckets,
    CurrencyCode,
    Operation,
    Outcome,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletBalance,
    WalletStatus,
)

TRANSACTION_FIELDS = (
    "state",
    "fingerprint",
    "operation",
    "kind",
    "position",
    "booked_ms",
    "currency",
    "amount",
    "cash_change",
    "bonus_change",
    "held_change",
    "receivable_change",
    "version",
    "status",
    "cash",
    "bonus",
    "held",
    "receivable",
    "game",
    "round",
    "reference",
    "outcome",
    "reason",
    "related",
    "late",
    "wins",
    "conversion",
    "slip",
)
"""The last two are there only where one of them is not empty, the last one only where it is not."""


def decode_wallet(currency: str, text: str) -> WalletBalance:
    """Reads a wallet's text: version, status, cash, bonus, held, receivable, credit line, booked time."""
    version, status, cash, bonus, held, receivable, credit_line, *_ = text.split(SEPARATOR)
    return WalletBalance(
        CurrencyCode(currency),
        int(version),
        WalletStatus(status),
        Buckets(int(cash), int(bonus), int(held), int(receivable)),
        int(credit_line),
    )


def decode_transaction(
    transaction_id: TransactionId, text: str, partition: int, wallets: dict[str, WalletBalance]
) -> TransactionRecord:
    """Reads a transaction's text. An id that is only awaited by a win counts as not seen."""
    record = transaction_fields(text)
    if not text or record["state"] == "awaited":
        return TransactionRecord(TransactionState.NOT_SEEN, transaction_id)
    now = wallets.get(record["currency"])
    return TransactionRecord(
        state=TransactionState(record["state"]),
        transaction_id=transaction_id,
        operation=Operation(record["operation"]) if record["operation"] else None,
        kind=TransactionKind(record["kind"]) if record["kind"] else None,
        entry_id=f"{partition}-{record['position']}",
        booked_ms=int(record["booked_ms"]),
        currency=CurrencyCode(record["currency"]) if record["currency"] else None,
        amount=int(record["amount"]) if record["amount"] else None,
        receivable_change=int(record["receivable_change"] or 0),
        balance=_balance(record, now),
        balance_now=now,
        game=record["game"],
        round=record["round"],
        reference=record["reference"],
        outcome=Outcome(record["outcome"]) if record["outcome"] else None,
        reason=record["reason"],
        related=record["related"],
        late=record["late"] == "1",
        conversion=Conversion.parse(record["conversion"]) if record["conversion"] else None,
        slip=Slip.parse(record["slip"]) if record["slip"] else None,
    )


def transaction_fields(text: str) -> dict[str, str]:
    """A transaction's text, by the names in TRANSACTION_FIELDS."""
    return dict(zip_longest(TRANSACTION_FIELDS, text.split(SEPARATOR), fillvalue=""))


def encode_transaction(record: Mapping[str, str]) -> str:
    """A transaction's text, of TRANSACTION_FIELDS. What is missing is empty."""
    *usual, conversion, slip = [record.get(name, "") for name in TRANSACTION_FIELDS]
    return _join(usual, conversion, slip)


def encode_round(
    state: str, counts: Sequence[int], used_ms: str, locks: Sequence[str] = (), closed_ms: str = ""
) -> str:
    """A round's text. The counts are of bets, live bets, wins and unattributed wins."""
    last = ";".join(locks)
    if closed_ms:
        last += SEPARATOR + closed_ms
    return _join((state, *map(str, counts), used_ms), last)


def decode_round(field: str, text: str) -> RoundRecord:
    """Reads a round's field and text. What closed a round long ago may not have left its time."""
    source, game, round_ = field.split(SEPARATOR)
    state, bets, live_bets, wins, unattributed_wins, used_ms, *rest = text.split(SEPARATOR)
    return RoundRecord(
        SourceId(source),
        game,
        round_,
        is_closed=state == "closed",
        bets=int(bets),
        live_bets=int(live_bets),
        wins=int(wins),
        unattributed_wins=int(unattributed_wins),
        used_ms=int(used_ms),
        closed_ms=int(rest[1]) if len(rest) > 1 else None,
    )


def _join(fields: Sequence[str], next_to_last: str, last: str = "") -> str:
    """As ``join_all`` in ``lua/includes/text.lua``."""
    if last:
        return SEPARATOR.join((*fields, next_to_last, last))
    return SEPARATOR.join((*fields, next_to_last) if next_to_last else fields)


def _balance(record: dict[str, str], now: WalletBalance | None) -> WalletBalance | None:
    if not record["version"] or now is None:
        return None
    return WalletBalance(
        CurrencyCode(record["currency"]),
        int(record["version"]),
        WalletStatus(record["status"]),
        Buckets(*(int(record[bucket]) for bucket in ("cash", "bonus", "held", "receivable"))),
        now.credit_line,
    )
