"""Short words for the steps that tests write most: in EUR unless they say otherwise."""

from dataclasses import replace

from tests.reference import Credit, Debit, Money, Rollback

Movement = Debit | Credit


def bet(
    transaction_id: str, amount: str, currency: str = "EUR", *, round_id: str = "", game_id: str = ""
) -> Debit:
    return Debit(transaction_id, "BET", Money(currency, amount), round_id=round_id, game_id=game_id)


def debit(transaction_id: str, kind: str, amount: str, currency: str = "EUR") -> Debit:
    return Debit(transaction_id, kind, Money(currency, amount))


def win(
    transaction_id: str,
    amount: str,
    currency: str = "EUR",
    *,
    of: str = "",
    round_id: str = "",
    game_id: str = "",
) -> Credit:
    return Credit(
        transaction_id,
        "WIN",
        Money(currency, amount),
        round_id=round_id,
        game_id=game_id,
        reference_transaction_id=of,
    )


def credit(transaction_id: str, kind: str, amount: str, currency: str = "EUR") -> Credit:
    return Credit(transaction_id, kind, Money(currency, amount))


def deposit(transaction_id: str, amount: str, currency: str = "EUR") -> Credit:
    return credit(transaction_id, "DEPOSIT", amount, currency)


def rollback(transaction_id: str, original: str, amount: str = "", currency: str = "EUR") -> Rollback:
    return Rollback(transaction_id, original, Money(currency, amount) if amount else None)


def closing(step: Movement) -> Movement:
    """The same step, closing its round."""
    return replace(step, close_round=True)


def at_version(step: Movement, version: int) -> Movement:
    """The same step, for a wallet at this version only."""
    return replace(step, expected_version=version)
