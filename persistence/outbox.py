"""The outbox record: what the scripts append to a partition's stream and the drainer reads from it.

One record is one call's effect, so that what was applied all or nothing also reaches the ledger so. A record
is a stream entry with the fields ``format`` (1), ``time`` (booked time, Unix milliseconds), ``player`` and
one ``entry`` for each entry, in order. An entry is a text of ENTRY_FIELDS joined by US (0x1F), which no id
may contain; where its amount was converted, the conversion is one more field, and where it changed a slip,
that slip another one after it. Behind the entries notes may stand, fields whose names begin with ``note:``:
they are beside the books, and whoever does not know one leaves it unread. One is known, TRACE_NOTE, the W3C
traceparent of a call that is traced. The Lua side is
``lua/includes/outbox.lua``; both change together, under a new format number unless what is new is only added
where nothing of before could have been.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fx.conversions import Conversion
from persistence.errors import OutboxRecordMalformed
from persistence.slips import Slip
from persistence.transactions import (
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
    WalletStatus,
)

FORMAT = "1"

REVISION = 2
"""What may stand in a record that this version reads: 1, entries; 2, notes behind them."""

REVISION_OF_NOTES = 2

NOTE = "note:"
TRACE_NOTE = "note:trace"
_TRACE_NOTE = TRACE_NOTE.encode()

ENTRY_FIELDS = (
    "type",
    "operation",
    "source",
    "transaction_id",
    "kind",
    "fingerprint",
    "currency",
    "amount",
    "version",
    "cash_change",
    "bonus_change",
    "held_change",
    "receivable_change",
    "cash_after",
    "bonus_after",
    "held_after",
    "receivable_after",
    "wallet_version",
    "wallet_status",
    "credit_line",
    "game",
    "round",
    "reference",
    "outcome",
    "reason",
    "related",
    "late",
    "closes_round",
    "occurred_ms",
    "metadata",
)
"""Numbers are decimal texts; what does not apply is empty. ``wallet_version`` is the wallet's version when it
was decided (for applied entries the same as ``version``); ``version`` is empty for records without one."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One entry as the scripts wrote it.

    ``version`` is None for records that are no change of a wallet (refusals, tombstones, rollbacks that moved
    nothing). ``after`` is None where no wallet was looked at. ``related`` is the other transaction that made
    the outcome: of a tombstone the rollback, of a refusal the one that stands in the way.
    """

    type: EntryType
    operation: Operation | None
    source: SourceId
    transaction_id: TransactionId
    kind: TransactionKind | None
    fingerprint: str
    currency: CurrencyCode | None
    amount: int | None
    version: int | None
    change: Buckets
    after: Buckets | None
    wallet_version: int | None
    wallet_status: WalletStatus | None
    credit_line: int | None
    game: str
    round: str
    reference: str
    outcome: Outcome | None
    reason: str
    related: str
    late: bool
    closes_round: bool
    occurred_ms: int | None
    metadata: Mapping[str, str]
    conversion: Conversion | None = None
    slip: Slip | None = None


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """One call's effect: entries that were applied together."""

    position: OutboxPosition
    player: PlayerId
    booked_ms: int
    entries: tuple[OutboxEntry, ...]


def decode_record(stream_id: str, fields: Sequence[bytes]) -> OutboxRecord:
    """Reads a stream entry: its id, and its fields and values in turn.

    Raises OutboxRecordMalformed for anything that the scripts of this format do not write.
    """
    try:
        position = OutboxPosition.parse(stream_id)
        texts = [field.decode("utf-8") for field in fields]
        names, values = texts[0::2], texts[1::2]
        if names[:3] != ["format", "time", "player"] or values[0] != FORMAT or len(names) != len(values):
            raise ValueError("unknown format")
        count = len(names)
        while count > 3 and names[count - 1].startswith(NOTE):
            count -= 1
        if count < 4 or set(names[3:count]) != {"entry"}:
            raise ValueError("no entries")
        entries = tuple(_decode_entry(value) for value in values[3:count])
        return OutboxRecord(position, PlayerId(values[2]), int(values[1]), entries)
    except (ValueError, IndexError, TypeError) as error:
        raise OutboxRecordMalformed(stream_id, str(error)) from error


