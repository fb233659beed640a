"""Each wallet is one thing that everybody sees in one order: linearizable, by versions.

An applied transaction takes its version at some moment between the first time that its id was sent and the
first time that it was answered. A shown balance is the wallet at some moment between its own call and answer.
So whatever was called after an answer returned must be later than what that answer showed.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.answers import Balance
from tests.faults.books import Amounts, Wallet, amounts_of
from tests.faults.checks.case import Breach, Case, Loss, Violation
from tests.faults.history import Attempt, NotAnswered


class Sight(NamedTuple):
    """Somebody was shown the wallet at this version."""

    called_s: float
    returned_s: float
    version: int
    balance: Balance
    attempt: Attempt


def check_order(case: Case) -> Iterator[Violation]:
    states = case.books.states()
    sights: defaultdict[Wallet, list[Sight]] = defaultdict(list)
    for sight in _sights(case):
        wallet = Wallet(sight.attempt.call.player, sight.balance.currency)
        state = states.get(wallet, {}).get(sight.version)
        if state == amounts_of(sight.balance):
            sights[wallet].append(sight)
        elif not case.may_be_lost(sight.attempt):
            yield _wrong(wallet, sight, state)
    floors = {wallet: _Floor(seen, case.losses) for wallet, seen in sights.items()}
    for wallet, seen in sights.items():
        yield from _check_sights(wallet, seen, floors[wallet])
    yield from _check_applications(case, floors)


def _sights(case: Case) -> Iterator[Sight]:
    for attempt in case.history.attempts:
        for _, done in attempt.results():
            if done.now is not None:
                yield Sight(attempt.called_s, attempt.returned_s, done.now.version, done.now, attempt)
        answer = attempt.answer
        if isinstance(answer, NotAnswered) and answer.refusal and not answer.refusal.replayed:
            balance = answer.refusal.balance
            if balance is not None:
                yield Sight(attempt.called_s, attempt.returned_s, balance.version, balance, attempt)


def _wrong(wallet: Wallet, sight: Sight, state: Amounts | None) -> Violation:
    return Violation(
        Breach.WRONG_BALANCE, f"{wallet} was shown as {sight.balance}, the ledger has {state} at that version"
    )


class _Floor:
    """The newest version of a wallet that anybody had been shown by a moment, since the last loss."""

    def __init__(self, sights: Sequence[Sight], losses: Sequence[Loss]) -> None:
        self._lives = [_Life(began_s, ended_s) for began_s, ended_s in _between(losses)]
        for life in self._lives:
            life.take(sights)

    def at(self, moment_s: float) -> int:
        """0 where nothing is known."""
        return max((life.floor(moment_s) for life in self._lives if life.has(moment_s)), default=0)


class _Life:
    def __init__(self, began_s: float, ended_s: float) -> None:
        self._began_s, self._ended_s = began_s, ended_s
        self._returned: list[float] = []
        self._newest: list[int] = []

    def take(self, sights: Sequence[Sight]) -> None:
        newest = 0
        for sight in sorted(sights, key=lambda sight: sight.returned_s):
            if sight.called_s >= self._began_s and sight.returned_s <= self._ended_s:
                newest = max(newest, sight.version)
                self._returned.append(sight.returned_s)
                self._newest.append(newest)

    def has(self, moment_s: float) -> bool:
        return self._began_s <= moment_s <= self._ended_s

    def floor(self, moment_s: float) -> int:
        place = bisect_left(self._returned, moment_s)
        return self._newest[place - 1] if place else 0


def _between(losses: Sequence[Loss]) -> Iterator[tuple[float, float]]:
    """The times between losses."""
    began_s = 0.0
    for loss in sorted(losses):
        yield began_s, loss.began_s
        began_s = loss.ended_s
    yield began_s, float("inf")


def _check_sights(wallet: Wallet, sights: Sequence[Sight], floor: _Floor) -> Iterator[Violation]:
    for sight in sights:
        known = floor.at(sight.called_s)
        if sight.version < known:
            yield Violation(
                Breach.ORDER_INVERTED,
                f"{wallet} was shown at version {sight.version} to call {sight.attempt.call.number}, made "
                f"after version {known} had been shown",
            )


def _check_applications(case: Case, floors: dict[Wallet, _Floor]) -> Iterator[Violation]:
    first_called = {identity: attempts[0].called_s for identity, attempts in case.history.by_id().items()}
    for identity, answers in case.told_and_kept().items():
        after, called_s = answers[0].done.after, first_called[identity]
        if after is None or any(loss.ended_s > called_s for loss in case.losses):
            continue
        floor = floors.get(Wallet(identity.player, after.currency))
        known = floor.at(called_s) if floor else 0
        if after.version <= known:
            yield Violation(
                Breach.ORDER_INVERTED,
                f"{identity} took version {after.version}, and was first sent after version {known} had "
                "been shown",
            )
