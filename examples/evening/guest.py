"""A guest of the casino: sends calls and knows what must come back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from examples.evening.lines import Line, Script, ok, refusal, result
from examples.evening.money import Currency
from examples.evening.moves import Json, Move, transact_steps
from examples.evening.purse import Purse

DATE = "2026-02-14"
LAST_CALL_S = 24 * 3600 - 1


@dataclass(slots=True)
class Guest:
    """One player with their purses. Each method appends lines and does their arithmetic at once."""

    player_id: str
    rng: Random
    script: Script
    clock_s: int
    purses: dict[str, Purse] = field(default_factory=dict)
    ids: int = 0

    def new_id(self, prefix: str) -> str:
        """An id that no other transaction of the evening has."""
        self.ids += 1
        return f"{prefix}-{self.player_id.removeprefix('guest-')}-{self.ids:03}"

    def wait(self, seconds: int) -> None:
        self.clock_s = min(self.clock_s + seconds, LAST_CALL_S - 1)

    def purse(self, currency: Currency) -> Purse:
        return self.purses[currency.code]

    def open_wallet(self, currency: Currency) -> None:
        self.purses[currency.code] = Purse(currency)
        request = {"playerId": self.player_id, "currencyCode": currency.code}
        self._append("OpenWallet", request, [ok()])

    def set_status(self, currency: Currency, status: str, reason: str) -> None:
        self.purse(currency).touch()
        wallet = {"playerId": self.player_id, "currencyCode": currency.code}
        change = {"status": f"WALLET_STATUS_{status}", "reason": reason}
        self._append("SetWalletStatus", wallet | change, [ok()])

    def does(self, move: Move) -> None:
        """The move is applied. Now and then its answer is lost, or it is sent twice."""
        mood = self.rng.random()
        if mood < 0.05:
            self.loses_answer(move, "dropped")
        elif mood < 0.10:
            self.loses_answer(move, "cancelled")
        elif mood < 0.14:
            self.sends_together(move, copies=self.rng.randint(2, 4))
        else:
            self.applies(move)
            if mood > 0.97:
                self.repeats(move)

    def applies(self, move: Move, *, late: bool = False) -> None:
        """The move is applied, sent once and answered."""
        self._book(move)
        fields = {"late": True} if late else {}
        self._send(move, [self._applied(move, replayed=False, **fields)])

    def clamped(self, move: Move) -> None:
        """The rollback of a credit is applied, and what is not there any more is owed."""
        self.purse(move.currency).clamp(move.amount)
        self._send(move, [self._applied(move, replayed=False)])

    def repeats(self, move: Move) -> None:
        """Right after it was applied, the move is sent again: the first answer comes again."""
        self._send(move, [self._applied(move, replayed=True)])

    def repeats_later(self, move: Move, *, cash_then: int) -> None:
        """The move is sent again after others: the answer shows the balance then and the balance now."""
        then = move.currency.text(cash_then)
        now = self.purse(move.currency).cash_text()
        self._send(move, [ok(results=[result("APPLIED", replayed=True, cash=then, cashNow=now)])])

    def loses_answer(self, move: Move, how: str, *, asks_first: bool = False) -> None:
        """The answer is lost; the caller asks again with the same id. "dropped" answers were given."""
        self._send(move, [], lost=how)
        if asks_first:
            self.asks(move, "APPLIED" if how == "dropped" else "APPLIED NOT_SEEN")
        self._book(move)
        fields = {"replayed": True} if how == "dropped" else {}
        self._send(move, [self._applied(move, **fields)])

    def sends_together(self, move: Move, *, copies: int) -> None:
        """The same move several times at once: applied once, and every answer is the same."""
        self._book(move)
        group = self.script.new_group()
        for _ in range(copies):
            self._send(move, [self._applied(move)], together=group)

    def applies_together(self, moves: Sequence[Move]) -> None:
        """Different moves at once: all are applied, nobody knows in which order."""
        group = self.script.new_group()
        for move in moves:
            self._book(move)
            self._send(move, [ok(results=[result("APPLIED", replayed=False)])], together=group)

    def refused(
        self, move: Move, reason: str, *, replayed: bool | None = False, with_cash: bool = False
    ) -> None:
        """The move is refused. ``replayed`` is None where it does not matter who was refused first."""
        fields: Json = {} if replayed is None else {"replayed": replayed}
        if with_cash:
            fields["cash"] = self.purse(move.currency).cash_text()
        self._send(move, [refusal(reason, **fields)])

    def answers(self, move: Move, *outcomes: str, replayed: bool | None = False) -> None:
        """The move is answered OK with one of the outcomes, and nothing moves."""
        fields = {} if replayed is None else {"replayed": replayed}
        self._send(move, [ok(results=[result(*outcomes, **fields)])])

    def either(self, moves: Sequence[Move], alternatives: Sequence[Sequence[Json]]) -> None:
        """Moves at once, each of which may be answered in more than one way."""
        group = self.script.new_group()
        for move, expect in zip(moves, alternatives, strict=True):
            self._send(move, expect, together=group)

    def transacts(self, moves: Sequence[Move], *, replayed: Sequence[bool | None] | None = None) -> None:
        """Several moves in one call, all applied. Where ``replayed`` is not False, the step moved nothing."""
        results = []
        for move, again in zip(moves, replayed or [False] * len(moves), strict=True):
            if again is False:
                self._book(move)
            fields = {} if again is None else {"replayed": again}
            results.append(result("APPLIED", cash=self.purse(move.currency).cash_text(), **fields))
        self._transact(moves, [ok(results=results)])

    def transact_refused(self, moves: Sequence[Move], reason: str, *, step: int) -> None:
        self._transact(moves, [refusal(reason, step=step)])

    def asks(self, move: Move, states: str) -> None:
        """GetTransaction: what became of the move? ``states`` are separated by blanks."""
        request = {"sourceId": move.source, "playerId": self.player_id, "transactionId": move.transaction_id}
        self._append("GetTransaction", request, [ok(state=states.split())])

    def counts_money(self) -> None:
        """The guest's last line: every wallet must hold what the arithmetic says."""
        self.clock_s = LAST_CALL_S
        balances = {code: purse.expectation() for code, purse in sorted(self.purses.items())}
        self._append("GetWallet", {"playerId": self.player_id}, [ok(balances=balances)])

    def _book(self, move: Move) -> None:
        purse = self.purse(move.currency)
        if move.rpc == "Debit" and move.amount > purse.cash:
            raise ValueError(f"{self.player_id} cannot afford {move.body}: the script is wrong")
        purse.move(move.change)

    def _applied(self, move: Move, **fields: Any) -> Json:
        outcomes = ["APPLIED"]
        if move.rpc == "Rollback" and fields.get("replayed") is not False:
            # A rollback that is asked for again says that it is done already.
            outcomes.append("ALREADY_ROLLED_BACK")
        return ok(results=[result(*outcomes, cash=self.purse(move.currency).cash_text(), **fields)])

    def _send(self, move: Move, expect: Sequence[Json], *, together: int = 0, lost: str = "") -> None:
        request = {"sourceId": move.source, "playerId": self.player_id} | self._timed(move.body)
        self._append(move.rpc, request, expect, together=together, lost=lost)

    def _transact(self, moves: Sequence[Move], expect: Sequence[Json]) -> None:
        steps = transact_steps(moves)
        request = {"sourceId": moves[0].source, "playerId": self.player_id, "steps": steps}
        self._append("Transact", request, expect)

    def _timed(self, body: Json) -> Json:
        hours, rest = divmod(self.clock_s, 3600)
        context = {"occurredTime": f"{DATE}T{hours:02}:{rest // 60:02}:{rest % 60:02}Z"}
        return body | {"context": context | body.get("context", {})}

    def _append(
        self, rpc: str, request: Json, expect: Sequence[Json], *, together: int = 0, lost: str = ""
    ) -> None:
        self.script.lines.append(Line(self.clock_s, self.player_id, rpc, request, expect, together, lost))
