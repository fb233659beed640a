"""What a guest has in one currency, by plain addition."""

from dataclasses import dataclass

from examples.evening.money import Currency


@dataclass(slots=True)
class Purse:
    """Cash and debt of one wallet in minor units, and how many changes it has seen.

    ``version`` counts the opening as 1. It is None once a race has left open how many changes there were.
    """

    currency: Currency
    cash: int = 0
    receivable: int = 0
    version: int | None = 1

    def move(self, change: int) -> None:
        """Books a change. Money that comes in pays the guest's debt first."""
        if change > 0:
            collected = min(change, self.receivable)
            self.receivable -= collected
            change -= collected
        self.cash += change
        self.touch()

    def clamp(self, amount: int) -> None:
        """Takes back a credit under the policy CLAMP: what is not there any more is owed."""
        taken = min(amount, max(self.cash, 0))
        self.receivable += amount - taken
        self.cash -= taken
        self.touch()

    def touch(self) -> None:
        """Counts one change, whether or not money moved."""
        if self.version is not None:
            self.version += 1

    def cash_text(self) -> str:
        return self.currency.text(self.cash)

    def expectation(self) -> dict[str, object]:
        """What GetWallet must say about this wallet."""
        owed = self.currency.text(self.receivable)
        balance: dict[str, object] = {"cash": self.cash_text(), "receivable": owed}
        if self.version is not None:
            balance["version"] = self.version
        return balance
