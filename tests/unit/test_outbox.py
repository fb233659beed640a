"""The outbox record: what Lua writes, Python reads, field by field; anything else is malformed."""

from collections.abc import Iterator

import pytest
import redis

from persistence.errors import OutboxRecordMalformed
from persistence.outbox import ENTRY_FIELDS, FORMAT, decode_record, entry_texts, trace_note
from persistence.transactions import (
    SEPARATOR,
    Buckets,
    EntryType,
    Operation,
    OutboxPosition,
    Outcome,
    TransactionKind,
    WalletStatus,
)
from service.embedded import EmbeddedValkey
from tests.lua_includes import include

LUA_NAMES = {
    "transaction_id": "id",
    "cash_after": "cash",
    "bonus_after": "bonus",
    "held_after": "held",
    "receivable_after": "receivable",
    "wallet_status": "status",
}
"""What a record calls a field that the entry calls otherwise."""

FROM_ELSEWHERE = {"type", "source", "version", "wallet_version", "credit_line"}
OF_THE_STEP = {"closes_round", "occurred_ms", "metadata"}

ENCODE = (
    include("text", "outbox")
    + """
local record, context = {}, {}
for i = 4, #ARGV, 2 do
  record[ARGV[i]], context[ARGV[i]] = ARGV[i + 1], ARGV[i + 1]
end
return encode_entry('<type>', '<source>', record, ARGV[1], ARGV[2] == '1', ARGV[3] == '1' and context or {})
"""
)

ENTRY = {
    "type": "applied",
    "operation": "debit",
    "source": "games",
    "transaction_id": "b1",
    "kind": "bet",
    "fingerprint": "f",
    "currency": "EUR",
    "amount": "100",
    "version": "7",
    "cash_change": "-100",
    "bonus_change": "0",
    "held_change": "0",
    "receivable_change": "0",
    "cash_after": "900",
    "bonus_after": "1",
    "held_after": "2",
    "receivable_after": "3",
    "wallet_version": "7",
    "wallet_status": "active",
    "credit_line": "4",
    "game": "g",
    "round": "r",
    "reference": "x",
    "outcome": "applied",
    "reason": "",
    "related": "y",
    "late": "1",
    "closes_round": "1",
    "occurred_ms": "1700000000000",
    "metadata": '{"k":"v"}',
}


@pytest.fixture(scope="module")
def store(valkey: EmbeddedValkey) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def entry_text(**changes: str) -> str:
    return SEPARATOR.join((ENTRY | changes).values())


def fields(*entries: str, format_: str = FORMAT, time: str = "5", player: str = "p") -> list[bytes]:
    names = ["format", format_, "time", time, "player", player]
    return [text.encode() for text in (*names, *(word for entry in entries for word in ("entry", entry)))]


def encoded(store: "redis.Redis", *, changes_wallet: bool, of_a_step: bool = True) -> dict[str, str]:
    """An entry that Lua wrote of a record in which each field says its own name."""
    record = [LUA_NAMES.get(name, name) for name in ENTRY_FIELDS]
    pairs = [word for name in record for word in (name, f"<{name}>")]
    text = store.eval(ENCODE, 0, "<credit_line>", int(changes_wallet), int(of_a_step), *pairs)
    assert isinstance(text, str)
    return dict(zip(ENTRY_FIELDS, text.split(SEPARATOR), strict=True))


def test_lua_writes_each_field_where_python_reads_it(store: "redis.Redis") -> None:
    entry = encoded(store, changes_wallet=True)

    assert entry == {name: f"<{LUA_NAMES.get(name, name)}>" for name in ENTRY_FIELDS} | {
        "wallet_version": "<version>"
    }


def test_an_entry_that_changes_no_wallet_has_no_version_of_its_own(store: "redis.Redis") -> None:
    entry = encoded(store, changes_wallet=False)

    assert (entry["version"], entry["wallet_version"]) == ("", "<version>")


def test_an_entry_without_a_step_says_nothing_of_one(store: "redis.Redis") -> None:
    entry = encoded(store, changes_wallet=False, of_a_step=False)

    assert {entry[name] for name in OF_THE_STEP} == {""}


def test_what_a_record_does_not_have_is_written_empty_and_unmoved_buckets_as_zero(
    store: "redis.Redis",
) -> None:
    text = store.eval(ENCODE, 0, "", 1, 0, "id", "b1")
    assert isinstance(text, str)

    record = decode_record("1-0", fields(text.replace("<type>", "tombstone").replace("<source>", "games")))

    (entry,) = record.entries
    assert (entry.type, entry.source, entry.transaction_id) == (EntryType.TOMBSTONE, "games", "b1")
    assert entry.change == Buckets()
    assert (entry.operation, entry.kind, entry.amount, entry.version, entry.after) == (None,) * 5
    assert entry.metadata == {}


