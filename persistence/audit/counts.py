"""How much an audit has checked so far."""

from collections import Counter
from dataclasses import dataclass, field

from persistence.audit.entry_checks import StoredEntry
from persistence.audit.findings import AuditSummary


@dataclass(slots=True)
class AuditCounts:
    """Grows while the audit goes on. ``expected_entry_count`` is what the partitions' rows count in all.

    ``unprovable`` counts, by erasure, entries whose hash covers a text that was erased: nothing in the ledger
    proves any more that the rest of these is what was hashed.
    """

    expected_entry_count: int = 0
    entry_count: int = 0
    posting_count: int = 0
    wallet_count: int = 0
    finding_count: int = 0
    undrained_wallet_count: int = 0
    unprovable: Counter[int] = field(default_factory=Counter)
    stage: str = ""
    """What is being checked, for whoever watches."""

    def add(self, stored: StoredEntry) -> None:
        """Counts what is particular to an entry that could be read."""
        self.posting_count += len(stored.legs)
        erased = stored.chained.erased
        if erased is not None and erased.erased_hash is not None:
            self.unprovable[erased.erasure_id] += 1

    def summary(self) -> AuditSummary:
        return AuditSummary(
            self.entry_count,
            self.posting_count,
            self.wallet_count,
            self.finding_count,
            self.undrained_wallet_count,
        )
