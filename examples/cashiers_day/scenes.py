"""What happens at the cashier's. Each scene ends with the customer counting the money."""

from collections.abc import Callable

from examples.cashiers_day.customer import Customer
from examples.cashiers_day.sources import CLAMPING, REJECTING
from examples.evening.moves import Json

Scene = Callable[[Customer], None]


def _create(customer: Customer, amount: int) -> Json:
    """A deposit that is announced; what names it."""
    name = {"sourceId": customer.source, "depositId": customer.new_case("deposit")}
    request = {**name, "playerId": customer.player_id, "amount": customer.money(amount)}
    customer.tells("CreateDeposit", request, "CREATED")
    customer.wait()
    return name


def _credit(customer: Customer, amount: int) -> tuple[Json, int]:
    """A deposit that is credited: what names it, and how much of it paid what was owed."""
    name = _create(customer, amount)
    if customer.rng.random() < 0.7:
        customer.tells("MarkDepositPending", name, "PENDING")
        customer.wait()
    customer.tells("CreditDeposit", name, "CREDITED")
    collected = customer.gets(amount)
    customer.counts_money()
    return name, collected


def pays_in(customer: Customer) -> None:
    name, _ = _credit(customer, customer.some_amount())
    customer.is_told_again("CreditDeposit", name, "CREDITED")
    customer.counts_money()


def pays_in_another_amount(customer: Customer) -> None:
    """The payment service says another amount the second time: somebody has to look."""
    amount = customer.some_amount()
    name, _ = _credit(customer, amount)
    otherwise = {**name, "amount": customer.money(amount + 1)}
    customer.is_refused("CreditDeposit", otherwise, "INVALID_TRANSITION")
    customer.counts_money()


def has_a_bad_card(customer: Customer) -> None:
    name = _create(customer, customer.some_amount())
    customer.tells("FailDeposit", {**name, "reason": "declined"}, "FAILED")
    customer.is_told_again("FailDeposit", {**name, "reason": "declined"}, "FAILED")
    customer.is_refused("CreditDeposit", name, "INVALID_TRANSITION")
    customer.counts_money()


def comes_too_late(customer: Customer) -> None:
    name = {"sourceId": customer.source, "depositId": customer.new_case("deposit")}
    amount = customer.money(customer.some_amount())
    past = "2026-01-01T00:00:00Z"
    announced = {**name, "playerId": customer.player_id, "amount": amount, "expireTime": past}
    customer.tells("CreateDeposit", announced, "CREATED")
    customer.is_refused("CreditDeposit", name, "INVALID_TRANSITION")
    customer.counts_money()


