"""What a server has answered and the ledger does not have yet."""

from dataclasses import replace

import pytest

from persistence.acknowledged import Acknowledged, AcknowledgedTail, Told
from persistence.adoption_plan import BEFORE_ALL
from persistence.transactions import EntryType, OutboxPosition, PlayerId, SourceId, TransactionId

PARTITION = 3
APPLIED = Told(EntryType.APPLIED, "payload")


def answer(epoch: int, sequence: int) -> Acknowledged:
    return Acknowledged(
        OutboxPosition(epoch, sequence),
        PlayerId("p1"),
        SourceId("games"),
        ((TransactionId(f"b{epoch}-{sequence}"), APPLIED),),
    )


def tail_of(*answers: Acknowledged, most: int = 100) -> AcknowledgedTail:
    tail = AcknowledgedTail(most)
    for each in answers:
        tail.add(PARTITION, each)
    return tail


def lost(
    tail: AcknowledgedTail, *follows: tuple[int, int, int], cursor: OutboxPosition = BEFORE_ALL
) -> list[OutboxPosition]:
    """What is lost when each epoch follows this epoch and sequence, and the ledger is that far."""
    epochs = [(epoch, OutboxPosition(before, sequence)) for epoch, before, sequence in follows]
    return sorted(each.position for each in tail.compare(PARTITION, cursor, epochs))


def settle(tail: AcknowledgedTail, cursor: OutboxPosition) -> None:
    assert tail.compare(PARTITION, cursor, []) == []


def test_nothing_is_lost_while_the_epoch_goes_on() -> None:
    assert lost(tail_of(answer(1, 0), answer(1, 1)), (1, 0, -1)) == []


def test_what_came_after_the_record_that_the_next_epoch_follows_is_lost() -> None:
    tail = tail_of(*(answer(1, n) for n in range(4)), answer(2, 0))

    assert lost(tail, (1, 0, -1), (2, 1, 1)) == [OutboxPosition(1, 2), OutboxPosition(1, 3)]


def test_what_only_a_later_epoch_cut_off_is_lost_too() -> None:
    tail = tail_of(answer(1, 0), answer(1, 1), answer(1, 2))

    assert lost(tail, (2, 1, 2), (3, 1, 0)) == [OutboxPosition(1, 1), OutboxPosition(1, 2)]


def test_what_is_lost_is_told_until_somebody_has_passed_it_on() -> None:
    tail = tail_of(answer(1, 0), answer(1, 1))

    assert lost(tail, (2, 1, 0)) == [OutboxPosition(1, 1)]
    found = tail.compare(PARTITION, OutboxPosition(2, 5), [(2, OutboxPosition(1, 0))])
    assert [each.position for each in found] == [OutboxPosition(1, 1)]
    tail.drop(PARTITION, found)
    assert lost(tail, (2, 1, 0)) == []


def test_what_the_ledger_has_cannot_be_lost() -> None:
    tail = tail_of(answer(1, 0), answer(1, 1))
    settle(tail, OutboxPosition(1, 1))

    assert lost(tail, (2, 1, -1)) == []


def test_what_the_ledger_drained_before_the_loss_is_let_go_and_what_it_did_not_is_kept() -> None:
    tail = tail_of(*(answer(1, n) for n in range(4)))

    assert lost(tail, (2, 1, 2), cursor=OutboxPosition(1, 1)) == [OutboxPosition(1, 3)]
    assert lost(tail, (2, 1, 2), (3, 1, 1), cursor=OutboxPosition(1, 1)) == [
        OutboxPosition(1, 2),
        OutboxPosition(1, 3),
    ]


def test_an_answer_that_left_after_the_next_epoch_was_drained_is_lost() -> None:
    tail = tail_of(answer(1, 0), answer(2, 0))
    assert lost(tail, (2, 1, 0), cursor=OutboxPosition(2, 0)) == []

    tail.add(PARTITION, answer(1, 1))

    assert lost(tail, (2, 1, 0), cursor=OutboxPosition(2, 0)) == [OutboxPosition(1, 1)]


def test_a_replay_of_what_another_server_wrote_counts() -> None:
    tail = tail_of(answer(1, 5), answer(1, 2), answer(1, 2))

    assert lost(tail, (2, 1, 1)) == [OutboxPosition(1, 2), OutboxPosition(1, 5)]


def test_the_ids_of_a_call_may_be_replayed_one_by_one() -> None:
    tail = tail_of(answer(1, 5))
    for name in ("a", "b", "a"):
        tail.add(PARTITION, replace(answer(1, 2), transactions=((TransactionId(name), APPLIED),)))

    found = tail.compare(PARTITION, BEFORE_ALL, [(2, OutboxPosition(1, 0))])

    assert [[name for name, _ in each.transactions] for each in found] == [["b1-5"], ["a"], ["b"]]


def test_a_replay_of_what_the_ledger_has_does_not_count() -> None:
    tail = tail_of(answer(1, 5))
    settle(tail, OutboxPosition(1, 4))
    tail.add(PARTITION, answer(1, 2))

    assert lost(tail, (2, 1, -1)) == [OutboxPosition(1, 5)]


def test_other_partitions_are_another_matter() -> None:
    tail = tail_of(answer(1, 0))
    assert tail.compare(9, OutboxPosition(1, 5), [(2, OutboxPosition(1, 0))]) == []
    assert lost(tail, (2, 1, -1)) == [OutboxPosition(1, 0)]


@pytest.mark.parametrize("order", [range(10), range(9, -1, -1)])
def test_no_more_is_remembered_than_there_is_room_for(order: range) -> None:
    tail = tail_of(*(answer(1, n) for n in order), most=4)

    assert tail.let_go == 6
    found = tail.compare(PARTITION, BEFORE_ALL, [(2, BEFORE_ALL)])
    assert len(found) == 4
    tail.drop(PARTITION, found)
    tail.add(PARTITION, answer(2, 0))
    assert tail.let_go == 6


@pytest.mark.parametrize("told", ["applied", "no_movement", "refused"])
@pytest.mark.parametrize("recorded", ["applied", "no_movement", "refused", "tombstone"])
def test_another_answer_to_the_same_id_is_not_the_one_that_was_given(told: str, recorded: str) -> None:
    given = Told(EntryType(told), "payload")
    is_no_less = (told, recorded) == ("refused", "tombstone")

    assert given.stands_as(Told(EntryType(recorded), "payload")) is (told == recorded or is_no_less)
    assert given.stands_as(Told(EntryType(recorded), "another payload")) is is_no_less
