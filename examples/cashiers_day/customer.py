"""A customer at the cashier's: what they have, and the lines that tell of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from examples.cashiers_day.sources import SLOTS
from examples.evening.lines import Line, Script, ok, refusal
from examples.evening.money import Currency
from examples.evening.moves import Json


@dataclass(slots=True)
class Customer:
    """One player with one wallet. Amounts are minor units; ``source`` is the payment service."""

    player_id: str
    rng: Random
    script: Script
    currency: Currency
    source: str
    clock_s: int
    cash: int = 0
    held: int = 0
    receivable: int = 0
    cases: int = 0

    def new_case(self, word: str) -> str:
        """An id that nobody else's deposit, withdrawal or correction has."""
        self.cases += 1
        return f"{self.player_id}-{word}-{self.cases}"

    def wait(self, most_s: int = 600) -> None:
        self.clock_s += self.rng.randint(5, most_s)

    def money(self, amount: int) -> Json:
        return {"currencyCode": self.currency.code, "amount": self.currency.text(amount)}

    def some_amount(self) -> int:
        return self.currency.chip_minor * self.rng.randint(20, 200)

    def gets(self, amount: int) -> int:
        """What is owed is paid first: how much of it."""
        collected = min(amount, self.receivable)
        self.receivable -= collected
        self.cash += amount - collected
        return collected

    def opens_wallet(self) -> None:
        request = {"playerId": self.player_id, "currencyCode": self.currency.code}
        self._say("OpenWallet", request, [ok()])
        self.counts_money()

    def tells(
        self, rpc: str, request: Json, *states: str, replayed: bool = False, together: int = 0, lost: str = ""
    ) -> None:
        """A message that is accepted: the case is in one of the states then."""
        expected = ok(state=list(states)) if together else ok(state=list(states), replayed=replayed)
        self._say(rpc, request, [expected], together=together, lost=lost)

    def is_refused(self, rpc: str, request: Json, reason: str, **fields: Any) -> None:
        self._say(rpc, request, [refusal(reason, **fields)])

    def is_told_again(self, rpc: str, request: Json, state: str) -> None:
        """Once more, or twice at once; now and then the caller does not hear the answer."""
        match self.rng.randrange(4):
            case 0:
                group = self.script.new_group()
                for _ in range(2):
                    self.tells(rpc, request, state, together=group)
            case 1:
                self.tells(rpc, request, state, replayed=True, lost="dropped")
                self.tells(rpc, request, state, replayed=True)
            case _:
                self.tells(rpc, request, state, replayed=True)

    def bets(self, amount: int) -> None:
        request = {
            "sourceId": SLOTS,
            "playerId": self.player_id,
            "transactionId": self.new_case("bet"),
            "kind": "TRANSACTION_KIND_BET",
            "amount": self.money(amount),
        }
        self.cash -= amount
        cash = self.currency.text(self.cash)
        self._say("Debit", request, [ok(results=[{"outcome": ["APPLIED"], "replayed": False, "cash": cash}])])

    def counts_money(self) -> None:
        text = self.currency.text
        balance = {"cash": text(self.cash), "held": text(self.held), "receivable": text(self.receivable)}
        expected = ok(balances={self.currency.code: balance})
        self._say("GetWallet", {"playerId": self.player_id}, [expected])

    def _say(
        self, rpc: str, request: Json, expect: Sequence[Json], *, together: int = 0, lost: str = ""
    ) -> None:
        line = Line(self.clock_s, self.player_id, rpc, request, expect, together=together, lost=lost)
        self.script.lines.append(line)
