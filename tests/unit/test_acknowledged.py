"""What a server has answered and the ledger does not have yet."""

from dataclasses import replace

import pytest

from persistence.acknowledged import Acknowledged, AcknowledgedTail
from persistence.transactions import OutboxPosition, PlayerId, SourceId, TransactionId

PARTITION = 3


def answer(epoch: int, sequence: int) -> Acknowledged:
    return Acknowledged(
        OutboxPosition(epoch, sequence),
        PlayerId("p1"),
        SourceId("games"),
        (TransactionId(f"b{epoch}-{sequence}"),),
    )


def tail_of(*answers: Acknowledged, most: int = 100) -> AcknowledgedTail:
    tail = AcknowledgedTail(most)
    for each in answers:
        tail.add(PARTITION, each)
    return tail


def lost(tail: AcknowledgedTail, *follows: tuple[int, int, int]) -> list[OutboxPosition]:
    """What is lost when each epoch follows this epoch and sequence."""
    epochs = [(epoch, OutboxPosition(before, sequence)) for epoch, before, sequence in follows]
    return sorted(each.position for each in tail.take_lost(PARTITION, epochs))


def test_nothing_is_lost_while_the_epoch_goes_on() -> None:
    assert lost(tail_of(answer(1, 0), answer(1, 1)), (1, 0, -1)) == []


def test_what_came_after_the_record_that_the_next_epoch_follows_is_lost() -> None:
    tail = tail_of(*(answer(1, n) for n in range(4)), answer(2, 0))

    assert lost(tail, (1, 0, -1), (2, 1, 1)) == [OutboxPosition(1, 2), OutboxPosition(1, 3)]


def test_what_only_a_later_epoch_cut_off_is_lost_too() -> None:
    tail = tail_of(answer(1, 0), answer(1, 1), answer(1, 2))

    assert lost(tail, (2, 1, 2), (3, 1, 0)) == [OutboxPosition(1, 1), OutboxPosition(1, 2)]


def test_what_is_lost_is_told_once() -> None:
    tail = tail_of(answer(1, 0), answer(1, 1))

    assert lost(tail, (2, 1, 0)) == [OutboxPosition(1, 1)]
    assert lost(tail, (2, 1, 0)) == []


def test_what_the_ledger_has_cannot_be_lost() -> None:
    tail = tail_of(answer(1, 0), answer(1, 1))
    tail.settle(PARTITION, OutboxPosition(1, 1))

    assert lost(tail, (2, 1, -1)) == []


def test_a_replay_of_what_another_server_wrote_counts() -> None:
    tail = tail_of(answer(1, 5), answer(1, 2), answer(1, 2))

    assert lost(tail, (2, 1, 1)) == [OutboxPosition(1, 2), OutboxPosition(1, 5)]


def test_the_ids_of_a_call_may_be_replayed_one_by_one() -> None:
    tail = tail_of(answer(1, 5))
    for name in ("a", "b", "a"):
        tail.add(PARTITION, replace(answer(1, 2), transaction_ids=(TransactionId(name),)))

    found = tail.take_lost(PARTITION, [(2, OutboxPosition(1, 0))])

    assert [each.transaction_ids for each in found] == [("b1-5",), ("a",), ("b",)]


def test_a_replay_of_what_the_ledger_has_does_not_count() -> None:
    tail = tail_of(answer(1, 5))
    tail.settle(PARTITION, OutboxPosition(1, 4))
    tail.add(PARTITION, answer(1, 2))

    assert lost(tail, (2, 1, -1)) == [OutboxPosition(1, 5)]


def test_other_partitions_are_another_matter() -> None:
    assert AcknowledgedTail().take_lost(9, [(2, OutboxPosition(1, 0))]) == []
    tail = tail_of(answer(1, 0))
    tail.settle(9, OutboxPosition(1, 5))
    assert lost(tail, (2, 1, -1)) == [OutboxPosition(1, 0)]


@pytest.mark.parametrize("order", [range(10), range(9, -1, -1)])
def test_no_more_is_remembered_than_there_is_room_for(order: range) -> None:
    tail = tail_of(*(answer(1, n) for n in order), most=4)

    assert tail.let_go == 6
    assert len(lost(tail, (2, 1, -1))) == 4
