"""What players do: seeded, and so that whatever can collide does.

All clients of a player know its ids: one bets, another settles or undoes the bet, a third sends it again.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from tests.faults.history import Call
from tests.reference import Asked, Credit, Debit, Money, RoundClosing, SlipChange, SlipOpening, Step
from tests.steps import bet, credit, debit, deposit, rollback, win

GAMES = ("slots", "sports")
CASHIER = "cashier"
SOURCES = (*GAMES, CASHIER)
CURRENCIES = ("EUR", "JPY")
START = "500"
_RECENT = 40
_OPEN_SLIPS = 6
_OVERSPENT = "1000000"
_ON_HOLDS = ("CAPTURE", "CAPTURE", "CAPTURE", "RELEASE")
_ON_STAKES = ("SETTLE", "SETTLE", "SETTLE", "RESETTLE", "RESETTLE", "UNSETTLE", "VOID", "REOPEN", "CASH_OUT")
_WITHOUT_AMOUNT = frozenset({"UNSETTLE", "VOID", "REOPEN"})


@dataclass(slots=True)
class Table:
    """One player, and what was lately done for them."""

    player: str
    bets: dict[str, deque[Debit]] = field(
        default_factory=lambda: {source: deque(maxlen=_RECENT) for source in GAMES}
    )
    settlements: dict[str, deque[Credit]] = field(
        default_factory=lambda: {source: deque(maxlen=_RECENT) for source in GAMES}
    )
    slips: dict[str, deque[SlipOpening]] = field(
        default_factory=lambda: {source: deque(maxlen=_OPEN_SLIPS) for source in GAMES}
    )
    on_slips: dict[str, deque[str]] = field(
        default_factory=lambda: {source: deque(maxlen=_OPEN_SLIPS) for source in GAMES}
    )
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=_RECENT))


@dataclass(frozen=True, slots=True)
class Move:
    """Calls to make. ``together``: at the same time, at different servers; else one after the other."""

    calls: Sequence[Call]
    together: bool = False


@dataclass(slots=True)
class Dealer:
    """Makes moves. ``numbers`` are shared by all dealers of a run."""

    random: Random
    tables: Sequence[Table]
    numbers: "count[int]"

    def first_calls(self) -> list[Call]:
        """A starting balance for each player and currency."""
        return [
            self._call(table, CASHIER, deposit(f"start-{currency}", START, currency))
            for table in self.tables
            for currency in CURRENCIES
        ]

    def move(self) -> Move:
        table = self.random.choice(self.tables)
        [choose] = self.random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        return choose(self, table, self.random.choice(GAMES))

    def bet(self, table: Table, source: str) -> Move:
        return self._one(table, source, self._new_bet(table, source))

    def settle(self, table: Table, source: str) -> Move:
        return self._one(table, source, self._new_settlement(table, source))

    def cash(self, table: Table, _: str) -> Move:
        amount, currency = self._amount(100), self._currency()
        step: Step = (
            deposit(self._id("d"), amount, currency)
            if self.random.random() < 0.6
            else debit(self._id("wd"), "WITHDRAWAL", amount, currency)
        )
        return self._one(table, CASHIER, step)

    def undo(self, table: Table, source: str) -> Move:
        return self._one(table, source, rollback(self._id("rb"), self._known(table, source)))

    def undo_first(self, table: Table, source: str) -> Move:
        """A rollback overtakes its bet: it comes first, or at the same time."""
        late = self._new_bet(table, source)
        undoing = rollback(self._id("rb"), late.transaction_id)
        calls = [self._call(table, source, undoing), self._call(table, source, late)]
        return Move(calls, together=self.random.random() < 0.5)

    def several(self, table: Table, source: str) -> Move:
        """One call of several steps; what it does in its middle may undo what it did first."""
        steps: list[Step] = [
            self._new_bet(table, source)
            if self.random.random() < 0.6
            else self._new_settlement(table, source)
            for _ in range(self.random.randint(2, 4))
        ]
        if self.random.random() < 0.4:
            steps.append(rollback(self._id("rb"), self.random.choice(steps).transaction_id))
        if self.random.random() < 0.2:
            steps.insert(0, rollback(self._id("rb"), self._known(table, source)))
        return self._one(table, source, *steps)

    def close_round(self, table: Table, source: str) -> Move:
        """The round of a bet that somebody made; or one that nobody has named."""
        rounds = [(made.round_id, made.game_id) for made in table.bets[source] if made.round_id]
        round_id, game_id = self.random.choice(rounds) if rounds else ("nobody's", "dice")
        return self._one(table, source, RoundClosing(self._id("cl"), round_id, game_id))

    def open_slip(self, table: Table, source: str) -> Move:
        return self._one(table, source, self._new_slip(table, source))

    def go_on(self, table: Table, source: str) -> Move:
        """One or two things on one of the last slips, at the same time or one after the other."""
        if not table.slips[source]:
            return self.open_slip(table, source)
        slip = self.random.choice(table.slips[source])
        count = self.random.choice((1, 1, 1, 2))
        calls = [self._call(table, source, self._change(table, source, slip)) for _ in range(count)]
        return Move(calls, together=self.random.random() < 0.5)

    def take_back(self, table: Table, source: str) -> Move:
        """One of the last things on slips, rollbacks among them; now and then what opened one."""
        known = table.on_slips[source]
        if not known:
            return self.open_slip(table, source)
        original = self.random.choice(list(known)[-5:])
        undoing = rollback(self._id("srb"), original)
        known.append(undoing.transaction_id)
        return self._one(table, source, undoing)

    def reserve_and_commit(self, table: Table, source: str) -> Move:
        """All of it in one call, or up to where it fails."""
        held = SlipOpening(self._id("h"), "HOLD", "BET", Money("EUR", "20"))
        first = SlipChange(self._id("c"), "CAPTURE", held.transaction_id, Money("EUR", self._amount(12)))
        second = replace(first, transaction_id=self._id("c"), is_last=self.random.random() < 0.3)
        committed = SlipChange(self._id("rel"), "RELEASE", held.transaction_id)
        table.slips[source].append(held)
        return self._one(table, source, held, first, second, committed)

    def again(self, table: Table, source: str) -> Move:
        """What was sent before, once more or twice at once."""
        if not table.calls:
            return self.bet(table, source)
        call = self.random.choice(table.calls)
        return Move([call] * self.random.choice((1, 2, 3)), together=True)

    def a_step_again(self, table: Table, source: str) -> Move:
        """A step of an earlier call, by itself."""
        if not table.calls:
            return self.bet(table, source)
        call = self.random.choice(table.calls)
        return Move([self._call(table, call.source, self.random.choice(call.steps), remembered=False)])

    def conflict(self, table: Table, source: str) -> Move:
        """An id that was used, for something else; both at once if it is to collide."""
        step = self._new_bet(table, source)
        other = replace(step, money=Money(step.money.currency, "77"))
        return Move(
            [self._call(table, source, step), self._call(table, source, other, remembered=False)],
            together=self.random.random() < 0.5,
        )

    def overspend(self, table: Table, source: str) -> Move:
        return self._one(table, source, bet(self._id("b"), _OVERSPENT, self._currency()))

    def _new_bet(self, table: Table, source: str) -> Debit:
        game = self.random.choice(("", "dice", "reels"))
        made = bet(
            self._id("b"),
            self._amount(20),
            self._currency(),
            game_id=game,
            round_id=f"r{self.random.randrange(1_000_000)}" if game else "",
        )
        table.bets[source].append(made)
        return made

    def _new_settlement(self, table: Table, source: str) -> Credit:
        """A win or refund of a bet that somebody made; now and then of a round, or closing it."""
        if not table.bets[source]:
            return credit(self._id("p"), "PROMOTIONAL_WIN", self._amount(5))
        won = self.random.choice(table.bets[source])
        made = win(self._id("w"), self._amount(40), won.money.currency, of=won.transaction_id)
        if self.random.random() < 0.15:
            made = replace(made, kind="REFUND", money=won.money)
        if won.round_id and self.random.random() < 0.5:
            made = replace(made, round_id=won.round_id, game_id=won.game_id)
            if self.random.random() < 0.3:
                made = replace(made, reference_transaction_id="")
            if self.random.random() < 0.3:
                made = replace(made, close_round=True, money=Money(won.money.currency, "0"))
        table.settlements[source].append(made)
        return made

    def _new_slip(self, table: Table, source: str) -> SlipOpening:
        """A hold may be for a second or two only."""
        money, what = Money(self._currency(), self._amount(20)), self.random.random()
        if what < 0.4:
            made = SlipOpening(self._id("p"), "PLACE", "BET", money, "derby")
        else:
            ends_s = int(time.time()) + self.random.randint(1, 3) if what < 0.7 else None
            kind = "WITHDRAWAL" if what > 0.9 else "BET"
            made = SlipOpening(self._id("h"), "HOLD", kind, money, "derby", ends_s)
        table.slips[source].append(made)
        table.on_slips[source].append(made.transaction_id)
        return made

    def _change(self, table: Table, source: str, slip: SlipOpening) -> SlipChange:
        holds = slip.operation == "HOLD" and self.random.random() < 0.5
        operation = self.random.choice(_ON_HOLDS if holds else _ON_STAKES)
        money: Money | None = Money(slip.money.currency, self._amount(15))
        if operation in _WITHOUT_AMOUNT or (operation == "RELEASE" and self.random.random() < 0.5):
            money = None
        can_be_last = operation in {"CAPTURE", "SETTLE"}
        made = SlipChange(
            self._id("sc"),
            operation,
            slip.transaction_id,
            money,
            stake=Money(slip.money.currency, "2")
            if operation == "CASH_OUT" and self.random.random() < 0.5
            else None,
            is_last=can_be_last and self.random.random() < 0.5,
        )
        table.on_slips[source].append(made.transaction_id)
        return made

    def _known(self, table: Table, source: str) -> str:
        known = [*table.bets[source], *table.settlements[source]]
        return self.random.choice(known).transaction_id if known else self._id("never")

    def _one(self, table: Table, source: str, *steps: Asked) -> Move:
        return Move([self._call(table, source, *steps)])

    def _call(self, table: Table, source: str, *steps: Asked, remembered: bool = True) -> Call:
        call = Call(next(self.numbers), source, table.player, steps)
        if remembered:
            table.calls.append(call)
        return call

    def _id(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers)}"

    def _currency(self) -> str:
        return "EUR" if self.random.random() < 0.8 else "JPY"

    def _amount(self, most: int) -> str:
        return str(self.random.randint(1, most))


_WEIGHTS: dict[Callable[[Dealer, Table, str], Move], int] = {
    Dealer.bet: 30,
    Dealer.settle: 20,
    Dealer.cash: 8,
    Dealer.undo: 10,
    Dealer.undo_first: 5,
    Dealer.several: 12,
    Dealer.close_round: 5,
    Dealer.open_slip: 10,
    Dealer.go_on: 25,
    Dealer.take_back: 7,
    Dealer.reserve_and_commit: 5,
    Dealer.again: 8,
    Dealer.a_step_again: 3,
    Dealer.conflict: 3,
    Dealer.overspend: 2,
}