def trace_note(fields: Sequence[bytes]) -> str:
    """The traceparent that goes with a record, as it was told; "" where its call is not traced."""
    if len(fields) > 1 and fields[-2] == _TRACE_NOTE:
        return fields[-1].decode("ascii", errors="replace")
    return ""


def entry_texts(entry: OutboxEntry) -> list[str]:
    """The fields of an entry as the scripts wrote them: ENTRY_FIELDS, and what is there only sometimes."""
    after = entry.after
    afters = (after.cash, after.bonus, after.held, after.receivable) if after else ("",) * 4
    change = entry.change
    values = (
        entry.type,
        entry.operation,
        entry.source,
        entry.transaction_id,
        entry.kind,
        entry.fingerprint,
        entry.currency,
        entry.amount,
        entry.version,
        change.cash,
        change.bonus,
        change.held,
        change.receivable,
        *afters,
        entry.wallet_version,
        entry.wallet_status,
        entry.credit_line,
        entry.game,
        entry.round,
        entry.reference,
        entry.outcome,
        entry.reason,
        entry.related,
        "1" if entry.late else "",
        "1" if entry.closes_round else "",
        entry.occurred_ms,
        json.dumps(dict(entry.metadata), separators=(",", ":")) if entry.metadata else "",
    )
    texts = ["" if value is None else str(value) for value in values]
    if entry.conversion is not None or entry.slip is not None:
        texts.append("" if entry.conversion is None else str(entry.conversion))
    return texts if entry.slip is None else [*texts, str(entry.slip)]


def _decode_entry(text: str) -> OutboxEntry:
    parts = text.split(SEPARATOR)
    more = parts[len(ENTRY_FIELDS) :]
    if more and (len(more) > 2 or not more[-1]):
        raise ValueError(f"{len(more)} fields after those of every entry, the last one {more[-1]!r}")
    conversion, slip = (*more, "", "")[:2]
    parts = parts[: len(ENTRY_FIELDS)]
    if len(parts) != len(ENTRY_FIELDS):
        raise ValueError(f"{len(parts)} entry fields instead of {len(ENTRY_FIELDS)}")
    (
        type_,
        operation,
        source,
        transaction_id,
        kind,
        fingerprint,
        currency,
        amount,
        version,
        cash_change,
        bonus_change,
        held_change,
        receivable_change,
        cash_after,
        bonus_after,
        held_after,
        receivable_after,
        wallet_version,
        wallet_status,
        credit_line,
        game,
        round_,
        reference,
        outcome,
        reason,
        related,
        late,
        closes_round,
        occurred_ms,
        metadata,
    ) = parts
    return OutboxEntry(
        type=EntryType(type_),
        operation=Operation(operation) if operation else None,
        source=SourceId(source),
        transaction_id=TransactionId(transaction_id),
        kind=TransactionKind(kind) if kind else None,
        fingerprint=fingerprint,
        currency=CurrencyCode(currency) if currency else None,
        amount=_number(amount),
        version=_number(version),
        change=Buckets(int(cash_change), int(bonus_change), int(held_change), int(receivable_change)),
        after=Buckets(int(cash_after), int(bonus_after), int(held_after), int(receivable_after))
        if cash_after
        else None,
        wallet_version=_number(wallet_version),
        wallet_status=WalletStatus(wallet_status) if wallet_status else None,
        credit_line=_number(credit_line),
        game=game,
        round=round_,
        reference=reference,
        outcome=Outcome(outcome) if outcome else None,
        reason=reason,
        related=related,
        late=late == "1",
        closes_round=closes_round == "1",
        occurred_ms=_number(occurred_ms),
        metadata=json.loads(metadata) if metadata else {},
        conversion=Conversion.parse(conversion) if conversion else None,
        slip=Slip.parse(slip) if slip else None,
    )


def _number(text: str) -> int | None:
    return int(text) if text else None