def takes_the_payment_back(customer: Customer) -> None:
    """A chargeback; where the money is gone, what the payment service's policy says."""
    amount = customer.some_amount()
    name, collected = _credit(customer, amount)
    if customer.cash > 1 and customer.rng.random() < 0.7:
        customer.bets(customer.rng.randint(customer.cash // 2 + 1, customer.cash))
    taken = amount - collected
    gone = max(0, taken - max(0, customer.cash))
    if gone and customer.source == REJECTING:
        customer.is_refused("ChargeBackDeposit", name, "INSUFFICIENT_FUNDS")
        customer.counts_money()
        return
    customer.tells("ChargeBackDeposit", name, "CHARGED_BACK")
    customer.receivable += collected
    if gone and customer.source == CLAMPING:
        customer.receivable += gone
        taken -= gone
    customer.cash -= taken
    customer.counts_money()
    customer.is_told_again("ChargeBackDeposit", name, "CHARGED_BACK")
    customer.counts_money()


def _request(customer: Customer, amount: int) -> Json:
    """A withdrawal that is held; what names it."""
    name = {"sourceId": customer.source, "withdrawalId": customer.new_case("withdrawal")}
    request = {
        **name,
        "playerId": customer.player_id,
        "amount": customer.money(amount),
        "references": {"chain": "tron", "address": f"T{customer.player_id}"},
    }
    customer.tells("RequestWithdrawal", request, "REQUESTED")
    customer.cash -= amount
    customer.held += amount
    customer.counts_money()
    customer.is_told_again("RequestWithdrawal", request, "REQUESTED")
    customer.wait()
    return name


def _give_back(customer: Customer, amount: int) -> None:
    customer.held -= amount
    customer.cash += amount
    customer.counts_money()


def _send(customer: Customer, amount: int) -> Json:
    name = _request(customer, amount)
    customer.tells("ApproveWithdrawal", {**name, "approver": "bob"}, "APPROVED")
    customer.wait()
    customer.tells("MarkWithdrawalSent", name, "SENT")
    customer.wait()
    return name


def _part_of_the_cash(customer: Customer) -> int:
    """Something that can be withdrawn; pays in first where there is nothing."""
    while customer.cash < 10:
        _credit(customer, customer.some_amount() + max(0, -customer.cash) + customer.receivable)
    return customer.rng.randint(customer.cash // 10 + 1, customer.cash)


def is_paid_out(customer: Customer) -> None:
    amount = _part_of_the_cash(customer)
    name = _send(customer, amount)
    paid = {**name, "references": {"txHash": f"0x{customer.rng.getrandbits(64):016x}"}}
    customer.tells("MarkWithdrawalPaid", paid, "PAID")
    customer.held -= amount
    customer.counts_money()
    customer.is_told_again("MarkWithdrawalPaid", paid, "PAID")
    if customer.rng.random() < 0.5:
        customer.is_refused("FailWithdrawal", name, "INVALID_TRANSITION")
    customer.counts_money()


def gives_a_wrong_address(customer: Customer) -> None:
    amount = _part_of_the_cash(customer)
    name = _send(customer, amount)
    customer.tells("FailWithdrawal", {**name, "reason": "no such address"}, "FAILED")
    _give_back(customer, amount)
    customer.is_told_again("FailWithdrawal", name, "FAILED")
    if customer.rng.random() < 0.5:
        customer.is_refused("MarkWithdrawalPaid", name, "INVALID_TRANSITION")
    customer.counts_money()


def changes_the_mind(customer: Customer) -> None:
    amount = _part_of_the_cash(customer)
    name = _request(customer, amount)
    customer.tells("CancelWithdrawal", name, "CANCELLED")
    _give_back(customer, amount)
    customer.is_refused("MarkWithdrawalSent", name, "INVALID_TRANSITION")
    customer.counts_money()


def is_suspicious(customer: Customer) -> None:
    amount = _part_of_the_cash(customer)
    name = _request(customer, amount)
    customer.is_refused("MarkWithdrawalPaid", name, "INVALID_TRANSITION")
    rejected = {**name, "rejectedBy": "carol", "reason": "documents are missing"}
    customer.tells("RejectWithdrawal", rejected, "REJECTED")
    _give_back(customer, amount)


def wants_too_much(customer: Customer) -> None:
    request = {
        "sourceId": customer.source,
        "withdrawalId": customer.new_case("withdrawal"),
        "playerId": customer.player_id,
        "amount": customer.money(max(customer.cash, 0) + 1),
    }
    cash = customer.currency.text(customer.cash)
    customer.is_refused("RequestWithdrawal", request, "INSUFFICIENT_FUNDS", cash=cash, replayed=False)
    customer.is_refused("RequestWithdrawal", request, "INSUFFICIENT_FUNDS", cash=cash, replayed=True)
    customer.counts_money()


def complains(customer: Customer) -> None:
    """A correction: proposed by one person, approved by another."""
    amount = customer.some_amount()
    name = {"correctionId": customer.new_case("correction")}
    proposed = {
        **name,
        "playerId": customer.player_id,
        "currencyCode": customer.currency.code,
        "amount": customer.currency.text(amount),
        "author": "alice",
        "reason": "a jackpot that was not paid",
    }
    customer.tells("ProposeCorrection", proposed, "PROPOSED")
    customer.is_refused("ApproveCorrection", {**name, "approver": "alice"}, "APPROVAL_BY_SAME_PERSON")
    if customer.rng.random() < 0.3:
        customer.tells("RejectCorrection", {**name, "rejectedBy": "bob", "reason": "it was"}, "REJECTED")
        customer.is_refused("ApproveCorrection", {**name, "approver": "carol"}, "INVALID_TRANSITION")
    else:
        customer.tells("ApproveCorrection", {**name, "approver": "bob"}, "APPLIED")
        customer.gets(amount)
        customer.counts_money()
        customer.is_told_again("ApproveCorrection", {**name, "approver": "bob"}, "APPLIED")
    customer.counts_money()


SCENES: tuple[Scene, ...] = (
    pays_in,
    pays_in_another_amount,
    has_a_bad_card,
    comes_too_late,
    takes_the_payment_back,
    is_paid_out,
    gives_a_wrong_address,
    changes_the_mind,
    is_suspicious,
    wants_too_much,
    complains,
)