def test_every_field_of_an_entry_is_read() -> None:
    record = decode_record("3-17", fields(entry_text(), player="p 1", time="1700000000001"))

    assert (record.position, record.player, record.booked_ms) == (
        OutboxPosition(3, 17),
        "p 1",
        1700000000001,
    )
    (entry,) = record.entries
    assert (entry.type, entry.operation, entry.kind) == (
        EntryType.APPLIED,
        Operation.DEBIT,
        TransactionKind.BET,
    )
    assert (entry.source, entry.transaction_id, entry.fingerprint) == ("games", "b1", "f")
    assert (entry.currency, entry.amount, entry.version, entry.wallet_version) == ("EUR", 100, 7, 7)
    assert entry.change == Buckets(-100, 0, 0, 0)
    assert entry.after == Buckets(900, 1, 2, 3)
    assert (entry.wallet_status, entry.credit_line) == (WalletStatus.ACTIVE, 4)
    assert (entry.game, entry.round, entry.reference, entry.related) == ("g", "r", "x", "y")
    assert (entry.outcome, entry.reason) == (Outcome.APPLIED, "")
    assert entry.late is entry.closes_round is True
    assert (entry.occurred_ms, entry.metadata) == (1700000000000, {"k": "v"})


def test_the_entries_of_a_record_stay_in_their_order() -> None:
    record = decode_record("1-0", fields(*(entry_text(transaction_id=f"b{n}") for n in range(32))))

    assert [entry.transaction_id for entry in record.entries] == [f"b{n}" for n in range(32)]


@pytest.mark.parametrize("sign", [1, -1])
def test_amounts_of_36_digits_are_read_exactly(sign: int) -> None:
    amount = sign * (10**36 - 1)

    record = decode_record("1-0", fields(entry_text(cash_change=str(amount), cash_after=str(-amount))))

    assert record.entries[0].change.cash == amount
    assert record.entries[0].after == Buckets(-amount, 1, 2, 3)


@pytest.mark.parametrize(
    ("stream_id", "words"),
    [
        ("1-0", fields()),
        ("1-0", []),
        ("1-0", fields(entry_text(), format_="2")),
        ("1-0", fields(entry_text())[2:]),
        ("1-0", fields(entry_text())[:-1]),
        ("1-0", [*fields(entry_text()), b"more", b"of it"]),
        ("1-0", [*fields(entry_text()), b"note:trace"]),
        ("1-0", [*fields(), b"note:trace", b"x"]),
        ("1-0", [*fields(entry_text()), b"note:trace", b"x", b"entry", entry_text().encode()]),
        ("1-0", fields(entry_text(), time="")),
        ("1-0", fields(entry_text() + SEPARATOR)),
        ("1-0", fields(entry_text().rpartition(SEPARATOR)[0])),
        ("1-0", fields("")),
        ("1-0", fields(entry_text(type="paid"))),
        ("1-0", fields(entry_text(operation="steal"))),
        ("1-0", fields(entry_text(kind="gift"))),
        ("1-0", fields(entry_text(outcome="maybe"))),
        ("1-0", fields(entry_text(wallet_status="rich"))),
        ("1-0", fields(entry_text(amount="1e3"))),
        ("1-0", fields(entry_text(cash_change=""))),
        ("1-0", fields(entry_text(bonus_after=""))),
        ("1-0", fields(entry_text(metadata="{"))),
        ("1-0", [*fields()[:-1], b"\xff\xfe", b"entry", entry_text().encode()]),
        ("1", fields(entry_text())),
        ("one-two", fields(entry_text())),
    ],
)
def test_anything_else_is_malformed_and_says_which_record(stream_id: str, words: list[bytes]) -> None:
    with pytest.raises(OutboxRecordMalformed, match=f"record {stream_id} "):
        decode_record(stream_id, words)


def test_notes_behind_the_entries_are_beside_the_books() -> None:
    words = fields(entry_text())
    noted = [*words, b"note:of tomorrow", b"x", b"note:trace", b"00-1-2-01"]

    assert decode_record("1-0", noted) == decode_record("1-0", words)
    assert (trace_note(noted), trace_note(words), trace_note([])) == ("00-1-2-01", "", "")


def test_an_entry_is_written_as_it_was_read() -> None:
    text = SEPARATOR.join(ENTRY.values())
    [entry] = decode_record(
        "1-0", [b"format", b"1", b"time", b"1", b"player", b"p", b"entry", text.encode()]
    ).entries

    assert entry_texts(entry) == list(ENTRY.values())
