"""Entries and postings as lines of COPY's text format.

Text rather than binary: the outbox holds texts, so that most columns pass through unconverted and Postgres
parses numbers itself.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from persistence.chart_of_accounts import Leg
from persistence.hash_chain import ChainedEntry, canonical_metadata
from persistence.transactions import EntryId

ENTRY_COLUMNS = (
    "partition",
    "epoch",
    "sequence",
    "entry_index",
    "chain_position",
    "entry_type",
    "operation",
    "player_id",
    "source_id",
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
    "game_id",
    "round_id",
    "reference_transaction_id",
    "outcome",
    "refusal_reason",
    "related_transaction_id",
    "late",
    "closes_round",
    "occurred_time",
    "booked_time",
    "metadata",
    "previous_hash",
    "hash",
    "conversion",
    "slip",
    "metadata_salt",
    "metadata_digest",
)
POSTING_COLUMNS = (
    "partition",
    "epoch",
    "sequence",
    "entry_index",
    "posting_index",
    "account_id",
    "currency",
    "amount",
)

_NULL = "\\N"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def entry_line(chained: ChainedEntry, *, previous_hash: bytes, hash_: bytes) -> str:
    """One row of ENTRY_COLUMNS."""
    entry_id, entry, seal = chained.entry_id, chained.entry, chained.seal
    change, after = entry.change, entry.after
    afters = (after.cash, after.bonus, after.held, after.receivable) if after else (None, None, None, None)
    return "\t".join(
        (
            f"{entry_id.partition}\t{entry_id.position.epoch}\t{entry_id.position.sequence}\t{entry_id.index}",
            str(chained.chain_position),
            entry.type,
            entry.operation or _NULL,
            _text(chained.player),
            _text(entry.source),
            _text(entry.transaction_id),
            entry.kind or _NULL,
            _text(entry.fingerprint),
            _text(entry.currency) if entry.currency else _NULL,
            _number(entry.amount),
            _number(entry.version),
            f"{change.cash}\t{change.bonus}\t{change.held}\t{change.receivable}",
            *map(_number, afters),
            _number(entry.wallet_version),
            entry.wallet_status or _NULL,
            _number(entry.credit_line),
            _text(entry.game) if entry.game else _NULL,
            _text(entry.round) if entry.round else _NULL,
            _text(entry.reference) if entry.reference else _NULL,
            entry.outcome or _NULL,
            _text(entry.reason) if entry.reason else _NULL,
            _text(entry.related) if entry.related else _NULL,
            "t" if entry.late else "f",
            "t" if entry.closes_round else "f",
            _NULL if entry.occurred_ms is None else timestamp(entry.occurred_ms),
            timestamp(chained.booked_ms),
            _text(canonical_metadata(entry.metadata)),
            _bytes(previous_hash),
            _bytes(hash_),
            _text(str(entry.conversion)) if entry.conversion else _NULL,
            _text(str(entry.slip)) if entry.slip else _NULL,
            _bytes(seal.salt) if seal else _NULL,
            _bytes(seal.digest) if seal else _NULL,
        )
    )


def posting_lines(entry_id: EntryId, legs: Iterable[Leg], account_ids: Sequence[int]) -> list[str]:
    """Rows of POSTING_COLUMNS, one for each leg."""
    place = f"{entry_id.partition}\t{entry_id.position.epoch}\t{entry_id.position.sequence}\t{entry_id.index}"
    return [
        f"{place}\t{index}\t{account_id}\t{_text(leg.account.currency)}\t{leg.amount}"
        for index, (leg, account_id) in enumerate(zip(legs, account_ids, strict=True))
    ]


def timestamp(unix_ms: int) -> str:
    """A moment as Postgres reads it."""
    return (_EPOCH + timedelta(milliseconds=unix_ms)).isoformat()


def _number(number: int | None) -> str:
    return _NULL if number is None else str(number)


def _bytes(binary: bytes | None) -> str:
    return _NULL if binary is None else f"\\\\x{binary.hex()}"


def _text(text: str) -> str:
    return text.translate(_ESCAPES) if "\\" in text or not text.isprintable() else text
