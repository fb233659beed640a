"""A slip, and what it moves, by plain arithmetic."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from examples.evening.money import Currency
from examples.saturday.matches import Match

Json = dict[str, Any]
HOME_RATE = Fraction(1)


@dataclass(slots=True)
class Slip:
    """One slip. Amounts are minor units of its own currency; ``rate`` says how many of the wallet's one is.

    Each method books a change and says what it moves in the wallet, in the wallet's minor units. What is paid
    is rounded up once, when the slip is opened; what is received is rounded down.
    """

    slip_id: str
    match: Match
    pick: str
    currency: Currency
    rate: Fraction = HOME_RATE
    state: str = ""
    held: int = 0
    staked: int = 0
    live: int = 0
    paid: int = 0
    cashed: int = 0
    moved: int = 0
    last_id: str = ""
    before: "Slip | None" = None
    """What it was before its newest settlement."""

    def hold(self, amount: int) -> int:
        """What leaves cash for held."""
        self.state, self.held = "HELD", amount
        return -self._cost(amount)

    def capture(self, amount: int, *, final: bool = False) -> tuple[int, int]:
        """What comes back to cash, and what leaves held."""
        released = self._cost(self.held - amount) if final else 0
        self.held = 0 if final else self.held - amount
        self.staked += amount
        self.live += amount
        self.state = "HELD" if self.held else "OPEN"
        self.moved -= self._cost(amount)
        return released, -self._cost(amount) - released

    def release(self, state: str = "RELEASED") -> int:
        """What comes back of what is held: all of it."""
        back, self.held = self._cost(self.held), 0
        self.state = "OPEN" if self.staked else state
        return back

    def place(self, stake: int) -> int:
        self.state, self.staked, self.live = "OPEN", stake, stake
        return self._moves(-self._cost(stake))

    def cancel(self) -> int:
        """The stake comes back, as if the slip had never been."""
        back = -self.moved
        self.state, self.staked, self.live = "CANCELLED", 0, 0
        return self._moves(back)

    def settle(self, amount: int, *, partial: bool = False) -> int:
        self.before = self.copy()
        before = self._worth(self.paid)
        self.paid += amount
        self.state = "OPEN" if partial else "SETTLED"
        return self._moves(self._worth(self.paid) - before)

    def resettle(self, total: int) -> int:
        self.before = self.copy()
        before, self.paid = self._worth(self.paid), total
        return self._moves(self._worth(total) - before)

    def unsettle(self) -> int:
        change = self.resettle(0)
        self.state = "OPEN"
        return change

    def void(self) -> int:
        self.state = "VOIDED"
        return self._moves(self._cost(self.live))

    def reopen(self) -> int:
        self.state = "OPEN"
        return self._moves(-self._cost(self.live))

    def cash_out(self, amount: int, stake: int) -> int:
        self.cashed += amount
        self.live -= stake
        self.state = "OPEN" if self.live else "CASHED_OUT"
        return self._moves(self._worth(amount))

    def restore(self, before: "Slip") -> int:
        """What a rollback moves: the slip is as it was before."""
        change = before.moved - self.moved
        self.state, self.held, self.staked, self.live = before.state, before.held, before.staked, before.live
        self.paid, self.cashed = before.paid, before.cashed
        return self._moves(change)

    def copy(self) -> "Slip":
        return replace(self)

    def expectation(self) -> Json:
        """What the service must say about it; amounts of zero are left out."""
        told: Json = {"state": self.state}
        for name in ("held", "staked", "live", "paid", "cashed"):
            if amount := getattr(self, name):
                told[name] = self.currency.text(amount)
        return told

    def _moves(self, change: int) -> int:
        self.moved += change
        return change

    def _cost(self, amount: int) -> int:
        return math.ceil(amount * self.rate)

    def _worth(self, amount: int) -> int:
        return math.floor(amount * self.rate)
