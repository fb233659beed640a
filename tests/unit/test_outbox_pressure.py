"""What is shed when an outbox or the store's memory is nearly full, and how the two are counted."""

from uuid import uuid4

import pytest

from persistence.errors import Overloaded, Shortage
from persistence.outbox_pressure import Marks, OutboxPressure, Pressure
from persistence.transactions import OutboxPosition
from persistence.valkey.memory_use import memory_share
from persistence.valkey.node_outboxes import OutboxSurvey
from persistence.witness import Witness

INCARNATION = "a" * 40
LEDGER = uuid4()


def survey(
    length: int,
    *,
    sequence: int | None = None,
    epoch: int = 1,
    of_epoch: int | None = None,
    memory: float = 0.0,
) -> OutboxSurvey:
    """An outbox of so many records; its newest has the sequence, in ``of_epoch`` (default: the witness's)."""
    witness = Witness(epoch, LEDGER, 1, INCARNATION)
    last = None if sequence is None else OutboxPosition(of_epoch or epoch, sequence)
    return OutboxSurvey(str(witness), length, last, INCARNATION, memory)


def pressure_of(*surveys: OutboxSurvey) -> OutboxPressure:
    """With marks at 10 and 20 records; partitions as the surveys are given."""
    pressure = OutboxPressure(Marks(high_records=10, hard_records=20))
    pressure.look(dict(enumerate(surveys)))
    return pressure


def admitted(pressure: OutboxPressure, partition: int = 0) -> set[str]:
    """What is still taken."""
    taken = set()
    for word, starts_play in (("debits", True), ("credits", False)):
        try:
            pressure.admit(partition, starts_play=starts_play)
        except Overloaded:
            continue
        taken.add(word)
    return taken


@pytest.mark.parametrize(
    ("records", "taken"),
    [
        (0, {"debits", "credits"}),
        (9, {"debits", "credits"}),
        (10, {"credits"}),
        (19, {"credits"}),
        (20, set()),
        (21, set()),
    ],
)
def test_debits_wait_from_the_high_mark_and_everything_from_the_hard_one(
    records: int, taken: set[str]
) -> None:
    assert admitted(pressure_of(survey(records, sequence=99))) == taken


@pytest.mark.parametrize(
    ("memory", "taken"), [(0.89, {"debits", "credits"}), (0.9, {"credits"}), (0.97, set()), (1.2, set())]
)
def test_a_store_that_is_nearly_full_counts_like_a_long_outbox(memory: float, taken: set[str]) -> None:
    assert admitted(pressure_of(survey(0, memory=memory))) == taken


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (survey(20, sequence=99), Shortage.OUTBOX),
        (survey(0, memory=0.99), Shortage.MEMORY),
        (survey(15, sequence=99, memory=0.99), Shortage.MEMORY),
        (survey(25, sequence=99, memory=0.91), Shortage.OUTBOX),
    ],
)
def test_the_shed_call_is_told_which_of_both_is_worse_where_and_when_to_come_again(
    found: OutboxSurvey, cause: Shortage
) -> None:
    pressure = pressure_of(survey(0), found)

    with pytest.raises(Overloaded) as shed:
        pressure.admit(1, starts_play=False)

    assert (shed.value.cause, shed.value.partition, shed.value.retry_delay_ms) == (cause, 1, 1000)


def test_only_the_partition_that_is_full_sheds() -> None:
    pressure = pressure_of(survey(30, sequence=99), survey(3, sequence=99), survey(12, sequence=99))

    assert [admitted(pressure, partition) for partition in range(3)] == [
        set(),
        {"debits", "credits"},
        {"credits"},
    ]
    assert pressure.counts() == {Pressure.HARD: 1, Pressure.NONE: 1, Pressure.HIGH: 1}


def test_what_was_written_since_the_last_look_counts_at_once() -> None:
    pressure = pressure_of(survey(5, sequence=104))

    pressure.note(0, OutboxPosition(1, 109))

    assert pressure.records(0) == 10
    assert admitted(pressure) == {"credits"}


def test_a_record_counts_once_however_often_it_is_told_and_looked_at() -> None:
    pressure = pressure_of(survey(5, sequence=104))

    for sequence in (107, 106, 107, 3):
        pressure.note(0, OutboxPosition(1, sequence))
    assert pressure.records(0) == 8
    pressure.look({0: survey(8, sequence=107)})
    assert pressure.records(0) == 8
    pressure.look({0: survey(2, sequence=107)})
    assert pressure.records(0) == 2


def test_the_first_records_of_an_epoch_count_from_its_beginning() -> None:
    pressure = pressure_of(survey(0), survey(4, sequence=50, epoch=3, of_epoch=2))

    pressure.note(0, OutboxPosition(1, 6))
    pressure.note(1, OutboxPosition(3, 6))

    assert (pressure.records(0), pressure.records(1)) == (7, 11)


@pytest.mark.parametrize("found", [survey(0, epoch=2), OutboxSurvey(None, 0, None), survey(0, epoch=1)])
def test_records_of_a_life_that_the_store_lost_count_no_longer_than_until_it_is_taken_over(
    found: OutboxSurvey,
) -> None:
    pressure = pressure_of(survey(0, sequence=10_000))
    pressure.note(0, OutboxPosition(1, 10_000))

    pressure.look({0: found})

    was_taken_over = found.witness is None or Witness.parse(found.witness).epoch == 2
    assert (admitted(pressure) == {"debits", "credits"}) == was_taken_over


def test_a_partition_that_was_never_looked_at_takes_everything() -> None:
    pressure = pressure_of()

    pressure.note(0, OutboxPosition(1, 10_000))

    assert admitted(pressure) == {"debits", "credits"}


@pytest.mark.parametrize(
    ("info", "share"),
    [
        ("# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\n", 0.0),
        ("# Memory\r\nused_memory:900\r\nmaxmemory:1000\r\nmem_not_counted_for_evict:0\r\n", 0.9),
        ("# Memory\r\nused_memory:950\r\nmaxmemory:1000\r\nmem_not_counted_for_evict:50\r\n", 0.9),
        ("# Memory\r\nused_memory:950\r\n", 0.0),
    ],
)
def test_the_share_of_memory_is_what_the_store_compares_with_its_limit(info: str, share: float) -> None:
    assert memory_share(info) == pytest.approx(share)
