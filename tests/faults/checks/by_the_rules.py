"""The ledger's records, in their order, are what the reference wallet answers to the same calls.

The ledger says in which order a player's calls were decided. The reference is asked the same calls in that
order: each must have exactly the effects that its record has, all of them or none. What was cut off with a
store that had answered it is booked again step by step, as it was answered.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from tests.faults.books import OPERATOR, SCALES, Amounts, Entry
from tests.faults.checks.booked_again import book_again
from tests.faults.checks.case import Breach, Case, Violation
from tests.faults.history import Call, Id
from tests.reference import Asked, CallRefused, Currency, House, Policies, RoundClosing, SlipChange, Step
from tests.reference.player import Player
from tests.reference.records import AnsweredRollback, Applied, Closing, Record, Refused, Tombstone

Effect = tuple[str, str, str, int | None, tuple[int, int] | None, str]
"""Source, id, type, version, cash and held, and for what has no version its outcome or reason."""

_BEFORE_ALL_DEADLINES, _AFTER_ALL_DEADLINES = 0.0, float("inf")


def check_by_the_rules(case: Case) -> Iterator[Violation]:
    calls: defaultdict[Id, list[Call]] = defaultdict(list)
    for call in case.history.calls():
        for step in call.steps:
            calls[call.id_of(step)].append(call)
    by_player: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in case.books.entries:
        by_player[entry.player].append(entry)
    for player, entries in by_player.items():
        problem = _Play(player, calls, case.books.booked_again).problem(entries)
        if problem:
            yield Violation(Breach.RULES, problem)


@dataclass(slots=True)
class _Play:
    """One player's life, told to the reference."""

    player: str
    calls: dict[Id, list[Call]]
    booked_again: frozenset[Id]
    house: House = field(
        default_factory=lambda: House(currencies={code: Currency(scale) for code, scale in SCALES.items()})
    )

    def problem(self, entries: Sequence[Entry]) -> str:
        """The first record that the reference cannot explain; empty where there is none."""
        for place, record in groupby(entries, key=lambda entry: entry.place[:3]):
            parts = list(record)
            if parts[0].source == OPERATOR:
                if parts[0].type == "wallet_opened":
                    self.house.open_wallet(self.player, parts[0].currency)
                continue
            if not self._explain(parts):
                return f"record {'-'.join(map(str, place))} of {self.player}: {parts}"
        return ""

    def _explain(self, record: Sequence[Entry]) -> bool:
        wanted = {_effect_of_entry(entry) for entry in record}
        candidates = {call.number: call for entry in record for call in self.calls.get(entry.id, [])}
        if record[0].operation == "expire":
            candidates[0] = self._expiry(record[0])
        moments = [_BEFORE_ALL_DEADLINES, _AFTER_ALL_DEADLINES]
        return any(
            self._comes_to(call, wanted, moment) for call in candidates.values() for moment in moments
        ) or (all(entry.id in self.booked_again for entry in record) and self._book_again(record))

    def _expiry(self, entry: Entry) -> Call:
        """What the service itself did; whether it was time for it is checked elsewhere."""
        step = SlipChange(entry.transaction_id, "EXPIRE", entry.reference)
        return Call(0, entry.source, self.player, (step,))

    def _book_again(self, record: Sequence[Entry]) -> bool:
        player = self.house.players.setdefault(self.player, Player(self.player))
        return all(book_again(self.house, player, entry, self._steps(entry.id)) for entry in record)

    def _steps(self, identity: Id) -> list[Asked]:
        return [
            step
            for call in self.calls.get(identity, [])
            for step in call.steps
            if step.transaction_id == identity.transaction_id
        ]

    def _make(self, call: Call) -> None:
        steps: list[Step] = []
        for step in call.steps:
            if isinstance(step, RoundClosing):
                place = {"round_id": step.round_id, "game_id": step.game_id}
                self.house.close_round(call.source, self.player, step.transaction_id, **place)
            else:
                steps.append(step)
        if steps:
            self.house.transact(call.source, self.player, steps)

    def _comes_to(self, call: Call, wanted: set[Effect], moment_s: float) -> bool:
        """Whether the call, made now, has just these effects; if not, it was not made."""
        self.house.now_s = moment_s
        self.house.sources.setdefault(call.source, Policies())
        before = self.house.players.setdefault(self.player, Player(self.player))
        kept = before.copy()
        with suppress(CallRefused):
            self._make(call)
        after = self.house.players[self.player]
        new = after.records.keys() - kept.records.keys()
        if {_effect(source, name, after.records[source, name]) for source, name in new} == wanted:
            return True
        self.house.players[self.player] = kept
        return False


def _effect_of_entry(entry: Entry) -> Effect:
    balance = entry.after or Amounts()
    word = entry.refusal_reason if entry.type == "refused" else entry.outcome.upper()
    moved = entry.version is not None
    return (
        entry.source,
        entry.transaction_id,
        entry.type,
        entry.version,
        (balance.cash, balance.held) if moved else None,
        "" if moved else word,
    )


def _effect(source: str, name: str, record: Record) -> Effect:
    match record:
        case Tombstone():
            return source, name, "tombstone", None, None, ""
        case Refused():
            return source, name, "refused", None, None, record.refusal.reason
        case Closing():
            return source, name, "round_closed", None, None, record.outcome
        case Applied() | AnsweredRollback():
            result = record.result
            if result.moved and result.balance_after is not None:
                wallet = result.balance_after
                return source, name, "applied", wallet.version, (wallet.cash, wallet.held), ""
            return source, name, "no_movement", None, None, result.outcome
