"""Which accounts an entry moves money between. The only place that knows.

    kind                       counter-account          because
    bet, win, refund, tip      source, settlement       settled with the game provider
    jackpot_win                source, jackpot          paid from the provider's jackpot
    promotional_win            house, promotions        a prize of the house
    deposit, withdrawal        source, clearing         cleared with the payment processor
    bonus                      house, bonus_cost        a gift of the house
    cash_out                   source, settlement       settled with the game provider
    correction                 house, corrections       booked by hand
    exchange                   house, exchanges         what one wallet gives and another one gets

An amount in another currency than the wallet's has its counter-account in that currency. The house stands
between the two: its ``fx_position`` gives the one amount and takes what that is worth at mid; ``fx_spread``
and ``fx_rounding`` take the rest of what the player paid, or give what the player got more.

The player's side is one leg for each bucket that changed. A rollback carries its original's kind, so it posts
to the same accounts with the signs turned round. A positive leg is in the account owner's favour: so what a
player owes is a negative balance of the player's ``receivable`` account, and a negative balance of a source's
settlement account is what the source owes the house.

What the service itself books for a source (late duplicates, and what undoes them) is posted to that source's
accounts: the entry is of the service's own source, and names the other one in its metadata.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from fx.conversions import Conversion
from fx.rate_locks import split
from persistence.outbox import OutboxEntry
from persistence.transactions import OPERATOR_SOURCE, CurrencyCode, EntryType, PlayerId, TransactionKind

BOOKED_AGAINST = "stakehold.source"
"""In the metadata of an entry of the service's own source: the source whose accounts it is posted to. What a
caller writes under this name means nothing, as no caller has that source."""


class OwnerKind(StrEnum):
    PLAYER = "player"
    SOURCE = "source"
    HOUSE = "house"


class Bucket(StrEnum):
    CASH = "cash"
    BONUS = "bonus"
    HELD = "held"
    RECEIVABLE = "receivable"
    SETTLEMENT = "settlement"
    JACKPOT = "jackpot"
    CLEARING = "clearing"
    PROMOTIONS = "promotions"
    BONUS_COST = "bonus_cost"
    CORRECTIONS = "corrections"
    EXCHANGES = "exchanges"
    FX_POSITION = "fx_position"
    FX_SPREAD = "fx_spread"
    FX_ROUNDING = "fx_rounding"


PLAYER_BUCKETS = (Bucket.CASH, Bucket.BONUS, Bucket.HELD, Bucket.RECEIVABLE)

COUNTER_ACCOUNTS = {
    TransactionKind.BET: (OwnerKind.SOURCE, Bucket.SETTLEMENT),
    TransactionKind.WIN: (OwnerKind.SOURCE, Bucket.SETTLEMENT),
    TransactionKind.REFUND: (OwnerKind.SOURCE, Bucket.SETTLEMENT),
    TransactionKind.TIP: (OwnerKind.SOURCE, Bucket.SETTLEMENT),
    TransactionKind.CASH_OUT: (OwnerKind.SOURCE, Bucket.SETTLEMENT),
    TransactionKind.JACKPOT_WIN: (OwnerKind.SOURCE, Bucket.JACKPOT),
    TransactionKind.PROMOTIONAL_WIN: (OwnerKind.HOUSE, Bucket.PROMOTIONS),
    TransactionKind.DEPOSIT: (OwnerKind.SOURCE, Bucket.CLEARING),
    TransactionKind.WITHDRAWAL: (OwnerKind.SOURCE, Bucket.CLEARING),
    TransactionKind.BONUS: (OwnerKind.HOUSE, Bucket.BONUS_COST),
    TransactionKind.CORRECTION: (OwnerKind.HOUSE, Bucket.CORRECTIONS),
    TransactionKind.EXCHANGE: (OwnerKind.HOUSE, Bucket.EXCHANGES),
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account as people name it, within a partition. The house's id is empty."""

    owner_kind: OwnerKind
    owner_id: str
    bucket: Bucket
    currency: CurrencyCode


@dataclass(frozen=True, slots=True)
class Leg:
    """One posting: ``amount`` is never zero."""

    account: Account
    amount: int


def legs_of(player: PlayerId, entry: OutboxEntry) -> tuple[Leg, ...]:
    """The postings that follow from an entry, in their order; they sum to zero. None where nothing moved.

    Raises ValueError for an entry that moves money and does not say what for.
    """
    change = entry.change
    amounts = (change.cash, change.bonus, change.held, -change.receivable)
    if entry.type is not EntryType.APPLIED or not any(amounts):
        return ()
    currency = entry.currency
    if currency is None:
        raise ValueError("an entry moves money without a currency")
    legs = [
        Leg(Account(OwnerKind.PLAYER, player, bucket, currency), amount)
        for bucket, amount in zip(PLAYER_BUCKETS, amounts, strict=True)
        if amount
    ]
    total = sum(amounts)
    if entry.conversion is not None and total:
        legs += _conversion_legs(entry, entry.conversion, currency, total)
    elif total:
        legs.append(Leg(counter_account(entry, currency), -total))
    return tuple(legs)


def _conversion_legs(
    entry: OutboxEntry, conversion: Conversion, currency: CurrencyCode, total: int
) -> Iterator[Leg]:
    """Everything but the player's side, of which ``total`` is the sum."""
    if entry.amount is None or abs(total) != entry.amount:
        raise ValueError(f"an amount that became {entry.amount} moved {total}")
    taken = 1 if total < 0 else -1
    parts = split(conversion.lock, conversion.amount, entry.amount)
    requested = CurrencyCode(conversion.lock.currency)
    amounts = [
        (_house(Bucket.FX_POSITION, currency), parts.position),
        (_house(Bucket.FX_SPREAD, currency), parts.spread),
        (_house(Bucket.FX_ROUNDING, currency), parts.rounding),
        (_house(Bucket.FX_POSITION, requested), -conversion.amount),
        (counter_account(entry, requested), conversion.amount),
    ]
    return (Leg(account, taken * amount) for account, amount in amounts if amount)


def _house(bucket: Bucket, currency: CurrencyCode) -> Account:
    return Account(OwnerKind.HOUSE, "", bucket, currency)


def counter_account(entry: OutboxEntry, currency: CurrencyCode) -> Account:
    """The account on the other side of the player's."""
    if entry.kind not in COUNTER_ACCOUNTS:
        raise ValueError(f"no account is on the other side of kind {entry.kind}")
    owner_kind, bucket = COUNTER_ACCOUNTS[entry.kind]
    owner_id = _owning_source(entry) if owner_kind is OwnerKind.SOURCE else ""
    return Account(owner_kind, owner_id, bucket, currency)


def _owning_source(entry: OutboxEntry) -> str:
    if entry.source != OPERATOR_SOURCE:
        return entry.source
    return entry.metadata.get(BOOKED_AGAINST, entry.source)
