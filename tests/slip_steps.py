"""Steps on slips, in minor units of euros unless another currency is named."""

from dataclasses import dataclass, field
from random import Random

from persistence.calls import Step
from persistence.slips import SlipTerms
from persistence.transactions import CurrencyCode, Operation, TransactionId, TransactionKind
from tests.engine_calls import EUR, rollback

_LONG_AGO_MS = 1_000


def hold(
    name: str,
    amount: int,
    *,
    kind: TransactionKind = TransactionKind.BET,
    currency: CurrencyCode = EUR,
    expires_ms: int | None = None,
) -> Step:
    return Step(
        Operation.HOLD,
        kind,
        TransactionId(name),
        currency,
        amount,
        game="derby",
        terms=SlipTerms(expires_ms=expires_ms),
    )


def place(name: str, amount: int, currency: CurrencyCode = EUR) -> Step:
    return Step(
        Operation.PLACE,
        TransactionKind.BET,
        TransactionId(name),
        currency,
        amount,
        game="derby",
        terms=SlipTerms(),
    )


def capture(
    name: str, slip: str, amount: int, *, is_final: bool = False, currency: CurrencyCode = EUR
) -> Step:
    return _on(Operation.CAPTURE, None, name, slip, amount, currency, SlipTerms(is_final=is_final))


def release(name: str, slip: str, amount: int | None = None, currency: CurrencyCode = EUR) -> Step:
    return _on(Operation.RELEASE, None, name, slip, amount, currency)


def expire(name: str, slip: str) -> Step:
    return _on(Operation.EXPIRE, None, name, slip, None)


def settle(name: str, slip: str, amount: int, *, is_final: bool = True, currency: CurrencyCode = EUR) -> Step:
    terms = SlipTerms(is_final=is_final)
    return _on(Operation.SETTLE, TransactionKind.WIN, name, slip, amount, currency, terms)


def resettle(name: str, slip: str, amount: int, currency: CurrencyCode = EUR) -> Step:
    return _on(Operation.RESETTLE, TransactionKind.WIN, name, slip, amount, currency)


def unsettle(name: str, slip: str) -> Step:
    return _on(Operation.UNSETTLE, TransactionKind.WIN, name, slip, None)


def void(name: str, slip: str) -> Step:
    return _on(Operation.VOID, TransactionKind.REFUND, name, slip, None)


def reopen(name: str, slip: str) -> Step:
    return _on(Operation.REOPEN, TransactionKind.REFUND, name, slip, None)


def cash_out(
    name: str, slip: str, amount: int, *, stake: int | None = None, currency: CurrencyCode = EUR
) -> Step:
    terms = SlipTerms(stake=stake)
    return _on(Operation.CASH_OUT, TransactionKind.CASH_OUT, name, slip, amount, currency, terms)


@dataclass(slots=True)
class SlipDealer:
    """Deals steps on a player's slips that may or may not be legal; their names begin with "s"."""

    dice: Random
    slips: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def some_steps(self) -> list[Step]:
        return [self.some_step() for _ in range(self.dice.choice((1, 1, 1, 2, 3)))]

    def some_step(self) -> Step:
        """On one of the last slips or a new one, or the rollback of one of the last steps."""
        dice, name = self.dice, f"s{self.dice.randrange(1000)}"
        earlier = [other for other in self.names[-8:] if other != name]
        self.names.append(name)
        slip = dice.choice(self.slips[-2:]) if self.slips else "nothing"
        amount = dice.randrange(1, 9)
        if earlier and dice.random() < 0.25:
            return rollback(name, dice.choice(earlier))
        if dice.random() < 0.15:
            self.slips.append(name)
            return self._open(name, amount)
        return dice.choice(
            (
                capture(name, slip, dice.randrange(5), is_final=dice.random() < 0.3),
                capture(name, slip, dice.randrange(5)),
                release(name, slip, dice.choice((None, amount))),
                expire(name, slip),
                settle(name, slip, amount, is_final=dice.random() < 0.5),
                settle(name, slip, amount),
                resettle(name, slip, amount),
                unsettle(name, slip),
                void(name, slip),
                reopen(name, slip),
                cash_out(name, slip, amount, stake=dice.choice((None, 1, 2))),
            )
        )

    def _open(self, name: str, amount: int) -> Step:
        if self.dice.random() < 0.5:
            return place(name, amount)
        kind = self.dice.choice((TransactionKind.BET, TransactionKind.BET, TransactionKind.WITHDRAWAL))
        return hold(name, amount, kind=kind, expires_ms=self.dice.choice((_LONG_AGO_MS, None, None)))


def _on(
    operation: Operation,
    kind: TransactionKind | None,
    name: str,
    slip: str,
    amount: int | None,
    currency: CurrencyCode = EUR,
    terms: SlipTerms | None = None,
) -> Step:
    return Step(
        operation,
        kind,
        TransactionId(name),
        None if amount is None else currency,
        amount,
        reference=slip,
        terms=terms or SlipTerms(),
    )
