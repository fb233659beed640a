"""What the scripts store is read back by Python, field by field."""

from collections.abc import Iterator, Mapping

import pytest
import redis

from persistence.calls import TransactionState
from persistence.transactions import (
    SEPARATOR,
    Buckets,
    CurrencyCode,
    Operation,
    Outcome,
    TransactionId,
    TransactionKind,
    WalletBalance,
    WalletStatus,
)
from persistence.valkey.records import TRANSACTION_FIELDS, decode_transaction, decode_wallet
from service.embedded import EmbeddedValkey
from tests.lua_includes import include

TRANSACTIONS = include("text", "transactions")
ENCODE_TRANSACTION = f"""{TRANSACTIONS}
local record = {{}}
for i = 1, #ARGV, 2 do
  record[ARGV[i]] = ARGV[i + 1]
end
return encode_transaction(record)
"""
DECODE_TRANSACTION = f"""{TRANSACTIONS}
local reply = {{}}
for name, value in pairs(decode_transaction('the-id', ARGV[1])) do
  reply[#reply + 1], reply[#reply + 2] = name, value
end
return reply
"""
WALLETS = include("text", "minor_units", "wallets")
ENCODE_WALLET = f"""{WALLETS}
return encode_wallet({{
  currency = 'EUR', version = '7', status = 'debits_frozen', cash = '-1', bonus = '2', held = '3',
  receivable = '4', credit_line = '5', booked_ms = '6',
}})
"""
RECODE_WALLET = f"{WALLETS} return encode_wallet(decode_wallet('EUR', ARGV[1]))"

EUR = WalletBalance(CurrencyCode("EUR"), 9, WalletStatus.ACTIVE, Buckets(50), 70)
RECORD = {
    "state": "rolled_back",
    "fingerprint": "f",
    "operation": "debit",
    "kind": "bet",
    "position": "1-5-0",
    "booked_ms": "1700000000001",
    "currency": "EUR",
    "amount": "100",
    "cash_change": "-100",
    "bonus_change": "0",
    "held_change": "0",
    "receivable_change": "-6",
    "version": "7",
    "status": "closed",
    "cash": "-1",
    "bonus": "2",
    "held": "3",
    "receivable": "4",
    "game": "g",
    "round": "r",
    "reference": "x",
    "outcome": "applied",
    "reason": "",
    "related": "y",
    "late": "1",
    "wins": "2",
}


@pytest.fixture(scope="module")
def store(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def text_of(record: Mapping[str, str]) -> str:
    return SEPARATOR.join(record.get(name, "") for name in TRANSACTION_FIELDS)


def own_names() -> dict[str, str]:
    """A record in which each field says its own name."""
    return {name: f"<{name}>" for name in TRANSACTION_FIELDS}


def test_lua_writes_each_field_of_a_transaction_where_python_reads_it(store: "redis.Redis") -> None:
    pairs = [word for pair in own_names().items() for word in pair]

    assert store.eval(ENCODE_TRANSACTION, 0, *pairs) == text_of(own_names())


def test_lua_reads_each_field_of_a_transaction_where_it_was_written(store: "redis.Redis") -> None:
    reply = store.eval(DECODE_TRANSACTION, 0, text_of(own_names()))
    assert isinstance(reply, list)

    assert dict(zip(reply[0::2], reply[1::2], strict=True)) == own_names() | {"id": "the-id"}


def test_empty_fields_keep_their_places(store: "redis.Redis") -> None:
    reply = store.eval(DECODE_TRANSACTION, 0, text_of({"state": "awaited", "wins": "1"}))
    assert isinstance(reply, list)

    read = dict(zip(reply[0::2], reply[1::2], strict=True))
    assert {name: value for name, value in read.items() if value} == {
        "id": "the-id",
        "state": "awaited",
        "wins": "1",
    }


def test_python_reads_a_wallet_as_lua_writes_it(store: "redis.Redis") -> None:
    text = store.eval(ENCODE_WALLET, 0)
    assert isinstance(text, str)

    assert decode_wallet("EUR", text) == WalletBalance(
        CurrencyCode("EUR"), 7, WalletStatus.DEBITS_FROZEN, Buckets(-1, 2, 3, 4), 5
    )
    assert store.eval(RECODE_WALLET, 0, text) == text


def test_every_field_of_a_transaction_is_read() -> None:
    record = decode_transaction(TransactionId("b1"), text_of(RECORD), 3, {"EUR": EUR})

    assert (record.state, record.transaction_id) == (TransactionState.ROLLED_BACK, "b1")
    assert (record.operation, record.kind) == (Operation.DEBIT, TransactionKind.BET)
    assert (record.entry_id, record.booked_ms) == ("3-1-5-0", 1700000000001)
    assert (record.currency, record.amount, record.receivable_change) == ("EUR", 100, -6)
    assert record.balance == WalletBalance(
        CurrencyCode("EUR"), 7, WalletStatus.CLOSED, Buckets(-1, 2, 3, 4), 70
    )
    assert record.balance_now == EUR
    assert (record.game, record.round, record.reference) == ("g", "r", "x")
    assert (record.outcome, record.reason, record.related) == (Outcome.APPLIED, "", "y")
    assert record.late


@pytest.mark.parametrize("text", ["", text_of({"state": "awaited", "wins": "1"})])
def test_an_id_that_was_never_used_or_is_only_awaited_counts_as_not_seen(text: str) -> None:
    record = decode_transaction(TransactionId("b1"), text, 3, {})

    assert record.state is TransactionState.NOT_SEEN
    assert record.entry_id == ""


def test_a_tombstone_has_neither_amount_nor_wallet() -> None:
    stored = {"state": "tombstone", "position": "1-5-1", "booked_ms": "5", "related": "r1"}

    record = decode_transaction(TransactionId("b1"), text_of(stored), 3, {"EUR": EUR})

    assert (record.state, record.related) == (TransactionState.TOMBSTONE, "r1")
    assert (record.amount, record.currency, record.balance, record.balance_now) == (None,) * 4


def test_every_state_that_lua_documents_is_one_of_pythons() -> None:
    documented = TRANSACTIONS.partition("-- state ")[2].partition("-- wins ")[0]

    for state in TransactionState:
        assert (state.value in documented) == (state is not TransactionState.NOT_SEEN)
