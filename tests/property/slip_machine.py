"""Random evenings of a sportsbook: slips from their opening to their end, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.forgetful import BlockingOblivion
from tests.property import strategies as having
from tests.property.beside import BesideTheReference, Call
from tests.reference import Money, SlipChange, SlipOpening, Step
from tests.reference.amounts import decimal_text
from tests.reference.steps import CHANGE_KINDS
from tests.steps import bet, deposit, rollback
from tests.wallet_api import BlockingWalletApi

CLOCK_S = 2_000_000_000
LONG_AGO_S, FAR_AWAY_S = 1, 4_000_000_000
"""Deadlines of which nobody doubts whether they are over."""
OPERATIONS = sorted(CHANGE_KINDS.keys() - {"EXPIRE"})
LIKELY = {
    "HELD": ("CAPTURE", "CAPTURE", "RELEASE"),
    "OPEN": ("SETTLE", "SETTLE", "VOID", "CASH_OUT"),
    "SETTLED": ("RESETTLE", "RESETTLE", "UNSETTLE"),
    "VOIDED": ("REOPEN",),
}
slip_ids = st.sampled_from(["s1", "s1", "s1", "s2", "s2", "s3"])
amounts = st.sampled_from([100, 100, 250, 400, 1000, 1, 0])
openings = st.sampled_from([("HOLD", "BET"), ("HOLD", "BET"), ("PLACE", "BET"), ("HOLD", "WITHDRAWAL")])
deadlines = st.sampled_from([None, None, None, FAR_AWAY_S, LONG_AGO_S])
players = st.sampled_from(["anna", "anna", "anna", "boris"])
currencies = st.sampled_from(["EUR", "EUR", "EUR", "EUR", "JPY"])


ENDS = frozenset({"CASHED_OUT", "CAPTURED", "RELEASED", "EXPIRED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Move:
    """Something to do with a slip; what of it counts depends on where the slip stands."""

    what: str
    wanted: int
    amount: int
    share: int | None
    back: int
    is_last: bool


moves = st.lists(
    st.builds(
        Move,
        what=st.sampled_from(["go on"] * 5 + ["undo"] * 3 + ["redo", "spend", "top up"]),
        wanted=st.integers(0, 11),
        amount=amounts,
        share=st.sampled_from([None, 100, 400]),
        back=st.sampled_from([0, 0, 0, 0, 1, 2, 5]),
        is_last=st.booleans(),
    ),
    min_size=5,
    max_size=15,
)


class SlipMachine(BesideTheReference):
    """Few slips, so that much is done on each."""

    sent = BesideTheReference.sent

    def __init__(self, api: BlockingWalletApi, oblivion: BlockingOblivion) -> None:
        super().__init__(api, oblivion)
        self.house.now_s = CLOCK_S
        self.done: dict[tuple[str, str], list[str]] = {}
        self.slots: dict[tuple[str, int], str] = {}

    @rule(
        target=sent,
        player=players,
        slip_id=slip_ids,
        opening=openings,
        currency=currencies,
        amount=st.sampled_from([1000, 1000, 600, 5000, 0, 20000]),
        deadline=deadlines,
        game=st.sampled_from(["", "derby"]),
        version=having.expected_versions,
    )
    def open_slip(
        self,
        player: str,
        slip_id: str,
        opening: tuple[str, str],
        currency: str,
        amount: int,
        deadline: int | None,
        game: str,
        version: int | None,
    ) -> Call:
        operation, kind = opening
        step = SlipOpening(
            slip_id,
            operation,
            kind,
            _money(amount, currency),
            game,
            deadline if operation == "HOLD" else None,
            version,
        )
        return self._sent(player, [self._with_current_version(player, step)])

    @rule(target=sent, player=players, slot=st.sampled_from([1, 1, 2]), moves=moves)
    def play_on(self, player: str, slot: int, moves: list[Move]) -> Call:
        """Moves of which most are allowed, on the slip that lies in a slot; on a new one once it is over."""
        sent = [self._move(player, slot, move) for move in moves]
        return sent[-1]

    def _move(self, player: str, slot: int, move: Move) -> Call:
        slip_id = self.slots.get((player, slot), "")
        slip = self.house.slip(self.source, player, slip_id)
        if slip is None or (slip.standing.state in ENDS and move.what != "undo"):
            return self._new_slip(player, slot, move)
        done = self.done[player, slip_id]
        name = self._named(player, slip_id)
        match move.what:
            case "undo":
                step: Step = rollback(name, done[max(0, len(done) - 1 - move.back)])
            case "redo":
                step = rollback(name, slip.undone_by or slip.last)
            case "spend":
                cash = self.house.players[player].wallets[slip.currency].cash
                all_of_it = decimal_text(max(cash, 0), having.SCALES[slip.currency])
                step = bet(name, all_of_it, slip.currency)
            case "top up":
                step = deposit(name, decimal_text(move.amount, 2))
            case _:
                likely = LIKELY.get(slip.standing.state, OPERATIONS)
                operation = likely[move.wanted % len(likely)]
                step = _change(
                    name,
                    operation,
                    slip_id,
                    move.amount,
                    slip.currency,
                    share=move.share,
                    is_last=move.is_last,
                )
        if move.what in {"spend", "top up"}:
            done.remove(name)
        return self._sent(player, [step])

    def _new_slip(self, player: str, slot: int, move: Move) -> Call:
        number = self._next_number()
        slip_id = f"slip{number}"
        self.slots[player, slot] = slip_id
        self.done[player, slip_id] = [slip_id]
        holds = move.wanted % 2 == 0
        kind = "WITHDRAWAL" if holds and move.back == 5 else "BET"
        opening = SlipOpening(slip_id, "HOLD" if holds else "PLACE", kind, _money(1000, "EUR"))
        return self._sent(player, [opening])

    @rule(
        target=sent,
        player=players,
        transaction_id=st.one_of(having.ids, slip_ids),
        slip_id=st.one_of(slip_ids, slip_ids, having.ids),
        operation=st.sampled_from(OPERATIONS),
        amount=amounts,
        share=st.sampled_from([None, 0, 100, 1000]),
        currency=currencies,
        is_last=st.booleans(),
        version=having.expected_versions,
    )
    def change_slip(
        self,
        player: str,
        transaction_id: str,
        slip_id: str,
        operation: str,
        amount: int,
        share: int | None,
        currency: str,
        version: int | None,
        *,
        is_last: bool,
    ) -> Call:
        """Whatever it may be that is named."""
        step = _change(transaction_id, operation, slip_id, amount, currency, share=share, is_last=is_last)
        step = replace(step, expected_version=self._version(player, currency, version))
        return self._sent(player, [step])

    @rule(
        target=sent,
        player=players,
        slip_id=slip_ids,
        back=st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5]),
        amount=st.sampled_from([None, None, None, 100]),
    )
    def undo(self, player: str, slip_id: str, back: int, amount: int | None) -> Call:
        """One of the last transactions on a slip, rollbacks among them."""
        done = self.done.get((player, slip_id), [])
        original = done[max(0, len(done) - 1 - back)] if done else slip_id
        named = "" if amount is None else decimal_text(amount, 2)
        return self._sent(player, [rollback(self._named(player, slip_id), original, named)])

    @rule(
        target=sent,
        player=players,
        amounts=st.tuples(amounts, amounts, amounts),
        ends=st.sampled_from(["capture", "release", "release all", "rollback", "bet"]),
        in_one_call=st.booleans(),
    )
    def hold_and_capture(
        self, player: str, amounts: tuple[int, int, int], ends: str, *, in_one_call: bool
    ) -> Call:
        """Reserve, debits, commit: in one call, or one by one."""
        slip_id = f"m{self._next_number()}"
        first, second, last = (self._named(player, slip_id) for _ in range(3))
        ending: dict[str, Step] = {
            "capture": _change(last, "CAPTURE", slip_id, amounts[2], "EUR", is_last=True),
            "release": _change(last, "RELEASE", slip_id, amounts[2], "EUR"),
            "release all": SlipChange(last, "RELEASE", slip_id),
            "rollback": rollback(last, second),
            "bet": bet(last, "40"),
        }
        steps: list[Step] = [
            SlipOpening(slip_id, "HOLD", "BET", _money(1000, "EUR")),
            _change(first, "CAPTURE", slip_id, amounts[0], "EUR"),
            _change(second, "CAPTURE", slip_id, amounts[1], "EUR"),
            ending[ends],
        ]
        for part in [steps] if in_one_call else [[step] for step in steps]:
            self._sent(player, part)
        return Call(self.source, player, steps)

    @rule(
        target=sent,
        player=players,
        source=st.sampled_from(["lenient", "lenient", "default", "strict"]),
        taken_by=st.sampled_from(["UNSETTLE", "rollback"]),
        topped_up=st.sampled_from(["", "5", "200"]),
    )
    def take_back_what_was_spent(self, player: str, source: str, taken_by: str, topped_up: str) -> Call:
        """The debt may be paid before what made it is undone itself."""
        slip_id = f"debt{self._next_number()}"
        paid, taken, undone = f"{slip_id}-paid", f"{slip_id}-taken", f"{slip_id}-undone"
        opening = SlipOpening(slip_id, "PLACE", "BET", _money(1000, "EUR"))
        settled = _change(paid, "SETTLE", slip_id, 2500, "EUR", is_last=True)
        for step in (opening, settled):
            self._call(Call(source, player, [step]))
        cash = self.house.players[player].wallets["EUR"].cash
        taking: Step = (
            rollback(taken, paid) if taken_by == "rollback" else SlipChange(taken, taken_by, slip_id)
        )
        self._call(Call(source, player, [bet(f"{slip_id}-all", decimal_text(max(cash, 0), 2))]))
        self._call(Call(source, player, [taking]))
        if topped_up:
            self._call(Call(source, player, [deposit(f"{slip_id}-more", topped_up)]))
        call = Call(source, player, [rollback(undone, taken)])
        self._call(call)
        return call

    def _named(self, player: str, slip_id: str) -> str:
        """A new transaction on a slip."""
        name = f"c{self._next_number()}"
        self.done.setdefault((player, slip_id), [slip_id]).append(name)
        return name

    def _sent(self, player: str, steps: Sequence[Step]) -> Call:
        call = Call(self.source, player, steps)
        self._call(call)
        return call


def _change(
    transaction_id: str,
    operation: str,
    slip_id: str,
    amount: int,
    currency: str,
    *,
    share: int | None = None,
    is_last: bool = False,
) -> SlipChange:
    money = _money(amount, currency)
    match operation:
        case "CAPTURE" | "SETTLE":
            return SlipChange(transaction_id, operation, slip_id, money, is_last=is_last)
        case "RESETTLE":
            return SlipChange(transaction_id, operation, slip_id, money)
        case "RELEASE":
            return SlipChange(transaction_id, operation, slip_id, money if share else None)
        case "CASH_OUT":
            stake = None if share is None else _money(share, currency)
            return SlipChange(transaction_id, operation, slip_id, money, stake=stake)
        case _:
            return SlipChange(transaction_id, operation, slip_id)


def _money(amount: int, currency: str) -> Money:
    return Money(currency, decimal_text(amount, having.SCALES[currency]))
