"""Lines of commands: each player's commands are decided one by one and in order, whatever happens."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persistence.inbox import CommandKey, WaitingCommand
from persistence.transactions import PlayerId
from service.working.inbox.lines import MOST_OF_PLAYER, Lines, Taken

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PARTITIONS = 3


def command(index: int, player: str = "p0", *, due_in_s: float | None = None) -> WaitingCommand:
    return WaitingCommand((1, index), int(player[1:]) % PARTITIONS, PlayerId(player), b"", 0, None, due_in_s)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def keys_of(lines: Lines) -> list[int]:
    """Takes all that may be tried now."""
    taken = []
    while one := lines.take():
        taken.append(one.command.key[1])
    return taken


def test_each_player_has_one_command_under_way() -> None:
    lines = Lines(Clock())
    for index in range(6):
        lines.add(command(index, f"p{index % 2}"))

    assert keys_of(lines) == [0, 1]


def test_the_next_one_comes_when_the_one_before_is_decided() -> None:
    lines = Lines(Clock())
    for index in range(3):
        lines.add(command(index))
    first = lines.take()
    assert first is not None

    lines.decide(first, hold=False)

    assert keys_of(lines) == [1]


def test_after_a_decision_that_nobody_else_remembers_the_next_one_waits_for_the_record() -> None:
    lines = Lines(Clock())
    lines.add(command(0))
    lines.add(command(1))
    first = lines.take()
    assert first is not None

    lines.decide(first, hold=True)
    assert keys_of(lines) == []
    lines.record(first)

    assert keys_of(lines) == [1]


def test_a_command_that_is_tried_again_later_blocks_its_player_alone() -> None:
    clock = Clock()
    lines = Lines(clock)
    for index in range(4):
        lines.add(command(index, f"p{index % 2}"))
    first = lines.take()
    assert first is not None

    lines.retry(first, attempts=1, first_attempt_time=LONG_AGO, after_s=5.0)
    assert keys_of(lines) == [1]
    assert lines.next_due == 5.0
    clock.now = 5.0
    again = lines.take()

    assert again is not None
    assert again.command.key == first.command.key
    assert (again.command.attempts, again.command.first_attempt_time) == (1, LONG_AGO)


def test_what_stands_behind_a_resting_command_comes_from_postgres_again() -> None:
    clock = Clock()
    lines = Lines(clock)
    lines.add(command(0))
    lines.add(command(1))
    first = lines.take()
    assert first is not None
    lines.retry(first, attempts=1, first_attempt_time=LONG_AGO, after_s=5.0)
    lines.add(command(2))
    clock.now = 5.0
    again = lines.take()
    assert again is not None

    lines.decide(again, hold=False)
    assert lines.short(10) == []
    lines.record(again)
    [short] = lines.short(10)
    lines.fill([short], [command(1), command(2)])

    assert short.player_id == "p0"
    assert keys_of(lines) == [1]


def test_what_postgres_says_is_due_later_rests() -> None:
    clock = Clock()
    lines = Lines(clock)
    lines.add(command(0, due_in_s=3.0))

    assert keys_of(lines) == []
    clock.now = 3.0
    assert keys_of(lines) == [0]


def test_a_player_with_thousands_takes_no_more_room_than_a_line() -> None:
    lines = Lines(Clock())
    for index in range(10 * MOST_OF_PLAYER):
        lines.add(command(index))

    assert lines.loaded == MOST_OF_PLAYER


def test_partitions_that_are_dropped_are_forgotten_and_what_ends_late_changes_nothing() -> None:
    lines = Lines(Clock())
    lines.add(command(0, "p0"))
    lines.add(command(1, "p0"))
    lines.add(command(2, "p1"))
    late = lines.take()
    assert late is not None

    lines.drop({0})
    lines.add(command(0, "p0"))
    lines.decide(late, hold=False)
    lines.record(late)

    assert sorted(keys_of(lines)) == [0, 2]
    assert lines.concerns(1)


def test_a_submission_is_no_concern_once_all_is_recorded() -> None:
    lines = Lines(Clock())
    lines.add(command(0))
    taken = lines.take()
    assert taken is not None

    lines.decide(taken, hold=False)
    assert lines.concerns(1)
    lines.record(taken)

    assert not lines.concerns(1)


class Postgres:
    """What waits, as the inbox's queries tell it."""

    def __init__(self, commands: Sequence[WaitingCommand]) -> None:
        self.waiting = {one.key: one for one in commands}

    def page(self, partitions: set[int], after: CommandKey, limit: int) -> list[WaitingCommand]:
        found = [one for key, one in self.waiting.items() if key > after and one.partition in partitions]
        return sorted(found, key=lambda one: one.key)[:limit]

    def first_of(self, players: Sequence[PlayerId]) -> list[WaitingCommand]:
        found: list[WaitingCommand] = []
        for player in players:
            own = [one for one in self.waiting.values() if one.player_id == player]
            found += sorted(own, key=lambda one: one.key)[:MOST_OF_PLAYER]
        return found


