"""Late duplicates: transactions whose id the ledger had already when they were drained.

While the ledger is away the hot path may take an id as new that the store does not remember any more. What it
did then has been answered, and all versions after it count on it: so it is recorded, but under an id of the
service's own, an incident tells people, and what it moved is owed back.

    duplicate-<entry id>   what was booked a second time, with everything as it was but its name
    reversal-<entry id>    what undoes it; a row of ledger.repairs until the engine has booked it

Both are of the service's own source, and booked against the accounts of the source that had asked: its name
is in their metadata (chart_of_accounts.BOOKED_AGAINST).
"""

from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

from persistence.chart_of_accounts import BOOKED_AGAINST
from persistence.outbox import OutboxEntry, OutboxRecord
from persistence.transactions import (
    OPERATOR_SOURCE,
    Buckets,
    EntryId,
    EntryType,
    Operation,
    Outcome,
    PlayerId,
    TransactionId,
)

_FINGERPRINT_BYTES = 16
_FINGERPRINT_CHARACTERS = 22  # base64 without its padding


@dataclass(frozen=True, slots=True)
class FirstBooking:
    """Where a transaction's id stands in the ledger, and the fingerprint that it has there."""

    entry_id: EntryId
    fingerprint: str


@dataclass(frozen=True, slots=True)
class LateDuplicate:
    """A second booking: ``entry`` as the outbox has it, and ``first`` under the same id."""

    player: PlayerId
    entry_id: EntryId
    entry: OutboxEntry
    first: FirstBooking

    @property
    def displaced(self) -> OutboxEntry:
        """The entry as it is recorded."""
        return replace(
            self.entry,
            source=OPERATOR_SOURCE,
            transaction_id=TransactionId(f"duplicate-{self.entry_id}"),
            related=self.entry.transaction_id,
            metadata={**self.entry.metadata, BOOKED_AGAINST: self._source},
        )

    @property
    def reversal(self) -> OutboxEntry | None:
        """The exact inverse; None where nothing moved. What the wallet becomes is not known yet."""
        entry = self.entry
        if entry.change == Buckets():
            return None
        return OutboxEntry(
            type=EntryType.APPLIED,
            operation=Operation.ROLLBACK,
            source=OPERATOR_SOURCE,
            transaction_id=self.reversal_id,
            kind=entry.kind,
            fingerprint=_fingerprint(self.reversal_id),
            currency=entry.currency,
            amount=entry.amount,
            version=None,
            change=Buckets(
                -entry.change.cash, -entry.change.bonus, -entry.change.held, -entry.change.receivable
            ),
            after=None,
            wallet_version=None,
            wallet_status=None,
            credit_line=None,
            game=entry.game,
            round=entry.round,
            reference=self.displaced.transaction_id,
            outcome=Outcome.APPLIED,
            reason="",
            related="",
            late=False,
            closes_round=False,
            occurred_ms=None,
            metadata={BOOKED_AGAINST: self._source},
            conversion=entry.conversion,
        )

    @property
    def reversal_id(self) -> TransactionId:
        return TransactionId(f"reversal-{self.entry_id}")

    @property
    def description(self) -> str:
        """What a person must know."""
        entry = self.entry
        payload = "the same" if entry.fingerprint == self.first.fingerprint else "another"
        return (
            f"transaction {entry.transaction_id} of source {entry.source}, recorded for player {self.player} "
            f"as entry {self.first.entry_id}, was decided once more with {payload} payload, as entry "
            f"{self.entry_id}: {entry.type}, {self._effect}"
        )

    @property
    def _effect(self) -> str:
        change = self.entry.change
        if change == Buckets():
            return "which moved nothing"
        return (
            f"which changed {self.entry.currency} cash by {change.cash}, bonus by {change.bonus}, held by "
            f"{change.held}, receivable by {change.receivable} minor units; {self.reversal_id} undoes that"
        )

    @property
    def _source(self) -> str:
        return self.entry.metadata.get(BOOKED_AGAINST, self.entry.source)


def late_duplicates_of(
    record: OutboxRecord, partition: int, firsts: Mapping[EntryId, FirstBooking]
) -> dict[int, LateDuplicate]:
    """A record's entries that were booked before, by their index."""
    found: dict[int, LateDuplicate] = {}
    if not firsts:
        return found
    for index, entry in enumerate(record.entries):
        entry_id = EntryId(partition, record.position, index)
        if entry_id in firsts:
            found[index] = LateDuplicate(record.player, entry_id, entry, firsts[entry_id])
    return found


def _fingerprint(text: str) -> str:
    digest = blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()
    return b2a_base64(digest, newline=False).decode()[:_FINGERPRINT_CHARACTERS]
