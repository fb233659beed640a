"""One call, step by step, on a copy of the player that is kept only if every step is taken."""

from dataclasses import dataclass, replace

from tests.reference.answers import CallRefused, Result, Wallet
from tests.reference.draft import PricedStep
from tests.reference.player import round_of
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
from tests.reference.slip_steps import SlipSteps
from tests.reference.steps import (
    STARTING_CREDITS,
    Credit,
    Debit,
    Movement,
    Rollback,
    SlipChange,
    SlipOpening,
    Taking,
)


@dataclass(slots=True)
class Attempt(SlipSteps):
    """All steps, in their order."""

    def run(self) -> list[Result]:
        """One result for each step. Raises CallRefused at the first step that cannot be taken."""
        results = []
        for index, step in enumerate(self.steps):
            self.index = index
            results.append(self._take(step))
        return [self._as_of_now(result) for result in results]

    def _as_of_now(self, result: Result) -> Result:
        if result.balance_after is None:
            return result
        record = self.record(result.transaction_id)
        slip_id = record.slip_id if isinstance(record, Applied | AnsweredRollback) else ""
        return replace(
            result,
            balance_now=self.player.wallets[result.balance_after.currency],
            slip=self.player.slips[self.source_id, slip_id].shown if slip_id else None,
        )

    def _take(self, priced: PricedStep) -> Result:
        known = self.record(priced.step.transaction_id)
        if known is not None:
            return self._answer_again(known, priced)
        if isinstance(priced.step, Rollback):
            return self._roll_back(priced.step, priced)
        if isinstance(priced.step, SlipChange):
            return self.change_slip(priced.step, priced)
        assert priced.amount is not None
        if isinstance(priced.step, SlipOpening):
            return self._open_slip(priced.step, priced.amount, priced.fingerprint)
        return self._move(priced.step, priced.amount, priced.fingerprint)

    # What was seen before

    def _answer_again(self, known: Record, priced: PricedStep) -> Result:
        if isinstance(known, Tombstone):
            self.refuse("TRANSACTION_ROLLED_BACK", related={known.rollback_transaction_id})
        if known.fingerprint != priced.fingerprint:
            self.refuse("TRANSACTION_ID_CONFLICT")
        match known:
            case Refused():
                raise CallRefused(replace(known.refusal, replayed=True, step_index=self.index))
            case Applied():
                if known.rolled_back_by:
                    self.refuse("TRANSACTION_ROLLED_BACK", related={known.rolled_back_by})
                return replace(known.result, replayed=True)
            case Closing():
                raise AssertionError("no step of a call has a closing's fingerprint")
            case AnsweredRollback():
                if known.rolled_back_by:
                    self.refuse("TRANSACTION_ROLLED_BACK", related={known.rolled_back_by})
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
        after = self.change_wallet(wallet, cash=cash_change, receivable=receivable_change)
        result = Result(
            step.transaction_id,
            "APPLIED",
            moved=True,
            balance_after=after,
            late=late,
            receivable_change=receivable_change,
        )
        self.keep(
            step.transaction_id,
            Applied(
                step,
                fingerprint,
                amount,
                cash_change,
                receivable_change,
                round_key,
                result,
                kind=step.kind,
                currency=wallet.currency,
            ),
        )
        if step.close_round and round_key is not None:
            self.player.closed_rounds.add((self.source_id, round_key))
        return result

    def _open_slip(self, step: SlipOpening, amount: int, fingerprint: Fingerprint) -> Result:
        wallet = self._fitting_wallet(step, amount)
        self._check_wallet_status(step, wallet)
        self._check_funds(step, amount, wallet)
        return self.opened_slip(step, amount, fingerprint, wallet)

    def _fitting_wallet(self, step: Movement | SlipOpening, amount: int) -> Wallet:
        currency = step.money.currency
        wallet = self.player.wallets.get(currency)
        if wallet is None:
            self.refuse("WALLET_NOT_FOUND")
        if step.expected_version is not None and step.expected_version != wallet.version:
            self.refuse("VERSION_MISMATCH", wallet)
        if amount == 0 and self.policies.zero_amount == "REFUSE":
            self.refuse("ZERO_AMOUNT_REFUSED", wallet)
        if self.policies.status == "DISABLED" and _starts_something(step):
            self.refuse("SOURCE_DISABLED", wallet)
        status = self.currency_statuses[currency]
        if status == "NO_NEW_DEBITS" and isinstance(step, Taking):
            self.refuse("CURRENCY_DISABLED", wallet)
        if status == "DISABLED" and _starts_something(step):
            self.refuse("CURRENCY_DISABLED", wallet)
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
        bet = self.record(bet_id)
        if bet is None:
            self._refuse_unknown_bet(wallet)
            return None
        if isinstance(bet, Tombstone):
            self.refuse("BET_ROLLED_BACK", wallet, related={bet.rollback_transaction_id})
        if isinstance(bet, Refused):
            self.refuse("BET_REFUSED", wallet)
        if not isinstance(bet, Applied) or not bet.is_bet or not _names_its_bet(step, bet):
            self.refuse("REFERENCE_MISMATCH", wallet)
        if not bet.live:
            self.refuse("BET_ROLLED_BACK", wallet, related={bet.rolled_back_by})
        return bet.round

    def _settle_round(self, round_key: RoundKey, wallet: Wallet) -> None:
        bets = self.player.bets_of_round(self.source_id, round_key)
        if not bets:
            self._refuse_unknown_bet(wallet)
        elif not any(bet.live for bet in bets):
            self.refuse("BET_ROLLED_BACK", wallet)

    def _refuse_unknown_bet(self, wallet: Wallet) -> None:
        if self.policies.unknown_bet == "REFUSE":
            self.refuse("REFERENCE_NOT_FOUND", wallet)

    def _check_round(self, step: Movement, round_key: RoundKey | None, wallet: Wallet) -> bool:
        """Whether it is a late win."""
        settles = isinstance(step, Credit) and step.settles
        closed = round_key is not None and (self.source_id, round_key) in self.player.closed_rounds
        if closed and (step.kind == "BET" or (settles and self.policies.late_win == "REFUSE")):
            self.refuse("ROUND_CLOSED", wallet)
        return closed and settles

    def _check_wallet_status(self, step: Movement | SlipOpening, wallet: Wallet) -> None:
        if wallet.status == "CLOSED" and _starts_something(step):
            self.refuse("WALLET_CLOSED", wallet)
        if wallet.status == "DEBITS_FROZEN" and isinstance(step, Taking):
            self.refuse("WALLET_FROZEN", wallet)

    def _changes(self, step: Movement, amount: int, wallet: Wallet) -> tuple[int, int]:
        if isinstance(step, Debit):
            self._check_funds(step, amount, wallet)
            return -amount, 0
        return self.given(wallet, amount)

    def _check_funds(self, step: Taking, amount: int, wallet: Wallet) -> None:
        """Only cash is held for a withdrawal."""
        only_cash = isinstance(step, SlipOpening) and step.kind == "WITHDRAWAL"
        if wallet.cash - amount < (0 if only_cash else -wallet.credit_line):
            self.refuse("INSUFFICIENT_FUNDS", wallet)

    # Rollbacks

    def _roll_back(self, step: Rollback, priced: PricedStep) -> Result:
        original_id = step.original_transaction_id
        original = self.record(original_id)
        if original is None:
            self.keep(original_id, Tombstone(step.transaction_id))
            return self._nothing_moved(step, priced, "NO_ORIGINAL")
        if isinstance(original, Refused):
            return self._nothing_moved(step, priced, "ORIGINAL_REFUSED")
        if isinstance(original, Tombstone) or _is_undone(original):
            return self._nothing_moved(step, priced, "ALREADY_ROLLED_BACK")
        if isinstance(original, Closing) or (isinstance(original, AnsweredRollback) and not original.slip_id):
            self.refuse("NOT_REVERSIBLE", related={original_id})
        return self._reverse(step, priced, original)

    def _nothing_moved(self, step: Rollback, priced: PricedStep, outcome: str) -> Result:
        wallet = self.player.wallet_of(self.source_id, step)
        result = Result(step.transaction_id, outcome, moved=False, balance_after=wallet)
        self.keep(step.transaction_id, AnsweredRollback(step, priced.fingerprint, result))
        return result

    def _reverse(self, step: Rollback, priced: PricedStep, original: Applied | AnsweredRollback) -> Result:
        original_id = step.original_transaction_id
        wallet = self.player.wallets[original.currency]
        asked = None if step.money is None else (step.money.currency, priced.amount)
        if asked is not None and asked != (original.currency, original.amount):
            self.refuse("AMOUNT_MISMATCH", wallet, related={original_id})
        if (
            isinstance(original, Applied)
            and original.may_have_wins
            and self.policies.settled_rollback == "REFUSE"
        ):
            wins = (
                self.player.live_wins_of_bet(self.source_id, original_id) - self._rolled_back_in_this_call()
            )
            if wins:
                self.refuse("BET_SETTLED", wallet, related={*wins, original_id})
        slip = self.slip_without(original_id, original, step.transaction_id, wallet)
        cash_change, receivable_change = self._inverse(original, wallet)
        held_change = -original.held_change
        after = self.change_wallet(wallet, cash=cash_change, receivable=receivable_change, held=held_change)
        self.keep(original_id, replace(original, rolled_back_by=step.transaction_id))
        if isinstance(original, AnsweredRollback):
            self.restore(original.step.original_transaction_id)
        result = Result(
            step.transaction_id,
            "APPLIED",
            moved=True,
            balance_after=after,
            receivable_change=receivable_change,
        )
        answered = AnsweredRollback(step, priced.fingerprint, result)
        if slip is not None:
            self.player.slips[self.source_id, slip.slip_id] = slip
            answered = replace(
                answered,
                amount=original.amount,
                currency=original.currency,
                cash_change=cash_change,
                receivable_change=receivable_change,
                held_change=held_change,
                slip_id=slip.slip_id,
                original_is_rollback=isinstance(original, AnsweredRollback),
            )
        self.keep(step.transaction_id, answered)
        return result

    def _rolled_back_in_this_call(self) -> set[str]:
        return {
            priced.step.original_transaction_id for priced in self.steps if isinstance(priced.step, Rollback)
        }

    def _inverse(self, original: Applied | AnsweredRollback, wallet: Wallet) -> tuple[int, int]:
        """Of a debt that it would take off no more than is owed: what was paid since is given as cash."""
        cash, receivable = -original.cash_change, -original.receivable_change
        if cash < 0:
            cash, owed = self.taken_back(wallet, -cash)
            receivable += owed
        overpaid = max(0, -(wallet.receivable + receivable))
        return cash + overpaid, receivable + overpaid


def _is_undone(record: Record) -> bool:
    return isinstance(record, Applied | AnsweredRollback) and not record.live


def _starts_something(step: Movement | SlipOpening) -> bool:
    return isinstance(step, Taking) or step.kind in STARTING_CREDITS


def _names_its_bet(credit: Credit, bet: Applied) -> bool:
    """Whether the currency is the bet's, and the round too where the credit names one."""
    if credit.money.currency != bet.currency or not isinstance(bet.step, Debit):
        return False
    if not credit.round_id and not credit.game_id:
        return True
    return (credit.game_id, credit.round_id) == (bet.step.game_id, bet.step.round_id)
