"""What callers ask for. Kinds are the API's words without their prefix."""

from dataclasses import dataclass

SETTLING_KINDS = frozenset({"WIN", "REFUND"})
STARTING_CREDITS = frozenset({"DEPOSIT", "BONUS"})
DEBIT_KINDS = frozenset({"BET", "TIP", "WITHDRAWAL", "CORRECTION"})
CREDIT_KINDS = frozenset(
    {"WIN", "REFUND", "JACKPOT_WIN", "PROMOTIONAL_WIN", "DEPOSIT", "BONUS", "CORRECTION"}
)


@dataclass(frozen=True, slots=True)
class Money:
    """As on the wire: the amount is a decimal text."""

    currency: str
    amount: str


@dataclass(frozen=True, slots=True)
class _Movement:
    transaction_id: str
    kind: str
    money: Money
    round_id: str = ""
    game_id: str = ""
    reference_transaction_id: str = ""
    close_round: bool = False
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Debit(_Movement):
    """Takes money from a wallet."""


@dataclass(frozen=True, slots=True)
class Credit(_Movement):
    """Gives money to a wallet."""

    @property
    def settles(self) -> bool:
        """Whether it is the result of a bet, so that its references are checked."""
        return self.kind in SETTLING_KINDS


@dataclass(frozen=True, slots=True)
class Rollback:
    """Undoes an earlier transaction."""

    transaction_id: str
    original_transaction_id: str
    money: Money | None = None
    round_id: str = ""
    game_id: str = ""


@dataclass(frozen=True, slots=True)
class SlipOpening:
    """Opens a slip that bears its id: HOLD sets money aside, PLACE takes a stake.

    ``expires_s`` is Unix time.
    """

    transaction_id: str
    operation: str
    kind: str
    money: Money
    game_id: str = ""
    expires_s: int | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class SlipChange:
    """CAPTURE, RELEASE, SETTLE, RESETTLE, UNSETTLE, VOID, REOPEN or CASH_OUT. EXPIRE is the service's own.

    ``is_last``: nothing of its sort comes after it. ``stake`` is the part that a cash-out is for. Where there
    is no amount or stake, all of it is meant.
    """

    transaction_id: str
    operation: str
    slip_id: str
    money: Money | None = None
    stake: Money | None = None
    is_last: bool = False
    expected_version: int | None = None


CHANGE_KINDS = {
    "CAPTURE": "",
    "RELEASE": "",
    "EXPIRE": "",
    "SETTLE": "WIN",
    "RESETTLE": "WIN",
    "UNSETTLE": "WIN",
    "VOID": "REFUND",
    "REOPEN": "REFUND",
    "CASH_OUT": "CASH_OUT",
}
"""The kind of each; empty where it is that of what opened the slip."""
HOLD_KINDS = frozenset({"BET", "WITHDRAWAL"})
NAMES_AN_AMOUNT = frozenset({"CAPTURE", "SETTLE", "RESETTLE", "CASH_OUT"})


@dataclass(frozen=True, slots=True)
class RoundClosing:
    """Closes a round. A call of its own, never a step among others."""

    transaction_id: str
    round_id: str
    game_id: str = ""


Movement = Debit | Credit
Taking = Debit | SlipOpening
Step = Debit | Credit | Rollback | SlipOpening | SlipChange
Asked = Step | RoundClosing
"""Whatever has a transaction id of its own."""
