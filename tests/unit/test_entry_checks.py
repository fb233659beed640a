"""An entry is judged by itself: one that was changed does not discredit those that follow it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from persistence.audit.entry_checks import ChainCheck, StoredEntry, check_content, check_postings
from persistence.audit.findings import Finding, FindingKind
from persistence.chart_of_accounts import Account, Bucket, Leg, OwnerKind, legs_of
from persistence.hash_chain import FIRST_PREVIOUS_HASH, ChainedEntry, entry_hash
from persistence.outbox import OutboxEntry
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    EntryId,
    EntryType,
    Operation,
    OutboxPosition,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletStatus,
)

EUR = CurrencyCode("EUR")
ANNA = PlayerId("anna")


def bet(number: int) -> OutboxEntry:
    return OutboxEntry(
        type=EntryType.APPLIED,
        operation=Operation.DEBIT,
        source=SourceId("games"),
        transaction_id=TransactionId(f"b{number}"),
        kind=TransactionKind.BET,
        fingerprint="f",
        currency=EUR,
        amount=10,
        version=number + 2,
        change=Buckets(cash=-10),
        after=Buckets(cash=100 - 10 * number),
        wallet_version=number + 2,
        wallet_status=WalletStatus.ACTIVE,
        credit_line=0,
        game="",
        round="",
        reference="",
        outcome=Outcome.APPLIED,
        reason="",
        related="",
        late=False,
        closes_round=False,
        occurred_ms=None,
        metadata={},
    )


def chain(length: int) -> list[StoredEntry]:
    entries: list[StoredEntry] = []
    previous = FIRST_PREVIOUS_HASH
    for number in range(length):
        entry_id = EntryId(3, OutboxPosition(1, number), 0)
        chained = ChainedEntry(entry_id, number, ANNA, 1_000 + number, bet(number))
        legs = legs_of(ANNA, chained.entry)
        hash_ = entry_hash(previous, chained, legs)
        entries.append(StoredEntry(chained, legs, previous, hash_))
        previous = hash_
    return entries


def broken(entries: Sequence[StoredEntry]) -> list[Finding]:
    check = ChainCheck(3)
    return [finding for entry in entries for finding in check.check(entry)]


def test_an_honest_chain_has_no_findings() -> None:
    entries = chain(5)

    assert broken(entries) == []
    assert [finding for entry in entries for finding in (*check_content(entry), *check_postings(entry))] == []


@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("what", ["content", "legs", "hash", "previous_hash"])
def test_a_changed_entry_is_named_and_no_other(number: int, what: str) -> None:
    entries = chain(5)
    entry = entries[number]
    changed = {
        "content": replace(entry, chained=replace(entry.chained, booked_ms=7)),
        "legs": replace(entry, legs=entry.legs[::-1]),
        "hash": replace(entry, hash=bytes(31) + b"\x01"),
        "previous_hash": replace(entry, previous_hash=bytes(31) + b"\x01"),
    }
    entries[number] = changed[what]

    findings = broken(entries)

    assert [finding.entry_id for finding in findings] == [f"3-1-{number}-0"]
    assert findings[0].kind is FindingKind.CHAIN_BROKEN


@pytest.mark.parametrize(("missing", "said"), [((1,), "position 1 is"), ((1, 2, 3), "positions 1 to 3 are")])
def test_missing_entries_are_named_by_their_places(missing: tuple[int, ...], said: str) -> None:
    entries = [entry for number, entry in enumerate(chain(6)) if number not in missing]

    (finding,) = broken(entries)

    assert said in finding.description
    assert finding.partition == 3


def test_an_entry_forged_with_a_hash_of_its_own_breaks_the_chain_behind_it() -> None:
    entries = chain(4)
    forged = replace(entries[1].chained, entry=replace(entries[1].chained.entry, amount=99))
    entries[1] = StoredEntry(
        forged,
        entries[1].legs,
        entries[1].previous_hash,
        entry_hash(entries[0].hash, forged, entries[1].legs),
    )

    assert [finding.entry_id for finding in broken(entries)] == ["3-1-2-0"]


def test_an_entry_put_between_two_others_is_found() -> None:
    entries = chain(3)
    extra = replace(entries[1].chained, chain_position=2, entry=bet(9))
    hash_ = entry_hash(entries[1].hash, extra, entries[1].legs)
    shifted = replace(entries[2], chained=replace(entries[2].chained, chain_position=3))
    inserted = StoredEntry(extra, entries[1].legs, entries[1].hash, hash_)

    assert [finding.entry_id for finding in broken([*entries[:2], inserted, shifted])] == ["3-1-2-0"]


def test_postings_that_do_not_follow_from_their_entry_are_found() -> None:
    (entry,) = chain(1)
    mine, theirs = entry.legs
    house = Leg(Account(OwnerKind.HOUSE, "", Bucket.PROMOTIONS, EUR), theirs.amount)

    def kinds(*legs: Leg) -> list[FindingKind]:
        return [finding.kind for finding in check_postings(replace(entry, legs=legs))]

    assert kinds(mine, theirs) == []
    assert kinds(mine, house) == [FindingKind.POSTING_MISMATCH]
    assert kinds(mine) == [FindingKind.UNBALANCED, FindingKind.POSTING_MISMATCH]
    assert kinds() == [FindingKind.POSTING_MISMATCH]
    assert kinds(mine, replace(theirs, amount=9)) == [FindingKind.UNBALANCED, FindingKind.POSTING_MISMATCH]


def test_an_entry_that_no_account_is_for_is_a_finding_and_no_failure() -> None:
    (entry,) = chain(1)
    without_kind = replace(entry.chained, entry=replace(entry.chained.entry, kind=None))

    (finding,) = check_postings(replace(entry, chained=without_kind))

    assert finding.kind is FindingKind.POSTING_MISMATCH
