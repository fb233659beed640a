"""How much an audit has checked so far."""

from dataclasses import dataclass

from persistence.audit.findings import AuditSummary


@dataclass(slots=True)
class AuditCounts:
    """Grows while the audit goes on. ``expected_entry_count`` is what the partitions' rows count in all."""

    expected_entry_count: int = 0
    entry_count: int = 0
    posting_count: int = 0
    wallet_count: int = 0
    finding_count: int = 0
    undrained_wallet_count: int = 0
    stage: str = ""
    """What is being checked, for whoever watches."""

    def summary(self) -> AuditSummary:
        return AuditSummary(
            self.entry_count,
            self.posting_count,
            self.wallet_count,
            self.finding_count,
            self.undrained_wallet_count,
        )