class Worker:
    """Does what the job does, in any order that chance brings."""

    def __init__(self, commands: Sequence[WaitingCommand], random: Random) -> None:
        self.postgres = Postgres(commands)
        self.random = random
        self.clock = Clock()
        self.lines = Lines(self.clock)
        self.scans: list[tuple[set[int], CommandKey]] = [(set(range(PARTITIONS)), (-1, -1))]
        self.under_way: list[Taken] = []
        self.unrecorded: list[Taken] = []
        self.decided: dict[PlayerId, list[int]] = defaultdict(list)
        self.seen: set[CommandKey] = set()

    def step(self) -> None:
        deed = self.random.choice([self.scan, self.fill, self.begin, self.begin, self.end, self.record])
        deed()
        if self.random.random() < 0.02:
            self.lose()
        self.clock.now += self.random.random()

    def scan(self) -> None:
        if not self.scans:
            return
        partitions, after = self.scans.pop(0)
        page = self.postgres.page(partitions, after, 7)
        for one in page:
            self.lines.add(one)
        if len(page) == 7:
            self.scans.insert(0, (partitions, page[-1].key))

    def fill(self) -> None:
        short = self.lines.short(2)
        self.lines.fill(short, self.postgres.first_of([line.player_id for line in short]))

    def begin(self) -> None:
        taken = self.lines.take()
        if taken is not None:
            players = [other.command.player_id for other in self.under_way if not other.line.dropped]
            assert taken.command.player_id not in players
            self.under_way.append(taken)

    def end(self) -> None:
        if not self.under_way:
            return
        taken = self.under_way.pop(self.random.randrange(len(self.under_way)))
        if self.random.random() < 0.2:
            self.lines.retry(taken, attempts=1, first_attempt_time=LONG_AGO, after_s=self.random.random() * 5)
            return
        if not taken.line.dropped and taken.command.key not in self.seen:
            self.seen.add(taken.command.key)
            self.decided[taken.command.player_id].append(taken.command.key[1])
        self.lines.decide(taken, hold=self.random.random() < 0.3)
        if not taken.line.dropped:
            self.unrecorded.append(taken)

    def record(self) -> None:
        for taken in self.unrecorded:
            if not taken.line.dropped:
                self.postgres.waiting.pop(taken.command.key, None)
            self.lines.record(taken)
        self.unrecorded.clear()

    def lose(self) -> None:
        """A partition is lost, and had again: it is looked through from the first command on."""
        partition = self.random.randrange(PARTITIONS)
        self.lines.drop({partition})
        for partitions, _ in self.scans:
            partitions.discard(partition)
        self.scans.append(({partition}, (-1, -1)))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 150), player_count=st.integers(1, 6))
def test_whatever_happens_all_is_decided_in_each_players_order(
    seed: int, count: int, player_count: int
) -> None:
    random = Random(seed)
    commands = [command(index, f"p{random.randrange(player_count)}") for index in range(count)]
    worker = Worker(commands, random)

    for _ in range(400 * count + 2000):
        worker.step()
        if not worker.postgres.waiting:
            break

    assert not worker.postgres.waiting
    for player, indexes in worker.decided.items():
        assert indexes == [one.key[1] for one in commands if one.player_id == player]


@pytest.mark.parametrize("hold", [True, False])
def test_a_line_is_empty_after_its_last_command(hold: bool) -> None:
    lines = Lines(Clock())
    lines.add(command(0))
    taken = lines.take()
    assert taken is not None

    lines.decide(taken, hold=hold)
    lines.record(taken)

    assert lines.loaded == 0
    assert lines.take() is None
    assert lines.short(10) == []
