"""What people call an entry."""

from persistence.outbox import OutboxEntry
from persistence.transactions import EntryType, Operation, TransactionKind

KIND_TITLES = {
    TransactionKind.BET: "Bet Placed",
    TransactionKind.WIN: "Win Settled",
    TransactionKind.REFUND: "Bet Refunded",
    TransactionKind.JACKPOT_WIN: "Jackpot Won",
    TransactionKind.PROMOTIONAL_WIN: "Promotional Win Paid",
    TransactionKind.TIP: "Tip Given",
    TransactionKind.DEPOSIT: "Deposit Received",
    TransactionKind.WITHDRAWAL: "Withdrawal Sent",
    TransactionKind.BONUS: "Bonus Granted",
    TransactionKind.CORRECTION: "Correction Booked",
    TransactionKind.EXCHANGE: "Currency Exchanged",
    TransactionKind.ROUND_CLOSING: "Round Closed",
    TransactionKind.ROLLBACK: "Transaction Rolled Back",
}


def title_of(entry: OutboxEntry) -> str:
    """An applied rollback is titled after what it undid: "Bet Placed (rolled back)"."""
    match entry.type:
        case EntryType.WALLET_OPENED:
            return "Wallet Opened"
        case EntryType.STATUS_CHANGED:
            return "Wallet Status Set"
        case EntryType.TOMBSTONE:
            return "Rollback Came First"
        case EntryType.NO_MOVEMENT:
            return "Rollback Without Movement"
        case EntryType.REFUSED:
            return f"{_kind_title(entry.kind)} (refused)"
        case EntryType.APPLIED | EntryType.ROUND_CLOSED:
            is_rollback = entry.operation is Operation.ROLLBACK
            return f"{_kind_title(entry.kind)} (rolled back)" if is_rollback else _kind_title(entry.kind)


def _kind_title(kind: TransactionKind | None) -> str:
    return KIND_TITLES[kind] if kind else "Transaction"
