"""What people call an entry."""

from persistence.cashier.movements import CHARGE_BACK_PREFIX
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
    TransactionKind.CASH_OUT: "Bet Cashed Out",
    TransactionKind.ROLLBACK: "Transaction Rolled Back",
}
SLIP_TITLES = {
    (Operation.HOLD, TransactionKind.BET): "Stake Held",
    (Operation.HOLD, TransactionKind.WITHDRAWAL): "Withdrawal Held",
    (Operation.CAPTURE, TransactionKind.BET): "Stake Captured",
    (Operation.RELEASE, TransactionKind.BET): "Stake Released",
    (Operation.RELEASE, TransactionKind.WITHDRAWAL): "Withdrawal Released",
    (Operation.EXPIRE, TransactionKind.BET): "Hold Expired",
    (Operation.EXPIRE, TransactionKind.WITHDRAWAL): "Hold Expired",
    (Operation.SETTLE, TransactionKind.WIN): "Slip Settled",
    (Operation.RESETTLE, TransactionKind.WIN): "Slip Resettled",
    (Operation.UNSETTLE, TransactionKind.WIN): "Slip Unsettled",
    (Operation.VOID, TransactionKind.REFUND): "Slip Voided",
    (Operation.REOPEN, TransactionKind.REFUND): "Slip Reopened",
}
"""Where the kind alone would not say what happened."""
CHARGE_BACK_TITLES = {
    EntryType.APPLIED: "Deposit Charged Back",
    EntryType.REFUSED: "Deposit Charged Back (refused)",
    EntryType.NO_MOVEMENT: "Chargeback Without Movement",
}


def title_of(entry: OutboxEntry) -> str:
    """An applied rollback is titled after what it undid: "Bet Placed (rolled back)". The cashier's rollback
    of a deposit is a chargeback.
    """
    is_charge_back = entry.transaction_id.startswith(CHARGE_BACK_PREFIX)
    return CHARGE_BACK_TITLES[entry.type] if is_charge_back else _usual_title(entry)


def _usual_title(entry: OutboxEntry) -> str:
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
            return f"{_plain_title(entry)} (refused)"
        case EntryType.APPLIED | EntryType.ROUND_CLOSED:
            is_rollback = entry.operation is Operation.ROLLBACK
            return f"{_plain_title(entry)} (rolled back)" if is_rollback else _plain_title(entry)


def _plain_title(entry: OutboxEntry) -> str:
    if entry.operation is None or entry.kind is None:
        return "Transaction"
    return SLIP_TITLES.get((entry.operation, entry.kind), KIND_TITLES[entry.kind])
