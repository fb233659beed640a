"""Transactions that were refused: what the scripts say, and what callers are told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from persistence.errors.roots import StakeholdError
from persistence.transactions import TransactionId, WalletBalance


class RefusalReason(StrEnum):
    """The words with which the scripts refuse, in no order. The order of checks is the script's."""

    WALLET_NOT_FOUND = "WALLET_NOT_FOUND"
    REFERENCE_NOT_FOUND = "REFERENCE_NOT_FOUND"
    TRANSACTION_ID_CONFLICT = "TRANSACTION_ID_CONFLICT"
    TRANSACTION_ROLLED_BACK = "TRANSACTION_ROLLED_BACK"
    BET_ROLLED_BACK = "BET_ROLLED_BACK"
    BET_REFUSED = "BET_REFUSED"
    BET_SETTLED = "BET_SETTLED"
    REFERENCE_MISMATCH = "REFERENCE_MISMATCH"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    NOT_REVERSIBLE = "NOT_REVERSIBLE"
    ROUND_CLOSED = "ROUND_CLOSED"
    ZERO_AMOUNT_REFUSED = "ZERO_AMOUNT_REFUSED"
    CURRENCY_DISABLED = "CURRENCY_DISABLED"
    SOURCE_DISABLED = "SOURCE_DISABLED"
    WALLET_FROZEN = "WALLET_FROZEN"
    WALLET_CLOSED = "WALLET_CLOSED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    BALANCE_OVERFLOW = "BALANCE_OVERFLOW"
    VERSION_MISMATCH = "VERSION_MISMATCH"
    WALLET_AMBIGUOUS = "WALLET_AMBIGUOUS"
    AMOUNT_TOO_SMALL = "AMOUNT_TOO_SMALL"
    RATE_UNKNOWN = "RATE_UNKNOWN"
    RATE_STALE = "RATE_STALE"
    RATE_HELD = "RATE_HELD"
    CURRENCY_DEPEGGED = "CURRENCY_DEPEGGED"
    QUOTE_EXPIRED = "QUOTE_EXPIRED"
    QUOTE_USED = "QUOTE_USED"
    HOLD_CLOSED = "HOLD_CLOSED"
    HOLD_RELEASED = "HOLD_RELEASED"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    HOLD_EXCEEDED = "HOLD_EXCEEDED"
    HOLD_NOT_DUE = "HOLD_NOT_DUE"
    SLIP_NOT_PLACED = "SLIP_NOT_PLACED"
    SLIP_SETTLED = "SLIP_SETTLED"
    SLIP_NOT_SETTLED = "SLIP_NOT_SETTLED"
    SLIP_VOIDED = "SLIP_VOIDED"
    SLIP_NOT_VOIDED = "SLIP_NOT_VOIDED"
    SLIP_CASHED_OUT = "SLIP_CASHED_OUT"
    STAKE_EXCEEDED = "STAKE_EXCEEDED"
    SLIP_MOVED_ON = "SLIP_MOVED_ON"
    SESSION_UNKNOWN = "SESSION_UNKNOWN"
    SESSION_OVER = "SESSION_OVER"
    SESSION_MISMATCH = "SESSION_MISMATCH"


RATE_REASONS = (
    RefusalReason.RATE_UNKNOWN,
    RefusalReason.RATE_STALE,
    RefusalReason.RATE_HELD,
    RefusalReason.CURRENCY_DEPEGGED,
)
"""Why there is no rate now. Not remembered: the same id may succeed later."""


@dataclass(frozen=True, slots=True)
class RefusalDetails:
    """What a refusal tells the caller. ``entry_id`` is empty where the refusal is not remembered."""

    reason: RefusalReason
    transaction_id: TransactionId
    step_index: int
    replayed: bool
    balance: WalletBalance | None
    entry_id: str
    related_transaction_id: str


class Refused(StakeholdError):
    """A transaction was refused and nothing moved. ``context`` is what the request said that explains it."""

    def __init__(self, details: RefusalDetails, context: Mapping[str, str]) -> None:
        super().__init__(f"transaction {details.transaction_id} refused: {details.reason}")
        self.details = details
        self.context = context
