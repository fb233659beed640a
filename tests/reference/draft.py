"""What a call is decided on: the player as it found them, and a copy that its steps change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from tests.reference.amounts import LIMIT
from tests.reference.answers import CallRefused, Refusal, Wallet
from tests.reference.player import Player
from tests.reference.policies import Policies
from tests.reference.records import Fingerprint, Record
from tests.reference.steps import Step

NOT_REMEMBERED = frozenset(
    {
        "WALLET_NOT_FOUND",
        "REFERENCE_NOT_FOUND",
        "VERSION_MISMATCH",
        "TRANSACTION_ID_CONFLICT",
        "TRANSACTION_ROLLED_BACK",
        "SLIP_NOT_PLACED",
        "HOLD_NOT_DUE",
    }
)


@dataclass(frozen=True, slots=True)
class PricedStep:
    """A well-formed step with its amounts in minor units; not every step names one."""

    step: Step
    amount: int | None
    fingerprint: Fingerprint
    stake: int | None = None


@dataclass(slots=True)
class Draft:
    """``before`` is the player as the call found them, ``player`` as the steps so far have made them."""

    source_id: str
    policies: Policies
    currency_statuses: dict[str, str]
    steps: Sequence[PricedStep]
    before: Player
    player: Player
    now_s: float
    index: int = 0

    def record(self, transaction_id: str) -> Record | None:
        return self.player.records.get((self.source_id, transaction_id))

    def keep(self, transaction_id: str, record: Record) -> None:
        self.player.records[self.source_id, transaction_id] = record

    def given(self, wallet: Wallet, amount: int) -> tuple[int, int]:
        """How cash and receivable change by what the player gets: a debt is paid first."""
        collected = min(wallet.receivable, amount)
        return amount - collected, -collected

    def taken_back(self, wallet: Wallet, amount: int) -> tuple[int, int]:
        """How they change by what is taken back, whether it is there or gone."""
        shortfall = amount - max(wallet.cash, 0)
        if shortfall <= 0 or self.policies.shortfall == "NEGATIVE":
            return -amount, 0
        if self.policies.shortfall == "REJECT":
            self.refuse("INSUFFICIENT_FUNDS", wallet)
        return shortfall - amount, shortfall

    def change_wallet(self, wallet: Wallet, *, cash: int, receivable: int, held: int = 0) -> Wallet:
        """The wallet after these changes."""
        after = replace(
            wallet,
            version=wallet.version + 1,
            cash=wallet.cash + cash,
            receivable=wallet.receivable + receivable,
            held=wallet.held + held,
        )
        if max(abs(after.cash), after.receivable, after.held) >= LIMIT:
            self.refuse("BALANCE_OVERFLOW", wallet)
        self.player.wallets[wallet.currency] = after
        return after

    def refuse(
        self, reason: str, wallet: Wallet | None = None, *, related: set[str] | None = None
    ) -> NoReturn:
        """``wallet`` is as the steps so far made it; callers see the one that stands."""
        step = self.steps[self.index].step
        raise CallRefused(
            Refusal(
                reason,
                step.transaction_id,
                self.index,
                remembered=reason not in NOT_REMEMBERED,
                looked_at_wallet=wallet is not None,
                balance=None if wallet is None else self.before.wallets[wallet.currency],
                related=None if related is None else frozenset(related),
            )
        )
