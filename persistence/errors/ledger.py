"""Ends of the command line and of the drainer: no call raises them."""

from persistence.errors.roots import StakeholdError


class SetupRefused(StakeholdError):
    """The service must not start like this. The message says what to change."""


class StoreUnsafe(SetupRefused):
    """The store's settings cannot keep an acknowledged write."""


class LedgerBroken(StakeholdError):
    """The drain of a partition cannot go on: the record is quarantined and the partition stops."""


class OutboxRecordMalformed(LedgerBroken):
    """An outbox record is not of a format that this version reads."""

    def __init__(self, stream_id: str, problem: str) -> None:
        super().__init__(f"outbox record {stream_id} cannot be read: {problem}")


class OutboxGap(LedgerBroken):
    """The outbox does not continue where the cursor stands: records are missing."""


class HistoryForked(LedgerBroken):
    """The record is of a store that had been given up when it was written: it is none of the partition's."""


class VersionGap(LedgerBroken):
    """A wallet's version does not follow the one in the ledger."""


class EntryRefused(LedgerBroken):
    """The database's own rules refuse an entry or its postings: an id used twice, a number too large."""


class TransactionIdTaken(EntryRefused):
    """The ledger has an entry under this transaction id already."""


class DriftDetected(LedgerBroken):
    """A wallet's balance in the outbox is not what the ledger's postings sum to."""


class CursorMoved(LedgerBroken):
    """The partition is another drainer's by now, or was taken over: it is not in the state that was read."""
