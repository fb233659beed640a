"""The steps that open, change and undo slips."""

from dataclasses import dataclass, replace

from tests.reference.answers import Result, Wallet
from tests.reference.draft import Draft, PricedStep
from tests.reference.records import AnsweredRollback, Applied, Fingerprint, Refused, Tombstone
from tests.reference.slips import OF_HOLDS, Change, Slip, movement, why_not
from tests.reference.steps import CHANGE_KINDS, SlipChange, SlipOpening


@dataclass(slots=True)
class SlipSteps(Draft):
    """The part of an attempt that knows slips."""

    def opened_slip(self, step: SlipOpening, amount: int, fingerprint: Fingerprint, wallet: Wallet) -> Result:
        """Once everything has been checked but the size of balances."""
        held = amount if step.operation == "HOLD" else 0
        after = self.change_wallet(wallet, cash=-amount, receivable=0, held=held)
        result = Result(step.transaction_id, "APPLIED", moved=True, balance_after=after)
        record = Applied(
            step,
            fingerprint,
            amount,
            -amount,
            0,
            None,
            result,
            kind=step.kind,
            currency=wallet.currency,
            held_change=held,
            slip_id=step.transaction_id,
        )
        self.keep(step.transaction_id, record)
        self.player.slips[self.source_id, step.transaction_id] = Slip(step, amount)
        return result

    def change_slip(self, step: SlipChange, priced: PricedStep) -> Result:
        slip = self._slip_of(step)
        wallet = self.player.wallets[slip.opening.money.currency]
        if step.expected_version is not None and step.expected_version != wallet.version:
            self.refuse("VERSION_MISMATCH", wallet)
        is_zero = priced.amount == 0 and step.operation != "RESETTLE"
        if is_zero and self.policies.zero_amount == "REFUSE":
            self.refuse("ZERO_AMOUNT_REFUSED", wallet)
        reason = why_not(slip, step.operation, priced.amount, priced.stake, due=slip.is_due(self.now_s))
        if reason:
            self.refuse(reason, wallet)
        change = resolved(slip, step, priced)
        changed = slip.with_change(change)
        asked = movement(slip.standing, changed.standing, change)
        cash, receivable = (
            self.taken_back(wallet, -asked.given) if asked.given < 0 else self.given(wallet, asked.given)
        )
        cash += asked.freed
        after = self.change_wallet(wallet, cash=cash, receivable=receivable, held=-asked.held)
        result = Result(
            step.transaction_id, "APPLIED", moved=True, balance_after=after, receivable_change=receivable
        )
        record = Applied(
            step,
            priced.fingerprint,
            asked.amount,
            cash,
            receivable,
            None,
            result,
            kind=CHANGE_KINDS[step.operation] or slip.opening.kind,
            currency=wallet.currency,
            held_change=-asked.held,
            slip_id=slip.slip_id,
        )
        self.keep(step.transaction_id, record)
        self.player.slips[self.source_id, slip.slip_id] = changed
        return result

    def slip_without(
        self, original_id: str, original: Applied | AnsweredRollback, rollback_id: str, wallet: Wallet
    ) -> Slip | None:
        """The slip once the original is undone, if it opened or changed one."""
        if not original.slip_id:
            return None
        slip = self.player.slips[self.source_id, original.slip_id]
        is_rollback = isinstance(original, AnsweredRollback)
        if slip.cancelled_by or (isinstance(original, AnsweredRollback) and original.original_is_rollback):
            self.refuse("NOT_REVERSIBLE", wallet, related={slip.slip_id})
        newest_undone = slip.undone[-1].rollback_id if slip.undone else ""
        if original_id != (newest_undone if is_rollback else slip.last):
            self.refuse("SLIP_MOVED_ON", wallet)
        return slip.with_undone_change() if is_rollback else slip.without(original_id, rollback_id)

    def restore(self, transaction_id: str) -> None:
        """What had been rolled back stands again."""
        record = self.record(transaction_id)
        assert isinstance(record, Applied)
        self.keep(transaction_id, replace(record, rolled_back_by=""))

    def _slip_of(self, step: SlipChange) -> Slip:
        opener = self.record(step.slip_id)
        if opener is None:
            self.refuse("REFERENCE_NOT_FOUND")
        if isinstance(opener, Tombstone):
            self.refuse("BET_ROLLED_BACK", related={opener.rollback_transaction_id})
        if isinstance(opener, Refused):
            self.refuse("BET_REFUSED")
        if isinstance(opener, Applied | AnsweredRollback) and not opener.live:
            wallet = self.player.wallets.get(opener.currency)
            self.refuse("BET_ROLLED_BACK", wallet, related={opener.rolled_back_by})
        slip = self.player.slips.get((self.source_id, step.slip_id))
        if slip is None:
            self.refuse("REFERENCE_MISMATCH")
        wallet = self.player.wallets[slip.opening.money.currency]
        other_currency = step.money is not None and step.money.currency != wallet.currency
        if other_currency or (not slip.is_bet and step.operation not in OF_HOLDS):
            self.refuse("REFERENCE_MISMATCH", wallet)
        return slip


def resolved(slip: Slip, step: SlipChange, priced: PricedStep) -> Change:
    """The change with what "all of it" comes to."""
    standing = slip.standing
    amount, stake = priced.amount, priced.stake
    if amount is None and step.operation in {"RELEASE", "EXPIRE"}:
        amount = standing.held
    if stake is None and step.operation == "CASH_OUT":
        stake = standing.live
    return Change(step.transaction_id, step.operation, amount or 0, stake or 0, step.is_last)
