"""One call, step by step, on a copy of the player that is kept only if every step is taken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from tests.reference.amounts import LIMIT
from tests.reference.answers import CallRefused, Refusal, Result, Wallet
from tests.reference.player import Player, round_of
from tests.reference.policies import Policies
from tests.reference.records import (
    AnsweredRollback,
    Applied,
    Closing,
    Fingerprint,
    Record,
    Refused,
    RoundKey,
    Tombstone,
)
from tests.reference.steps import STARTING_CREDITS, Credit, Debit, Movement, Rollback, Step

NOT_REMEMBERED = frozenset(
    {
        "WALLET_NOT_FOUND",
        "REFERENCE_NOT_FOUND",
        "VERSION_MISMATCH",
        "TRANSACTION_ID_CONFLICT",
        "TRANSACTION_ROLLED_BACK",
    }
)


@dataclass(frozen=True, slots=True)
class PricedStep:
    """A well-formed step with its amount in minor units; a rollback need not name one."""

    step: Step
    amount: int | None
    fingerprint: Fingerprint


@dataclass(slots=True)
class Attempt:
    """``before`` is the player as the call found them, ``player`` as the steps so far have made them."""

    source_id: str
    policies: Policies
    currency_statuses: dict[str, str]
    steps: Sequence[PricedStep]
    before: Player
    player: Player
    index: int = 0

    def run(self) -> list[Result]:
        """One result for each step. Raises CallRefused at the first step that cannot be taken."""
        results = []
        for index, step in enumerate(self.steps):
            self.index = index
            results.append(self._take(step))
        return [self._with_balance_now(result) for result in results]

    def _with_balance_now(self, result: Result) -> Result:
        if result.balance_after is None:
            return result
        return replace(result, balance_now=self.player.wallets[result.balance_after.currency])

    def _take(self, priced: PricedStep) -> Result:
        known = self._record(priced.step.transaction_id)
        if known is not None:
            return self._answer_again(known, priced)
        if isinstance(priced.step, Rollback):
            return self._roll_back(priced.step, priced)
        assert priced.amount is not None
        return self._move(priced.step, priced.amount, priced.fingerprint)

    # What was seen before

    def _answer_again(self, known: Record, priced: PricedStep) -> Result:
        if isinstance(known, Tombstone):
            self._refuse("TRANSACTION_ROLLED_BACK", related={known.rollback_transaction_id})
        if known.fingerprint != priced.fingerprint:
            self._refuse("TRANSACTION_ID_CONFLICT")
        match known:
            case Refused():
                raise CallRefused(replace(known.refusal, replayed=True, step_index=self.index))
            case Applied():
                if known.rolled_back_by:
                    self._refuse("TRANSACTION_ROLLED_BACK", related={known.rolled_back_by})
                return replace(known.result, replayed=True)
            case Closing():
                raise AssertionError("no step of a call has a closing's fingerprint")
            case AnsweredRollback():
                outcome = known.result.outcome
                return replace(
                    known.result,
                    replayed=True,
                    outcome="ALREADY_ROLLED_BACK" if outcome == "APPLIED" else outcome,
                )

    # Debits and credits

    def _move(self, step: Movement, amount: int, fingerprint: Fingerprint) -> Result:
        wallet = self._fitting_wallet(step, amount)
        round_key = self._settle_references(step, wallet)
        late = self._check_round(step, round_key, wallet)
        self._check_wallet_status(step, wallet)
        cash_change, receivable_change = self._changes(step, amount, wallet)
        after = self._change_wallet(wallet, cash_change, receivable_change)
        result = Result(
            step.transaction_id,
            "APPLIED",
            moved=True,
            balance_after=after,
            late=late,
            receivable_change=receivable_change,
        )
        self._keep(
            step.transaction_id,
            Applied(step, fingerprint, amount, cash_change, receivable_change, round_key, result),
        )
        if step.close_round and round_key is not None:
            self.player.closed_rounds.add((self.source_id, round_key))
        return result

    def _fitting_wallet(self, step: Movement, amount: int) -> Wallet:
        currency = step.money.currency
        wallet = self.player.wallets.get(currency)
        if wallet is None:
            self._refuse("WALLET_NOT_FOUND")
        if step.expected_version is not None and step.expected_version != wallet.version:
            self._refuse("VERSION_MISMATCH", wallet)
        if amount == 0 and self.policies.zero_amount == "REFUSE":
            self._refuse("ZERO_AMOUNT_REFUSED", wallet)
        if self.policies.status == "DISABLED" and _starts_something(step):
            self._refuse("SOURCE_DISABLED", wallet)
        status = self.currency_statuses[currency]
        if status == "NO_NEW_DEBITS" and isinstance(step, Debit):
            self._refuse("CURRENCY_DISABLED", wallet)
        if status == "DISABLED" and _starts_something(step):
            self._refuse("CURRENCY_DISABLED", wallet)
        return wallet

    def _settle_references(self, step: Movement, wallet: Wallet) -> RoundKey | None:
        """The round that the step belongs to, once what it refers to is found to be in order."""
        named = round_of(step.round_id, step.game_id)
        if not isinstance(step, Credit) or not step.settles:
            return named
        if step.reference_transaction_id:
            return self._settle_bet(step, wallet) or named
        if named is not None:
            self._settle_round(named, wallet)
        return named

    def _settle_bet(self, step: Credit, wallet: Wallet) -> RoundKey | None:
        bet_id = step.reference_transaction_id
        bet = self._record(bet_id)
        if bet is None:
            self._refuse_unknown_bet(wallet)
            return None
        if isinstance(bet, Tombstone):
            self._refuse("BET_ROLLED_BACK", wallet, related={bet.rollback_transaction_id})
        if isinstance(bet, Refused):
            self._refuse("BET_REFUSED", wallet)
        if not isinstance(bet, Applied) or not bet.is_bet or not _names_its_bet(step, bet):
            self._refuse("REFERENCE_MISMATCH", wallet)
        if not bet.live:
            self._refuse("BET_ROLLED_BACK", wallet, related={bet.rolled_back_by})
        return bet.round

    def _settle_round(self, round_key: RoundKey, wallet: Wallet) -> None:
        bets = self.player.bets_of_round(self.source_id, round_key)
        if not bets:
            self._refuse_unknown_bet(wallet)
        elif not any(bet.live for bet in bets):
            self._refuse("BET_ROLLED_BACK", wallet)

    def _refuse_unknown_bet(self, wallet: Wallet) -> None:
        if self.policies.unknown_bet == "REFUSE":
            self._refuse("REFERENCE_NOT_FOUND", wallet)

    def _check_round(self, step: Movement, round_key: RoundKey | None, wallet: Wallet) -> bool:
        """Whether it is a late win."""
        settles = isinstance(step, Credit) and step.settles
        closed = round_key is not None and (self.source_id, round_key) in self.player.closed_rounds
        if closed and (step.kind == "BET" or (settles and self.policies.late_win == "REFUSE")):
            self._refuse("ROUND_CLOSED", wallet)
        return closed and settles

    def _check_wallet_status(self, step: Movement, wallet: Wallet) -> None:
        if wallet.status == "CLOSED" and _starts_something(step):
            self._refuse("WALLET_CLOSED", wallet)
        if wallet.status == "DEBITS_FROZEN" and isinstance(step, Debit):
            self._refuse("WALLET_FROZEN", wallet)

    def _changes(self, step: Movement, amount: int, wallet: Wallet) -> tuple[int, int]:
        if isinstance(step, Debit):
            if wallet.cash - amount < -wallet.credit_line:
                self._refuse("INSUFFICIENT_FUNDS", wallet)
            return -amount, 0
        collected = min(wallet.receivable, amount)
        return amount - collected, -collected

    # Rollbacks

    def _roll_back(self, step: Rollback, priced: PricedStep) -> Result:
        result = self._roll_back_original(step, priced.amount)
        self._keep(step.transaction_id, AnsweredRollback(step, priced.fingerprint, result))
        return result

    def _roll_back_original(self, step: Rollback, amount: int | None) -> Result:
        original = self._record(step.original_transaction_id)
        if original is None:
            self._keep(step.original_transaction_id, Tombstone(step.transaction_id))
            return self._nothing_moved(step, "NO_ORIGINAL")
        if isinstance(original, Refused):
            return self._nothing_moved(step, "ORIGINAL_REFUSED")
        if isinstance(original, AnsweredRollback | Closing):
            self._refuse("NOT_REVERSIBLE", related={step.original_transaction_id})
        if isinstance(original, Tombstone) or original.rolled_back_by:
            return self._nothing_moved(step, "ALREADY_ROLLED_BACK")
        return self._reverse(step, amount, original)

    def _nothing_moved(self, step: Rollback, outcome: str) -> Result:
        wallet = self.player.wallet_of(self.source_id, step)
        return Result(step.transaction_id, outcome, moved=False, balance_after=wallet)

    def _reverse(self, step: Rollback, amount: int | None, original: Applied) -> Result:
        original_id = step.original_transaction_id
        wallet = self.player.wallets[original.step.money.currency]
        asked = None if step.money is None else (step.money.currency, amount)
        if asked is not None and asked != (original.step.money.currency, original.amount):
            self._refuse("AMOUNT_MISMATCH", wallet, related={original_id})
        if original.is_bet and self.policies.settled_rollback == "REFUSE":
            wins = (
                self.player.live_wins_of_bet(self.source_id, original_id) - self._rolled_back_in_this_call()
            )
            if wins:
                self._refuse("BET_SETTLED", wallet, related={*wins, original_id})
        cash_change, receivable_change = self._inverse(original, wallet)
        after = self._change_wallet(wallet, cash_change, receivable_change)
        self._keep(original_id, replace(original, rolled_back_by=step.transaction_id))
        return Result(
            step.transaction_id,
            "APPLIED",
            moved=True,
            balance_after=after,
            receivable_change=receivable_change,
        )

    def _rolled_back_in_this_call(self) -> set[str]:
        return {
            priced.step.original_transaction_id for priced in self.steps if isinstance(priced.step, Rollback)
        }

    def _inverse(self, original: Applied, wallet: Wallet) -> tuple[int, int]:
        cash_change, receivable_change = -original.cash_change, -original.receivable_change
        shortfall = -cash_change - max(wallet.cash, 0)
        if cash_change >= 0 or shortfall <= 0 or self.policies.shortfall == "NEGATIVE":
            return cash_change, receivable_change
        if self.policies.shortfall == "REJECT":
            self._refuse("INSUFFICIENT_FUNDS", wallet)
        return cash_change + shortfall, receivable_change + shortfall

    # The copy

    def _record(self, transaction_id: str) -> Record | None:
        return self.player.records.get((self.source_id, transaction_id))

    def _keep(self, transaction_id: str, record: Record) -> None:
        self.player.records[self.source_id, transaction_id] = record

    def _change_wallet(self, wallet: Wallet, cash_change: int, receivable_change: int) -> Wallet:
        cash, receivable = wallet.cash + cash_change, wallet.receivable + receivable_change
        if max(abs(cash), receivable) >= LIMIT:
            self._refuse("BALANCE_OVERFLOW", wallet)
        after = replace(wallet, version=wallet.version + 1, cash=cash, receivable=receivable)
        self.player.wallets[wallet.currency] = after
        return after

    def _refuse(
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


def _starts_something(step: Movement) -> bool:
    return isinstance(step, Debit) or step.kind in STARTING_CREDITS


def _names_its_bet(credit: Credit, bet: Applied) -> bool:
    """Whether the currency is the bet's, and the round too where the credit names one."""
    if credit.money.currency != bet.step.money.currency:
        return False
    if not credit.round_id and not credit.game_id:
        return True
    return (credit.game_id, credit.round_id) == (bet.step.game_id, bet.step.round_id)
