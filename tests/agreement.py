"""Whether what the service answered is what the reference says; every difference is named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests import reference
from tests.answers import Balance, Done, Refused, RefusedTransaction, ShownSlip
from tests.reference import Refusal, Result, Wallet
from tests.reference.amounts import decimal_text

CODES = {
    "INVALID_FIELD": "INVALID_ARGUMENT",
    "CURRENCY_UNKNOWN": "INVALID_ARGUMENT",
    "SOURCE_NOT_FOUND": "NOT_FOUND",
    "WALLET_NOT_FOUND": "NOT_FOUND",
    "REFERENCE_NOT_FOUND": "NOT_FOUND",
    "SLIP_NOT_FOUND": "NOT_FOUND",
    "TRANSACTION_ID_CONFLICT": "ALREADY_EXISTS",
    "VERSION_MISMATCH": "ABORTED",
}
OTHER_CODES = "FAILED_PRECONDITION"
Scope = tuple[str, str]
"""A source and a player."""


def code_of(reason: str) -> str:
    """The gRPC code of a refusal that the reference can give."""
    return CODES.get(reason, OTHER_CODES)


@dataclass(slots=True)
class Agreement:
    """Compares replies. Entry ids are the service's own: they must be stable, and each a different one."""

    scales: Mapping[str, int]
    entry_ids: dict[tuple[Scope, str], str] = field(default_factory=dict)

    def balance(self, wallet: Wallet) -> Balance:
        """A reference wallet as the service shows it."""
        scale = self.scales[wallet.currency]
        return Balance(
            currency=wallet.currency,
            version=wallet.version,
            status=wallet.status,
            cash=decimal_text(wallet.cash, scale),
            bonus=decimal_text(0, scale),
            held=decimal_text(wallet.held, scale),
            receivable=decimal_text(wallet.receivable, scale),
            credit_line=decimal_text(wallet.credit_line, scale),
        )

    def done(self, result: Result) -> Done:
        """A reference result as the service shows it."""
        return Done(
            transaction_id=result.transaction_id,
            outcome=result.outcome,
            replayed=result.replayed,
            entry_id="",
            after=self._shown(result.balance_after),
            now=self._shown(result.balance_now),
            late=result.late,
            receivable_change=self._change(result),
            booked_ns=0,
            slip=None if result.slip is None else self.slip(result.slip),
        )

    def slip(self, slip: reference.ShownSlip) -> ShownSlip:
        """A reference slip as the service shows it."""
        scale, standing = self.scales[slip.currency], slip.standing
        return ShownSlip(
            slip_id=slip.slip_id,
            state=standing.state,
            version=slip.version,
            currency=slip.currency,
            held=decimal_text(standing.held, scale),
            staked=decimal_text(standing.staked, scale),
            live=decimal_text(standing.live, scale),
            paid=decimal_text(standing.paid, scale),
            cashed=decimal_text(standing.cashed, scale),
            expires_s=slip.expires_s,
            last=slip.last,
            undone_by=slip.undone_by,
        )

    def refusal(self, refusal: Refusal) -> RefusedTransaction:
        """A reference refusal as the service shows it."""
        return RefusedTransaction(
            transaction_id=refusal.transaction_id,
            step_index=refusal.step_index,
            replayed=refusal.replayed,
            balance=self._shown(refusal.balance),
            entry_id="",
            related="",
        )

    def require_results(self, scope: Scope, expected: Sequence[Result], actual: Sequence[Done]) -> None:
        differences = [
            f"step {index}: {difference}"
            for index, (wanted, got) in enumerate(zip(expected, actual, strict=True))
            for difference in self._result_differences(scope, wanted, got)
        ]
        assert not differences, "\n".join([*differences, f"expected {expected}", f"got {actual}"])

    def require_refusal(self, scope: Scope, expected: Refusal, actual: Refused) -> None:
        differences = list(self._refusal_differences(scope, expected, actual))
        assert not differences, "\n".join([*differences, f"expected {expected}", f"got {actual}"])

    def _result_differences(self, scope: Scope, expected: Result, actual: Done) -> Iterator[str]:
        yield from _difference("transaction_id", expected.transaction_id, actual.transaction_id)
        yield from _difference("outcome", expected.outcome, actual.outcome)
        yield from _difference("replayed", expected.replayed, actual.replayed)
        yield from _difference("late", expected.late, actual.late)
        yield from _difference("receivable_change", self._change(expected), actual.receivable_change)
        for name, wallet, shown in (
            ("balance_after", expected.balance_after, actual.after),
            ("balance_now", expected.balance_now, actual.now),
        ):
            yield from self._balance_difference(name, wallet, shown, required=expected.moved)
        if expected.moved:
            yield from _difference("slip", self.done(expected).slip, actual.slip)
        yield from self._entry_id_difference(scope, actual.transaction_id, actual.entry_id)

    def _refusal_differences(self, scope: Scope, expected: Refusal, actual: Refused) -> Iterator[str]:
        yield from _difference("code", code_of(expected.reason), actual.code)
        yield from _difference("reason", expected.reason, actual.reason)
        shown = actual.details.refusal
        if shown is None:
            yield "no Refusal attached"
            return
        yield from _difference("transaction_id", expected.transaction_id, shown.transaction_id)
        yield from _difference("step_index", expected.step_index, shown.step_index)
        yield from _difference("replayed", expected.replayed, shown.replayed)
        yield from self._balance_difference(
            "balance", expected.balance, shown.balance, required=expected.looked_at_wallet
        )
        if expected.related is not None and shown.related not in expected.related:
            yield f"related is {shown.related!r}, none of {sorted(expected.related)}"
        yield from self._refusal_entry_id_difference(scope, expected, shown)

    def _refusal_entry_id_difference(
        self, scope: Scope, expected: Refusal, shown: RefusedTransaction
    ) -> Iterator[str]:
        if expected.remembered:
            yield from self._entry_id_difference(scope, shown.transaction_id, shown.entry_id)
        else:
            yield from _difference("entry_id", "", shown.entry_id)

    def _entry_id_difference(self, scope: Scope, transaction_id: str, entry_id: str) -> Iterator[str]:
        if not entry_id:
            yield "entry_id is empty"
            return
        first = self.entry_ids.setdefault((scope, transaction_id), entry_id)
        yield from _difference("entry_id", first, entry_id)
        if len(set(self.entry_ids.values())) != len(self.entry_ids):
            yield f"entry_id {entry_id} names two transactions"

    def _balance_difference(
        self, name: str, wallet: Wallet | None, shown: Balance | None, *, required: bool
    ) -> Iterator[str]:
        if not required and (shown is None or wallet is None):
            return
        yield from _difference(name, self._shown(wallet), shown)

    def _shown(self, wallet: Wallet | None) -> Balance | None:
        return None if wallet is None else self.balance(wallet)

    def _change(self, result: Result) -> str:
        if not result.receivable_change or result.balance_after is None:
            return ""
        return decimal_text(result.receivable_change, self.scales[result.balance_after.currency])


def _difference(name: str, expected: object, actual: object) -> Iterator[str]:
    if expected != actual:
        yield f"{name} is {actual!r} instead of {expected!r}"
