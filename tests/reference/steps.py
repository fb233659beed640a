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


Movement = Debit | Credit
Step = Debit | Credit | Rollback
