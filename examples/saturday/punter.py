"""A player of the sportsbook: sends calls and knows what must come back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from examples.evening.lines import Line, Script, ok, refusal, result
from examples.evening.money import Currency
from examples.evening.moves import money
from examples.saturday.slips import Json, Slip
from examples.saturday.sources import BOOK, CASHIER

DATE = "2026-02-21"


@dataclass(slots=True)
class Submission:
    """Commands that nobody waits for, each with what must become of it."""

    submission_id: str
    commands: list[Json] = field(default_factory=list)
    expect: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class Punter:
    """One player with one wallet. Each method appends lines and does their arithmetic at once."""

    player_id: str
    rng: Random
    script: Script
    currency: Currency
    clock_s: int = 0
    cash: int = 0
    held: int = 0
    version: int = 1
    slips: list[Slip] = field(default_factory=list)
    ids: int = 0

    def new_id(self, prefix: str) -> str:
        """An id that no other transaction of the day has."""
        self.ids += 1
        return f"{prefix}-{self.player_id.rpartition('-')[2]}-{self.ids:03}"

    def wait(self, most_s: int) -> None:
        self.clock_s += self.rng.randint(1, most_s)

    def comes_in(self) -> None:
        request = {"playerId": self.player_id, "currencyCode": self.currency.code}
        self._append("OpenWallet", request, [ok()])
        self.pays_in(self.currency.chip_minor * self.rng.randint(50, 200))

    def pays_in(self, amount: int) -> None:
        body = {"kind": "TRANSACTION_KIND_DEPOSIT", "amount": money(self.currency, amount)}
        self.does("Credit", self.new_id("dep"), body, cash=amount, source=CASHIER)

    def has(self, amount: int) -> None:
        """Pays in where there is less in the wallet."""
        if self.cash < amount:
            self.pays_in(amount - self.cash + self.currency.chip_minor * self.rng.randint(20, 100))

    def does(
        self,
        rpc: str,
        transaction_id: str,
        body: Json,
        *,
        cash: int = 0,
        held: int = 0,
        slip: Slip | None = None,
        source: str = BOOK,
        calm: bool = False,
    ) -> None:
        """The transaction is applied. Unless all is calm, its answer may be lost, or it is sent twice."""
        self._book(cash, held)
        request = self._request(source, transaction_id, body)
        mood = 0.5 if calm else self.rng.random()
        if mood < 0.06:
            lost = "dropped" if mood < 0.03 else "cancelled"
            self._append(rpc, request, [], lost=lost)
            replayed = {"replayed": True} if lost == "dropped" else {}
            self._append(rpc, request, [self._applied(rpc, slip, **replayed)])
        elif mood < 0.09:
            group = self.script.new_group()
            for _ in range(self.rng.randint(2, 4)):
                self._append(rpc, request, [self._applied(rpc, slip)], together=group)
        else:
            self._append(rpc, request, [self._applied(rpc, slip, replayed=False)])
            if mood > 0.97:
                self._append(rpc, request, [self._applied(rpc, slip, replayed=True)])

    def places_late(self, transaction_id: str, body: Json, *, cash: int) -> None:
        """A slip whose settlement waits for it: how soon that comes nobody knows."""
        self._book(cash, 0)
        expected = result("APPLIED", replayed=False, cash=self.currency.text(self.cash))
        self._append("PlaceSlip", self._request(BOOK, transaction_id, body), [ok(results=[expected])])

    def refused(self, rpc: str, transaction_id: str, body: Json, reason: str) -> None:
        """Nothing moves."""
        self._append(rpc, self._request(BOOK, transaction_id, body), [refusal(reason)])

    def forestalls(self, transaction_id: str) -> None:
        """A cancel that overtakes what it cancels."""
        body = {"originalTransactionId": transaction_id}
        request = self._request(BOOK, self.new_id("cancel"), body)
        self._append("Rollback", request, [ok(results=[result("NO_ORIGINAL", replayed=False)])])

    def rolls_back(self, original: str, slip: Slip, *, cash: int = 0, held: int = 0) -> str:
        """Its id."""
        undo = self.new_id("undo")
        body = {"originalTransactionId": original}
        self.does("Rollback", undo, body, cash=cash, held=held, slip=slip)
        return undo

    def waits_for_expiry(self, slip: Slip) -> None:
        """Until the worker has given back what was held, which is a change of the wallet like any other."""
        back = slip.release("EXPIRED")
        self._book(back, -back)
        request = {"sourceId": BOOK, "playerId": self.player_id, "slipId": slip.slip_id}
        self._append("GetSlip", request, [ok(slips={slip.slip_id: slip.expectation()})], until_s=60)
        self.counts_money()

    def submits(
        self,
        submission: Submission,
        operation: str,
        transaction_id: str,
        body: Json,
        *,
        cash: int,
        again: bool = False,
    ) -> None:
        """A command of a submission that is applied; ``again``: it was before."""
        if not again:
            self._book(cash, 0)
        submission.commands.append({operation: self._named(BOOK, transaction_id) | body})
        text = self.currency.text(self.cash)
        expected = result("APPLIED", cash=text) if not again else result("APPLIED", cashNow=text)
        submission.expect.append(ok(results=[expected]))

    def submits_in_vain(
        self, submission: Submission, operation: str, transaction_id: str, body: Json, reason: str
    ) -> None:
        """A command of a submission that is refused for good."""
        submission.commands.append({operation: self._named(BOOK, transaction_id) | body})
        submission.expect.append(refusal(reason))

    def counts_money(self) -> None:
        cash, held = self.currency.text(self.cash), self.currency.text(self.held)
        owed = self.currency.text(0)
        balance = {"cash": cash, "held": held, "receivable": owed, "version": self.version}
        request = {"playerId": self.player_id}
        self._append("GetWallet", request, [ok(balances={self.currency.code: balance})])

    def counts_slips(self) -> None:
        """Every slip must be as the arithmetic says, and have moved what it says, in the ledger."""
        told = {
            slip.slip_id: slip.expectation() | {"moved": self.currency.text(slip.moved)}
            for slip in self.slips
        }
        request = {"playerId": self.player_id, "sourceId": BOOK, "pageSize": 1000}
        self._append("ListSlips", request, [ok(slips=told)], until_s=20)

    def _book(self, cash: int, held: int) -> None:
        self.cash += cash
        self.held += held
        self.version += 1

    def _named(self, source: str, transaction_id: str) -> Json:
        return {"sourceId": source, "playerId": self.player_id, "transactionId": transaction_id}

    def _request(self, source: str, transaction_id: str, body: Json) -> Json:
        hours, rest = divmod(self.clock_s, 3600)
        context = {"occurredTime": f"{DATE}T{hours:02}:{rest // 60:02}:{rest % 60:02}Z"}
        return self._named(source, transaction_id) | body | {"context": context}

    def _applied(self, rpc: str, slip: Slip | None, **fields: Any) -> Json:
        outcomes = ["APPLIED"]
        if rpc == "Rollback" and fields.get("replayed") is not False:
            # A rollback that is asked for again says that it is done already.
            outcomes.append("ALREADY_ROLLED_BACK")
        fields["cash"] = self.currency.text(self.cash)
        if slip is not None:
            fields["slip"] = slip.expectation()
        return ok(results=[result(*outcomes, **fields)])

    def _append(
        self,
        rpc: str,
        request: Json,
        expect: Sequence[Json],
        *,
        together: int = 0,
        lost: str = "",
        until_s: int = 0,
    ) -> None:
        line = Line(self.clock_s, self.player_id, rpc, request, expect, together, lost, until_s)
        self.script.lines.append(line)
