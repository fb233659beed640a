"""Which accounts an entry moves money between."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.chart_of_accounts import COUNTER_ACCOUNTS, Leg, OwnerKind, legs_of
from persistence.drain_batch import RawRecord
from persistence.outbox import OutboxEntry, decode_record
from persistence.transactions import Buckets, EntryType, PlayerId, TransactionKind
from tests.outbox_feed import FedWallet, record_fields

PLAYER = PlayerId("anna")
AMOUNTS = st.integers(-(10**36), 10**36)


def entry_of(kind: str = "bet", *, cash: int, held: int = 0, receivable: int = 0) -> OutboxEntry:
    applied = FedWallet(PLAYER).applied("t1", kind, cash=cash, held=held, receivable=receivable)
    fields = record_fields(PLAYER, [applied])
    record = RawRecord("1-0", [field.encode() for field in fields])
    (entry,) = decode_record(record.stream_id, record.fields).entries
    return entry


def as_text(legs: tuple[Leg, ...]) -> list[str]:
    return [
        f"{leg.account.owner_kind} {leg.account.owner_id} {leg.account.bucket} {leg.amount:+}".replace(
            "  ", " "
        )
        for leg in legs
    ]


@pytest.mark.parametrize(
    ("kind", "counter_account"),
    [
        ("bet", "source acme settlement"),
        ("win", "source acme settlement"),
        ("refund", "source acme settlement"),
        ("tip", "source acme settlement"),
        ("jackpot_win", "source acme jackpot"),
        ("promotional_win", "house promotions"),
        ("deposit", "source acme clearing"),
        ("withdrawal", "source acme clearing"),
        ("bonus", "house bonus_cost"),
        ("correction", "house corrections"),
    ],
)
def test_each_kind_has_its_account_on_the_other_side(kind: str, counter_account: str) -> None:
    assert as_text(legs_of(PLAYER, entry_of(kind, cash=-10))) == [
        "player anna cash -10",
        f"{counter_account} +10",
    ]


def test_every_kind_that_moves_money_of_its_own_has_a_counter_account() -> None:
    moves_none = {TransactionKind.ROLLBACK, TransactionKind.ROUND_CLOSING}
    assert COUNTER_ACCOUNTS.keys() == set(TransactionKind) - moves_none


def test_what_a_clamped_rollback_leaves_owing_is_on_the_players_receivable() -> None:
    rollback_of_a_win_of_25 = entry_of("win", cash=-5, receivable=20)

    assert as_text(legs_of(PLAYER, rollback_of_a_win_of_25)) == [
        "player anna cash -5",
        "player anna receivable -20",
        "source acme settlement +25",
    ]


def test_a_later_deposit_pays_the_receivable_first() -> None:
    assert as_text(legs_of(PLAYER, entry_of("deposit", cash=10, receivable=-20))) == [
        "player anna cash +10",
        "player anna receivable +20",
        "source acme clearing -30",
    ]


def test_money_that_only_changes_its_bucket_has_no_account_on_the_other_side() -> None:
    assert as_text(legs_of(PLAYER, entry_of("withdrawal", cash=-60, held=60))) == [
        "player anna cash -60",
        "player anna held +60",
    ]


@pytest.mark.parametrize("type_", [type_ for type_ in EntryType if type_ is not EntryType.APPLIED])
def test_only_applied_entries_have_legs(type_: EntryType) -> None:
    assert legs_of(PLAYER, replace(entry_of(cash=-10), type=type_)) == ()


def test_an_entry_of_zero_has_no_legs() -> None:
    assert legs_of(PLAYER, entry_of("win", cash=0)) == ()


def test_money_that_moves_for_no_known_reason_is_an_error() -> None:
    with pytest.raises(ValueError, match="no account is on the other side of kind rollback"):
        legs_of(PLAYER, entry_of("rollback", cash=5))


def test_money_without_a_currency_is_an_error() -> None:
    with pytest.raises(ValueError, match="without a currency"):
        legs_of(PLAYER, replace(entry_of(cash=5), currency=None))


@given(st.sampled_from(list(COUNTER_ACCOUNTS)), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_legs_sum_to_zero_and_are_the_players_changes(
    kind: TransactionKind, cash: int, bonus: int, held: int, receivable: int
) -> None:
    entry = replace(entry_of(cash=1), kind=kind, change=Buckets(cash, bonus, held, receivable))

    legs = legs_of(PLAYER, entry)

    assert sum(leg.amount for leg in legs) == 0
    assert all(leg.amount for leg in legs)
    assert len({leg.account for leg in legs}) == len(legs)
    own = Counter(
        {leg.account.bucket.value: leg.amount for leg in legs if leg.account.owner_kind is OwnerKind.PLAYER}
    )
    assert (own["cash"], own["bonus"], own["held"], own["receivable"]) == (cash, bonus, held, -receivable)
