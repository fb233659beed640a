"""Deposits and withdrawals."""

from examples.evening.guest import Guest
from examples.evening.money import Currency
from examples.evening.moves import Move, movement
from examples.evening.sources import CASHIER


def deposit(guest: Guest, currency: Currency, amount: int) -> Move:
    """A payment that came in, ready to be sent."""
    return movement(
        rpc="Credit",
        kind="DEPOSIT",
        source=CASHIER,
        transaction_id=guest.new_id("dep"),
        currency=currency,
        amount=amount,
        metadata={"method": guest.rng.choice(("card", "transfer", "wallet"))},
    )


def withdrawal(guest: Guest, currency: Currency, amount: int) -> Move:
    """A payment that goes out, ready to be sent."""
    return movement(
        rpc="Debit",
        kind="WITHDRAWAL",
        source=CASHIER,
        transaction_id=guest.new_id("wdr"),
        currency=currency,
        amount=amount,
    )


def buys_in(guest: Guest, currency: Currency) -> None:
    """The guest's first deposit of the evening."""
    guest.does(deposit(guest, currency, currency.chip_minor * guest.rng.randint(60, 400)))
    guest.wait(guest.rng.randint(20, 120))


def tops_up(guest: Guest, currency: Currency, amount: int) -> None:
    """Where the guest has less than the amount, they pay in some more."""
    if guest.purse(currency).cash < amount:
        guest.does(deposit(guest, currency, amount + currency.chip_minor * guest.rng.randint(20, 100)))
        guest.wait(guest.rng.randint(20, 120))


def pays_out(guest: Guest, currency: Currency) -> None:
    """The guest takes a part of what is left home."""
    cash = guest.purse(currency).cash
    if cash > 0:
        guest.does(withdrawal(guest, currency, cash * guest.rng.randint(10, 100) // 100))


def stake(guest: Guest, currency: Currency) -> int:
    """An amount that the guest can and would bet. Pays in first where it must."""
    amount = currency.chip_minor * guest.rng.choice((1, 1, 1, 2, 2, 3, 5, 10, 20))
    tops_up(guest, currency, amount)
    return amount
