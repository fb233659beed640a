"""What an audit has to say."""

from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What a finding is about. Documented in stakehold.v1.FindingKind."""

    CHAIN_BROKEN = "chain_broken"
    UNBALANCED = "unbalanced"
    POSTING_MISMATCH = "posting_mismatch"
    VERSION_GAP = "version_gap"
    BALANCE_MISMATCH = "balance_mismatch"
    DRIFT = "drift"
    ORPHAN = "orphan"
    CURSOR_MISMATCH = "cursor_mismatch"
    QUARANTINED = "quarantined"
    ACCESS_LOG_BROKEN = "access_log_broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. Ids are "" where it is about none; amounts in the description are minor units,
    as they stand in the database.
    """

    kind: FindingKind
    partition: int
    description: str
    entry_id: str = ""
    player_id: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What was checked. ``undrained_wallet_count`` wallets were ahead of the ledger, and not compared yet."""

    entry_count: int
    posting_count: int
    wallet_count: int
    finding_count: int
    undrained_wallet_count: int
