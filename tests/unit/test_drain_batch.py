"""What a run of records becomes, without any server."""

import pytest

from persistence.drain_batch import PartitionBatch, PartitionState, RawRecord, build_batch
from persistence.epochs import EpochHistory, EpochStart
from persistence.errors import DriftDetected, HistoryForked, OutboxGap, VersionGap
from persistence.hash_chain import FIRST_PREVIOUS_HASH, entry_hash
from persistence.transactions import Buckets, CurrencyCode, OutboxPosition, PlayerId, partition_of
from tests.outbox_feed import EntryTexts, FedWallet, record_fields

PLAYER = "anna"
PARTITION = partition_of(PlayerId(PLAYER), 16)


def state_at(cursor: str, *, newest: int = 1, **follows: str) -> PartitionState:
    """``e2="1-4"``: epoch 2 follows 1-4."""
    starts = {
        int(name[1:]): EpochStart(int(name[1:]), OutboxPosition.parse(position))
        for name, position in follows.items()
    }
    history = EpochHistory(newest, starts)
    return PartitionState(PARTITION, history, OutboxPosition.parse(cursor), 0, FIRST_PREVIOUS_HASH)


START = state_at("1--1")


def record(stream_id: str, *entries: EntryTexts) -> RawRecord:
    return RawRecord(stream_id, [field.encode() for field in record_fields(PLAYER, entries)])


def batch_of(*records: RawRecord, state: PartitionState = START) -> PartitionBatch:
    return build_batch(state, records, partition_count=16)


def test_entries_are_chained_from_the_state_before_to_the_state_after() -> None:
    wallet = FedWallet(PLAYER)
    batch = batch_of(
        record("1-0", wallet.opened()),
        record("1-1", wallet.applied("d", "deposit", cash=9), wallet.applied("b", "bet", cash=-4)),
    )

    assert batch.broken is None
    assert batch.after.cursor == OutboxPosition(1, 1)
    assert batch.after.entry_count == 3
    assert [line.chained.chain_position for line in batch.lines] == [0, 1, 2]
    assert [str(line.chained.entry_id) for line in batch.lines] == [
        f"{PARTITION}-1-0-0",
        f"{PARTITION}-1-1-0",
        f"{PARTITION}-1-1-1",
    ]
    previous_hash = START.chain_hash
    for line in batch.lines:
        assert line.previous_hash == previous_hash
        previous_hash = entry_hash(previous_hash, line.chained, line.legs)
        assert line.hash == previous_hash
    assert batch.after.chain_hash == previous_hash
    assert batch.wallets == {(PlayerId(PLAYER), CurrencyCode("EUR")): Buckets(cash=5)}


def test_two_batches_make_the_same_chain_as_one() -> None:
    wallet = FedWallet(PLAYER)
    first, second = record("1-0", wallet.opened()), record("1-1", wallet.applied("d", "deposit", cash=9))

    halves = batch_of(second, state=batch_of(first).after)

    assert halves.after == batch_of(first, second).after


def test_a_batch_ends_before_a_broken_record_and_names_it() -> None:
    wallet = FedWallet(PLAYER)
    good, gap = record("1-0", wallet.opened()), record("1-2", wallet.applied("d", "deposit", cash=9))

    batch = batch_of(good, gap)

    assert batch.records == [good] or tuple(batch.records) == (good,)
    assert batch.after.cursor == OutboxPosition(1, 0)
    assert batch.broken is not None
    assert batch.broken.record is gap
    assert isinstance(batch.broken.error, OutboxGap)


def test_a_record_is_taken_whole_or_not_at_all() -> None:
    wallet = FedWallet(PLAYER)
    opened, good = wallet.opened(), wallet.applied("d", "deposit", cash=9)
    wallet.version += 1
    late = wallet.applied("b", "bet", cash=-1)

    batch = batch_of(record("1-0", opened), record("1-1", good, late))

    assert len(batch.lines) == 1
    assert batch.wallets == {(PlayerId(PLAYER), CurrencyCode("EUR")): Buckets()}
    assert batch.broken is not None
    assert isinstance(batch.broken.error, VersionGap)


def test_balances_that_do_not_follow_within_a_batch_are_drift_even_if_they_come_right_again() -> None:
    wallet = FedWallet(PLAYER)
    opened = wallet.opened()
    wallet.balances["cash"] = 100
    too_much = wallet.applied("d", "deposit", cash=9)
    wallet.balances["cash"] = 9
    right_again = wallet.applied("w", "win", cash=0)

    batch = batch_of(record("1-0", opened), record("1-1", too_much), record("1-2", right_again))

    assert batch.broken is not None
    assert batch.broken.record.stream_id == "1-1"
    assert isinstance(batch.broken.error, DriftDetected)


def test_a_batch_goes_on_from_one_epoch_into_the_next() -> None:
    wallet = FedWallet(PLAYER)
    records = [
        record("1-4", wallet.opened()),
        record("2-0", wallet.applied("d", "deposit", cash=9)),
        record("2-1", wallet.applied("b", "bet", cash=-4)),
        record("4-0", wallet.applied("w", "win", cash=4)),
    ]

    batch = batch_of(*records, state=state_at("1-3", newest=4, e2="1-4", e3="2-1", e4="2-1"))

    assert batch.broken is None
    assert batch.after.cursor == OutboxPosition(4, 0)
    assert len(batch.lines) == 4


@pytest.mark.parametrize("stream_id", ["1-4", "1-6", "1-3", "0-5"])
def test_a_record_that_does_not_follow_is_a_gap(stream_id: str) -> None:
    batch = batch_of(record(stream_id, FedWallet(PLAYER).opened()), state=state_at("1-4"))

    assert batch.broken is not None
    assert isinstance(batch.broken.error, OutboxGap)


@pytest.mark.parametrize("stream_id", ["2-0", "2-5", "3-1"])
def test_a_new_epoch_that_does_not_begin_where_it_should_is_a_gap(stream_id: str) -> None:
    batch = batch_of(
        record(stream_id, FedWallet(PLAYER).opened()), state=state_at("1-3", newest=3, e2="1-4", e3="2-7")
    )

    assert batch.broken is not None
    assert isinstance(batch.broken.error, OutboxGap)


@pytest.mark.parametrize(
    ("cursor", "stream_id"), [("1-4", "1-5"), ("1-4", "2-0"), ("1-4", "4-0"), ("3-2", "4-0")]
)
def test_a_record_of_a_store_that_had_been_given_up_is_forked(cursor: str, stream_id: str) -> None:
    batch = batch_of(
        record(stream_id, FedWallet(PLAYER).opened()), state=state_at(cursor, newest=3, e2="1-4", e3="1-4")
    )

    assert batch.broken is not None
    assert isinstance(batch.broken.error, HistoryForked)


def test_a_note_changes_nothing_in_the_books() -> None:
    plain = record("1-0", FedWallet(PLAYER).opened())
    noted = RawRecord(plain.stream_id, [*plain.fields, b"note:trace", b"whatever"])

    with_note, without = batch_of(noted), batch_of(plain)

    assert (with_note.lines, with_note.after, with_note.wallets) == (
        without.lines,
        without.after,
        without.wallets,
    )
