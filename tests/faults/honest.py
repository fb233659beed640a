"""A short play that keeps every promise, to plant one breach in: what was told, and the books after it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from zlib import crc32

from tests.answers import Balance, Done, RefusedTransaction
from tests.faults.books import OPERATOR, Amounts, Books, Entry, NamedLoss, Place, Wallet
from tests.faults.checks.case import Case, Death, Loss
from tests.faults.history import Answered, Attempt, Call, History, Id, NotAnswered
from tests.reference import Asked
from tests.steps import bet, deposit, rollback

ADA = Wallet("ada", "EUR")
LOST = NotAnswered("UNAVAILABLE", "OUTCOME_UNKNOWN")
NOT_DONE = NotAnswered("UNAVAILABLE", "STORE_UNAVAILABLE")


def shown(version: int, cash: int) -> Balance:
    """Ada's wallet with so many cents."""
    text = f"{cash // 100}.{cash % 100:02}"
    return Balance("EUR", version, "ACTIVE", text, "0.00", "0.00", "0.00", "0.00")


def done(step: Asked, place: int, after: Balance | None, *, outcome: str = "APPLIED") -> Done:
    return Done(step.transaction_id, outcome, False, f"0-1-{place}-0", after, after, False, "", place)


def entry(place: int, step_id: str, **fields: object) -> Entry:
    """A row of the ledger's partition 0; an applied one unless it says otherwise."""
    return replace(
        Entry(Place(0, 1, place, 0), "applied", "debit", "ada", "slots", step_id, currency="EUR"),
        **fields,  # type: ignore[arg-type]
    )


OPENED = Entry(
    Place(0, 1, 0, 0), "wallet_opened", "", "ada", OPERATOR, "open-EUR", "", "EUR", None, 1, after=Amounts()
)
DEPOSIT = deposit("d1", "100")
BET = bet("b1", "10")
UNDO = rollback("x1", "b1")
EARLY_UNDO = rollback("x2", "b2")
LATE_BET = bet("b2", "5")
BIG_BET = bet("b3", "1000")

ENTRIES = (
    OPENED,
    entry(
        1,
        "d1",
        operation="credit",
        kind="deposit",
        amount=10000,
        version=2,
        change=Amounts(10000),
        after=Amounts(10000),
        outcome="applied",
    ),
    entry(2, "b1", kind="bet", amount=1000, version=3, change=Amounts(-1000), after=Amounts(9000)),
    entry(
        3,
        "x1",
        operation="rollback",
        kind="bet",
        amount=1000,
        version=4,
        change=Amounts(1000),
        after=Amounts(10000),
        reference="b1",
        outcome="applied",
    ),
    entry(
        4,
        "x2",
        type="no_movement",
        operation="rollback",
        kind="rollback",
        currency="",
        reference="b2",
        outcome="no_original",
    ),
    Entry(Place(0, 1, 4, 1), "tombstone", "", "ada", "slots", "b2"),
    entry(5, "b3", type="refused", kind="bet", amount=100000, refusal_reason="INSUFFICIENT_FUNDS"),
)


def refused(step: Asked, reason: str, *, place: str = "", balance: Balance | None = None) -> NotAnswered:
    code = "ALREADY_EXISTS" if reason == "TRANSACTION_ID_CONFLICT" else "FAILED_PRECONDITION"
    refusal = RefusedTransaction(step.transaction_id, 0, False, balance, place, "")
    return NotAnswered(code, reason, refusal)


ASKED: tuple[tuple[Asked, Answered | NotAnswered], ...] = (
    (DEPOSIT, Answered((done(DEPOSIT, 1, shown(2, 10000)),))),
    (BET, LOST),
    (BET, Answered((replace(done(BET, 2, shown(3, 9000)), replayed=True),))),
    (BET, Answered((replace(done(BET, 2, shown(3, 9000)), replayed=True),))),
    (UNDO, Answered((done(UNDO, 3, shown(4, 10000)),))),
    (EARLY_UNDO, Answered((done(EARLY_UNDO, 4, None, outcome="NO_ORIGINAL"),))),
    (LATE_BET, refused(LATE_BET, "TRANSACTION_ROLLED_BACK")),
    (
        BIG_BET,
        refused(BIG_BET, "INSUFFICIENT_FUNDS", place="0-1-5-0", balance=shown(4, 10000)),
    ),
)


@dataclass(slots=True)
class Honest:
    """All of it is there to be changed. ``named_lost`` are ids and the sequences of their records."""

    attempts: list[Attempt]
    entries: list[Entry]
    losses: tuple[Loss, ...] = ()
    deaths: tuple[Death, ...] = ()
    named_lost: dict[str, int] = field(default_factory=dict)
    booked_again: set[str] = field(default_factory=set)

    def case(self) -> Case:
        lives = Books(self.entries).lives()
        hot = {wallet: (life[-1].version or 0, life[-1].after or Amounts()) for wallet, life in lives.items()}
        named = frozenset(
            NamedLoss(Id("ada", "slots", name), f"0-1-{place}") for name, place in self.named_lost.items()
        )
        again = frozenset(Id("ada", "slots", name) for name in self.booked_again)
        return Case(History(self.attempts), Books(self.entries, hot, named, again), self.losses, self.deaths)

    def change_entry(self, name: str, **fields: object) -> None:
        self.entries = [
            replace(found, **fields) if found.transaction_id == name else found  # type: ignore[arg-type]
            for found in self.entries
        ]

    def drop_entry(self, name: str) -> None:
        self.entries = [found for found in self.entries if found.transaction_id != name]

    def change_answer(self, index: int, change: Callable[[Done], Done]) -> None:
        attempt = self.attempts[index]
        assert isinstance(attempt.answer, Answered)
        results = tuple(change(result) for result in attempt.answer.results)
        self.attempts[index] = replace(attempt, answer=Answered(results))

    def answer(self, index: int, answer: Answered | NotAnswered) -> None:
        self.attempts[index] = replace(self.attempts[index], answer=answer)

    def ask(self, step: Asked, answer: Answered | NotAnswered, *, called_s: float | None = None) -> None:
        """One more attempt, after all others unless it was called earlier."""
        self.attempts.append(attempt_of(step, len(self.attempts), answer, called_s=called_s))


def attempt_of(
    step: Asked, place: int, answer: Answered | NotAnswered, *, called_s: float | None = None
) -> Attempt:
    """One after the other, a second each; a step is the same call whenever it is sent."""
    number = crc32(step.transaction_id.encode())
    call = Call(number, "slots", "ada", (step,))
    return Attempt(call, 0, float(place) if called_s is None else called_s, place + 0.5, answer)


def honest() -> Honest:
    attempts = [attempt_of(step, place, answer) for place, (step, answer) in enumerate(ASKED)]
    return Honest(attempts, list(ENTRIES))
