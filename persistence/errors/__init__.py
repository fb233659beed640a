"""What can go wrong below the API.

StakeholdError
├── Unauthenticated            it is not known who calls
├── NotPermitted               the caller may not do this; nothing was done, nothing is remembered
│   ├── SourceNotPermitted
│   └── VerbNotPermitted
├── Refused                    a transaction was refused: the wallet's state, or a conflict
├── NotDone                    certainly nothing was done; the same id may ask again
│   ├── StoreUnavailable
│   ├── PartitionFenced
│   ├── IncarnationChanged
│   ├── LedgerUnavailable
│   ├── Overloaded
│   ├── Stopping
│   └── DeadlineExceeded
├── OutcomeUnknown             it may have been applied; the same id may ask again
├── NotFound                   something asked for does not exist
│   ├── WalletNotFound
│   ├── SourceNotFound
│   ├── BalanceNotFound
│   ├── SlipNotFound
│   ├── PairUnknown
│   ├── RateNotFound
│   ├── SubmissionNotFound
│   ├── RoundNotFound
│   ├── ReviewNotFound
│   ├── CaseNotFound
│   ├── ProviderNotFound
│   └── SessionNotFound
├── FieldInvalid               the caller sent something malformed
│   ├── CurrencyUnknown
│   ├── CursorInvalid
│   ├── PageTokenInvalid
│   └── QuoteInvalid
├── QuoteMismatch              the quote is good, and not for this
│   ├── QuoteOfAnotherPlayer
│   ├── QuoteSideMismatch
│   └── QuoteAmountMismatch
├── CurrencyImmutable
├── CurrencyDisabled
├── RateUnusable               money cannot be converted at a rate of now; later it may be
│   ├── RateUnknown
│   ├── RateStale
│   ├── RateHeld
│   └── CurrencyDepegged
├── RateNotHeld
├── SamePerson
├── SubmissionIdConflict
├── CursorNotInLedger
├── SubscriberStalled
├── ReviewResolved
├── InvalidTransition
├── CaseIdConflict
├── ApprovalBySamePerson
├── SessionConflict
├── SetupRefused               the service must not start like this
│   └── StoreUnsafe
└── LedgerBroken               the drain of a partition must stop
    ├── OutboxRecordMalformed
    ├── OutboxGap
    ├── HistoryForked
    ├── VersionGap
    ├── EntryRefused
    │   └── TransactionIdTaken
    ├── DriftDetected
    └── CursorMoved
"""

from persistence.errors.availability import (
    DeadlineExceeded,
    IncarnationChanged,
    LedgerUnavailable,
    Overloaded,
    PartitionFenced,
    Shortage,
    Stopping,
    StoreUnavailable,
)
from persistence.errors.callers import (
    NotPermitted,
    ProviderNotFound,
    SessionConflict,
    SessionNotFound,
    SourceNotPermitted,
    Unauthenticated,
    VerbNotPermitted,
)
from persistence.errors.cases import (
    ApprovalBySamePerson,
    CaseIdConflict,
    CaseNotFound,
    InvalidTransition,
    ReviewNotFound,
    ReviewResolved,
    SubmissionIdConflict,
    SubmissionNotFound,
)
from persistence.errors.ledger import (
    CursorMoved,
    DriftDetected,
    EntryRefused,
    HistoryForked,
    LedgerBroken,
    OutboxGap,
    OutboxRecordMalformed,
    SetupRefused,
    StoreUnsafe,
    TransactionIdTaken,
    VersionGap,
)
from persistence.errors.lists import CursorInvalid, CursorNotInLedger, PageTokenInvalid, SubscriberStalled
from persistence.errors.rates import (
    CurrencyDepegged,
    PairUnknown,
    QuoteAmountMismatch,
    QuoteInvalid,
    QuoteMismatch,
    QuoteOfAnotherPlayer,
    QuoteSideMismatch,
    RateHeld,
    RateNotFound,
    RateNotHeld,
    RateStale,
    RateUnknown,
    RateUnusable,
    SamePerson,
)
from persistence.errors.refusals import RATE_REASONS, RefusalDetails, RefusalReason, Refused
from persistence.errors.roots import FieldInvalid, NotDone, NotFound, OutcomeUnknown, StakeholdError, briefly
from persistence.errors.wallets import (
    BalanceNotFound,
    CurrencyDisabled,
    CurrencyImmutable,
    CurrencyUnknown,
    RoundNotFound,
    SlipNotFound,
    SourceNotFound,
    WalletNotFound,
)

__all__ = [
    "RATE_REASONS",
    "ApprovalBySamePerson",
    "BalanceNotFound",
    "CaseIdConflict",
    "CaseNotFound",
    "CurrencyDepegged",
    "CurrencyDisabled",
    "CurrencyImmutable",
    "CurrencyUnknown",
    "CursorInvalid",
    "CursorMoved",
    "CursorNotInLedger",
    "DeadlineExceeded",
    "DriftDetected",
    "EntryRefused",
    "FieldInvalid",
    "HistoryForked",
    "IncarnationChanged",
    "InvalidTransition",
    "LedgerBroken",
    "LedgerUnavailable",
    "NotDone",
    "NotFound",
    "NotPermitted",
    "OutboxGap",
    "OutboxRecordMalformed",
    "OutcomeUnknown",
    "Overloaded",
    "PageTokenInvalid",
    "PairUnknown",
    "PartitionFenced",
    "ProviderNotFound",
    "QuoteAmountMismatch",
    "QuoteInvalid",
    "QuoteMismatch",
    "QuoteOfAnotherPlayer",
    "QuoteSideMismatch",
    "RateHeld",
    "RateNotFound",
    "RateNotHeld",
    "RateStale",
    "RateUnknown",
    "RateUnusable",
    "RefusalDetails",
    "RefusalReason",
    "Refused",
    "ReviewNotFound",
    "ReviewResolved",
    "RoundNotFound",
    "SamePerson",
    "SessionConflict",
    "SessionNotFound",
    "SetupRefused",
    "Shortage",
    "SlipNotFound",
    "SourceNotFound",
    "SourceNotPermitted",
    "StakeholdError",
    "Stopping",
    "StoreUnavailable",
    "StoreUnsafe",
    "SubmissionIdConflict",
    "SubmissionNotFound",
    "SubscriberStalled",
    "TransactionIdTaken",
    "Unauthenticated",
    "VerbNotPermitted",
    "VersionGap",
    "WalletNotFound",
    "briefly",
]
