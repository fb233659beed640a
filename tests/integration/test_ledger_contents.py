"""What stands in the ledger is what was in the record, byte for byte, and hashed as documented."""

import hashlib
import json

import pytest

from tests.draining import Draining
from tests.outbox_feed import FedWallet

ODD = r"""\N \. \\ tab	"quoted" 'single' {curly} %s $1 --"""
FULL = {
    "game": ODD,
    "round": ODD,
    "reference": ODD,
    "related": ODD,
    "late": "1",
    "closes_round": "1",
    "occurred_ms": "1767225599123",
    "metadata": json.dumps({"b": '\\ \n \t " é ☃', "a": ODD}),
}
ENTRY_AS_JSON = """
    SELECT e.*, extract(epoch FROM booked_time) * 1000 AS booked_ms,
        extract(epoch FROM occurred_time) * 1000 AS occurred_ms
    FROM ledger.entries AS e ORDER BY partition, chain_position
"""
POSTINGS = """
    SELECT owner_kind, owner_id, bucket, postings.currency, amount
    FROM ledger.postings JOIN ledger.accounts USING (account_id)
    WHERE (postings.partition, epoch, sequence, entry_index) = ($1, $2, $3, $4) ORDER BY posting_index
"""


async def play(books: Draining) -> FedWallet:
    wallet = FedWallet("anna", currency="ETH", source="acme")
    await books.feed.add("anna", wallet.opened())
    await books.feed.add("anna", {**wallet.applied(ODD, "deposit", cash=10**35 + 1), **FULL})
    await books.feed.add(
        "anna", wallet.applied("clamped", "win", operation="rollback", cash=-5, receivable=20)
    )
    await books.feed.add("anna", wallet.refused("no", "bet", reason="INSUFFICIENT_FUNDS", amount=7))
    await books.drain()
    return wallet


async def test_every_field_arrives_as_it_was_sent(books: Draining) -> None:
    await play(books)

    _, deposit, rollback, refusal = await books.sql.fetch(ENTRY_AS_JSON)

    for column in (
        "transaction_id",
        "game_id",
        "round_id",
        "reference_transaction_id",
        "related_transaction_id",
    ):
        assert deposit[column] == ODD
    assert json.loads(deposit["metadata"]) == json.loads(FULL["metadata"])
    assert (deposit["late"], deposit["closes_round"]) == (True, True)
    assert deposit["occurred_ms"] == 1767225599123
    assert deposit["cash_after"] == deposit["cash_change"] == 10**35 + 1
    assert (rollback["operation"], rollback["kind"], rollback["game_id"]) == ("rollback", "win", None)
    assert (rollback["receivable_change"], rollback["receivable_after"]) == (20, 20)
    assert (refusal["refusal_reason"], refusal["version"], refusal["wallet_version"]) == (
        "INSUFFICIENT_FUNDS",
        None,
        3,
    )


async def test_balances_of_35_digits_are_exact(books: Draining) -> None:
    await play(books)

    rows = await books.sql.fetch(
        "SELECT bucket, balance FROM ledger.accounts JOIN ledger.balances USING (account_id)"
    )

    assert {row["bucket"]: int(row["balance"]) for row in rows} == {
        "cash": 10**35 - 4,
        "receivable": -20,
        "clearing": -(10**35) - 1,
        "settlement": 25,
    }


async def test_hashes_can_be_checked_by_anybody_who_reads_the_tables(books: Draining) -> None:
    await play(books)
    previous_hash = bytes(32)

    for row in await books.sql.fetch(ENTRY_AS_JSON):
        place = (row["partition"], row["epoch"], row["sequence"], row["entry_index"])
        entry = [
            "-".join(map(str, place)), row["chain_position"], row["entry_type"], row["operation"],
            row["player_id"], row["source_id"], row["transaction_id"], row["kind"], row["fingerprint"],
            row["currency"], row["amount"], row["version"], row["cash_change"], row["bonus_change"],
            row["held_change"], row["receivable_change"], row["cash_after"], row["bonus_after"],
            row["held_after"], row["receivable_after"], row["wallet_version"], row["wallet_status"],
            row["credit_line"], row["game_id"], row["round_id"], row["reference_transaction_id"],
            row["outcome"], row["refusal_reason"], row["related_transaction_id"], row["late"],
            row["closes_round"], row["occurred_ms"], row["booked_ms"],
        ]  # fmt: skip
        metadata = json.dumps(json.loads(row["metadata"]), sort_keys=True, separators=(",", ":"))
        if row["metadata_digest"] is not None:
            digest = hashlib.sha256(row["metadata_salt"] + metadata.encode()).digest()
            assert row["metadata_digest"] == digest
            metadata = f"sha256:{digest.hex()}"
        postings = [list(posting) for posting in await books.sql.fetch(POSTINGS, *place)]
        text = json.dumps([[*entry, metadata], *postings], separators=(",", ":"), default=int)
        text = text.replace(",true", ",1").replace(",false", ",0")

        assert row["previous_hash"] == previous_hash
        assert row["hash"] == hashlib.sha256(previous_hash + text.encode()).digest()
        previous_hash = row["hash"]


@pytest.mark.parametrize("name", ["ids", "metadata"])
async def test_text_that_postgres_cannot_hold_stops_the_partition(books: Draining, name: str) -> None:
    wallet = FedWallet("anna")
    await books.feed.add("anna", wallet.opened())
    entry = wallet.applied("t\x00", "deposit", cash=1)
    if name == "metadata":
        entry = {**wallet.applied("t", "deposit", cash=1), "metadata": '{"a":"\\u0000"}', "version": "2"}
    await books.feed.add("anna", entry)

    with pytest.raises(Exception, match="1 partitions are stopped"):
        await books.drain()

    assert await books.entry_count() == 1
