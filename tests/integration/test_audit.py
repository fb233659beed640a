"""Whoever tampers with the ledger is found out, and what was changed is named."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from persistence.audit.findings import AuditSummary, FindingKind
from persistence.transactions import partition_of
from service.embedded import embedded_valkey
from tests.books import (
    ANNA,
    BOB,
    Books,
    audited,
    copied,
    entry_id,
    fill,
    kinds,
    of_entry,
    of_kind,
    tamper,
    value,
)
from tests.drained_ledger import PARTITION_COUNT, wallets
from tests.ledgers import TEMPLATE, Ledgers

ANNAS_PARTITION = partition_of(ANNA, PARTITION_COUNT)
ANNAS_BETS = "player_id = 'anna' AND transaction_id = 'b2'"

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def books(tmp_path_factory: pytest.TempPathFactory, ledgers: Ledgers) -> AsyncIterator[Books]:
    name = "books"
    dsn = await ledgers.create(name, template=TEMPLATE)
    async with embedded_valkey(tmp_path_factory.mktemp("books")) as store:
        async with wallets(store.url, dsn) as money:
            await fill(money)
        yield Books(store.url, name)


async def test_honest_books_have_no_findings(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        findings, summary = await audited(dsn, books.valkey_url)

    assert findings == []
    assert summary == AuditSummary(
        entry_count=20, posting_count=28, wallet_count=3, finding_count=0, undrained_wallet_count=0
    )


async def test_honest_wallets_of_one_player_have_no_findings(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        findings, summary = await audited(dsn, books.valkey_url, ANNA)

    assert findings == []
    assert (summary.entry_count, summary.posting_count, summary.wallet_count) == (10, 14, 2)


async def test_a_changed_balance_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        account = await value(dsn, "SELECT account_id FROM ledger.accounts WHERE owner_id = 'anna'")
        await tamper(dsn, f"UPDATE ledger.balances SET balance = balance + 1 WHERE account_id = {account}")

        findings, _ = await audited(dsn, books.valkey_url)
        of_anna, _ = await audited(dsn, books.valkey_url, ANNA)
        of_bob, _ = await audited(dsn, books.valkey_url, BOB)

    assert kinds(findings) == kinds(of_anna) == {FindingKind.BALANCE_MISMATCH}
    assert {finding.player_id for finding in findings} == {"anna"}
    assert any(f"account {account} " in finding.description for finding in findings)
    assert any(f"account {account} " in finding.description for finding in of_anna)
    assert any(
        "the accounts of the EUR wallet of player anna hold" in found.description for found in findings
    )
    assert of_bob == []


async def test_a_balance_after_an_entry_that_does_not_follow_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        next_entry = await entry_id(dsn, "player_id = 'anna' AND transaction_id = 'b3'")
        await tamper(dsn, f"UPDATE ledger.entries SET cash_after = cash_after + 1 WHERE {ANNAS_BETS}")

        findings, _ = await audited(dsn, books.valkey_url)

    mismatches = of_kind(findings, FindingKind.BALANCE_MISMATCH)
    assert [finding.entry_id for finding in mismatches] == [entry, next_entry]


async def test_an_account_turned_into_another_currency_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        await tamper(dsn, "UPDATE ledger.accounts SET currency = 'USD' WHERE owner_id = 'anna'")

        findings, _ = await audited(dsn, books.valkey_url)

    mismatches = of_kind(findings, FindingKind.POSTING_MISMATCH)
    assert entry in {finding.entry_id for finding in mismatches}
    assert {finding.player_id for finding in mismatches} == {"anna"}


async def test_a_changed_posting_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        await tamper(
            dsn, f"UPDATE ledger.postings SET amount = amount - 1 {of_entry(entry)} AND posting_index = 0"
        )

        findings, _ = await audited(dsn, books.valkey_url)
        of_anna, _ = await audited(dsn, books.valkey_url, ANNA)

    for found in (findings, of_anna):
        for kind in (FindingKind.CHAIN_BROKEN, FindingKind.UNBALANCED, FindingKind.POSTING_MISMATCH):
            assert [finding.entry_id for finding in of_kind(found, kind)] == [entry]
        assert FindingKind.BALANCE_MISMATCH in kinds(found)
    (unbalanced,) = of_kind(findings, FindingKind.UNBALANCED)
    assert "sum to -1 EUR" in unbalanced.description


async def test_a_posting_moved_to_another_account_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        clearing = await value(
            dsn,
            "SELECT account_id FROM ledger.accounts "
            f"WHERE bucket = 'clearing' AND partition = {ANNAS_PARTITION}",
        )
        await tamper(
            dsn, f"UPDATE ledger.postings SET account_id = {clearing} {of_entry(entry)} AND posting_index = 1"
        )

        findings, _ = await audited(dsn, books.valkey_url)

    assert [finding.entry_id for finding in of_kind(findings, FindingKind.POSTING_MISMATCH)] == [entry]
    assert [finding.entry_id for finding in of_kind(findings, FindingKind.CHAIN_BROKEN)] == [entry]
    assert of_kind(findings, FindingKind.UNBALANCED) == []


async def test_a_deleted_posting_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        await tamper(dsn, f"DELETE FROM ledger.postings {of_entry(entry)} AND posting_index = 1")

        findings, summary = await audited(dsn, books.valkey_url)

    for kind in (FindingKind.CHAIN_BROKEN, FindingKind.UNBALANCED, FindingKind.POSTING_MISMATCH):
        assert [finding.entry_id for finding in of_kind(findings, kind)] == [entry]
    assert "source games settlement" in of_kind(findings, FindingKind.BALANCE_MISMATCH)[0].description
    assert summary.finding_count == len(findings)


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "cash_change = cash_change - 1",
        "cash_after = cash_after + 1",
        "source_id = 'other'",
        "transaction_id = 'b2b'",
        "kind = 'tip'",
        "kind = 'nonsense'",
        'metadata = \'{"a": "b"}\'',
        "booked_time = booked_time + interval '1 microsecond'",
        "occurred_time = now()",
        "round_id = NULL",
        "fingerprint = 'x'",
        "hash = decode(repeat('ab', 32), 'hex')",
        "previous_hash = decode(repeat('ab', 32), 'hex')",
    ],
)
async def test_a_changed_entry_is_found_and_alone_named(ledgers: Ledgers, books: Books, change: str) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        await tamper(dsn, f"UPDATE ledger.entries SET {change} WHERE {ANNAS_BETS}")

        findings, _ = await audited(dsn, books.valkey_url)
        of_anna, _ = await audited(dsn, books.valkey_url, ANNA)

    for found in (findings, of_anna):
        assert [finding.entry_id for finding in of_kind(found, FindingKind.CHAIN_BROKEN)] == [entry]
        assert {finding.player_id for finding in found} <= {"anna", ""}


async def test_a_deleted_entry_is_found_by_its_place_and_by_what_it_leaves_behind(
    ledgers: Ledgers, books: Books
) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        version = await value(dsn, f"SELECT version FROM ledger.entries WHERE {ANNAS_BETS}")
        position = await value(dsn, f"SELECT chain_position FROM ledger.entries WHERE {ANNAS_BETS}")
        await tamper(dsn, f"DELETE FROM ledger.entries WHERE {ANNAS_BETS}")

        findings, _ = await audited(dsn, books.valkey_url)

    (broken,) = of_kind(findings, FindingKind.CHAIN_BROKEN)
    assert (broken.partition, f"position {position} is missing" in broken.description) == (
        ANNAS_PARTITION,
        True,
    )
    (postings,) = of_kind(findings, FindingKind.POSTING_MISMATCH)
    assert (postings.entry_id, postings.player_id) == (entry, "anna")
    (gap,) = of_kind(findings, FindingKind.VERSION_GAP)
    assert (gap.player_id, gap.currency) == ("anna", "EUR")
    assert f"version {version} is missing" in gap.description


async def test_an_entry_deleted_with_its_postings_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        entry = await entry_id(dsn, ANNAS_BETS)
        position = await value(dsn, f"SELECT chain_position FROM ledger.entries WHERE {ANNAS_BETS}")
        await tamper(dsn, f"DELETE FROM ledger.postings {of_entry(entry)} AND posting_index = 0")
        await tamper(dsn, f"DELETE FROM ledger.postings {of_entry(entry)} AND posting_index = 1")
        await tamper(dsn, f"DELETE FROM ledger.entries WHERE {ANNAS_BETS}")

        findings, _ = await audited(dsn, books.valkey_url)

    (broken,) = of_kind(findings, FindingKind.CHAIN_BROKEN)
    assert f"position {position} is missing" in broken.description
    assert {FindingKind.VERSION_GAP, FindingKind.BALANCE_MISMATCH} <= kinds(findings)


async def test_the_newest_entry_deleted_is_found(ledgers: Ledgers, books: Books) -> None:
    newest = "player_id = 'bob' AND entry_type = 'status_changed'"
    async with copied(ledgers, books) as dsn:
        position = await value(dsn, f"SELECT chain_position FROM ledger.entries WHERE {newest}")
        await tamper(dsn, f"DELETE FROM ledger.entries WHERE {newest}")

        findings, _ = await audited(dsn, books.valkey_url)

    (cursor,) = of_kind(findings, FindingKind.CURSOR_MISMATCH)
    assert cursor.partition == partition_of(BOB, PARTITION_COUNT)
    assert f"from chain position {position} on are missing" in cursor.description
    (gap,) = of_kind(findings, FindingKind.VERSION_GAP)
    assert gap.player_id == "bob"


async def test_a_partitions_position_that_is_not_its_entries_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        for change, expected in [
            ("chain_hash = decode(repeat('cd', 32), 'hex')", "cdcdcd"),
            ("entry_count = entry_count + 1", "entries"),
            ("cursor_sequence = cursor_sequence + 1", "cursor"),
        ]:
            await tamper(dsn, f"UPDATE ledger.partitions SET {change} WHERE partition = {ANNAS_PARTITION}")

            findings, _ = await audited(dsn, books.valkey_url)

            (finding,) = of_kind(findings, FindingKind.CURSOR_MISMATCH)
            assert (finding.partition, expected in finding.description) == (ANNAS_PARTITION, True)


async def test_a_changed_wallet_row_is_found(ledgers: Ledgers, books: Books) -> None:
    async with copied(ledgers, books) as dsn:
        await tamper(
            dsn, "UPDATE ledger.wallets SET status = 'active' WHERE player_id = 'bob' AND currency = 'EUR'"
        )
        await tamper(
            dsn, "UPDATE ledger.wallets SET version = 99 WHERE player_id = 'anna' AND currency = 'USD'"
        )

        findings, _ = await audited(dsn, None)

    named = {(finding.kind, finding.player_id, finding.currency) for finding in findings}
    assert named == {
        (FindingKind.BALANCE_MISMATCH, "bob", "EUR"),
        (FindingKind.VERSION_GAP, "anna", "USD"),
    }
