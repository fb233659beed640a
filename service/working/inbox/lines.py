"""Which command is next: each player's commands stand in a line, and only the first of a line is tried.

Pure: nothing is read or written here. A line has in memory the first commands that wait in Postgres, in
their order, and remembers whether there may be more. The first one stays in front until it is decided; where
it has to be tried again later, its line rests and all others go on.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import heappop, heappush

from persistence.inbox import CommandKey, WaitingCommand
from persistence.transactions import PlayerId

MOST_OF_PLAYER = 32
"""Commands of one player in memory: whoever has thousands must not take the room of everybody else."""


@dataclass(eq=False, slots=True)
class Line:
    """One player's. ``more``: others may wait in Postgres behind those in the queue. ``unrecorded`` are
    decided, and Postgres does not know yet.
    """

    player_id: PlayerId
    partition: int
    queue: deque[WaitingCommand] = field(default_factory=deque)
    unrecorded: set[CommandKey] = field(default_factory=set)
    rests_until: float = 0.0
    more: bool = False
    held: bool = False
    placed: bool = False
    """It is being tried, or stands where it will be found: among the ready, the resting or the short ones."""
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A command to try, and the line that it is the first of."""

    line: Line
    command: WaitingCommand


class Lines:
    """All lines. ``now`` is the event loop's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lines: dict[PlayerId, Line] = {}
        self._known: dict[CommandKey, Line] = {}
        self._numbers: Counter[int] = Counter()
        self._ready: deque[Line] = deque()
        self._resting: list[tuple[float, int, Line]] = []
        self._short: deque[Line] = deque()
        self._rests = 0

    @property
    def loaded(self) -> int:
        """How many commands are in memory, but for those at rest."""
        return len(self._known) - len(self._resting)

    @property
    def next_due(self) -> float | None:
        """When the first line that rests is due."""
        return self._resting[0][0] if self._resting else None

    @property
    def has_short(self) -> bool:
        """Whether lines are to be filled again."""
        return bool(self._short)

    def concerns(self, number: int) -> bool:
        """Whether commands of a submission are in memory."""
        return self._numbers[number] > 0

    def add(self, command: WaitingCommand) -> None:
        """A command that waits in Postgres, later than all of its player that were added before."""
        if command.key in self._known:
            return
        line = self._lines.get(command.player_id)
        if line is None:
            line = self._lines[command.player_id] = Line(command.player_id, command.partition)
        if line.more or len(line.queue) >= MOST_OF_PLAYER or (line.queue and self._rests_now(line)):
            line.more = True
            return
        self._append(line, command)
        self._place(line)

    def take(self) -> Taken | None:
        """The next command to try, of the player who has waited longest for a turn."""
        self._wake()
        while self._ready:
            line = self._ready.popleft()
            if not line.dropped:
                return Taken(line, line.queue[0])
        return None

    def decide(self, taken: Taken, *, hold: bool) -> None:
        """It is decided. With ``hold`` the next one waits until that is recorded, as nobody else knows."""
        line = taken.line
        if line.dropped:
            return
        line.queue.popleft()
        line.unrecorded.add(taken.command.key)
        line.held = hold
        self._replace(line)

    def retry(self, taken: Taken, *, attempts: int, first_attempt_time: datetime, after_s: float) -> None:
        """It is tried again later. What stands behind it need not stay in memory that long."""
        line = taken.line
        if line.dropped:
            return
        head = line.queue.popleft()
        for command in line.queue:
            self._forget(command.key)
            line.more = True
        line.queue.clear()
        line.queue.append(
            replace(head, attempts=attempts, first_attempt_time=first_attempt_time, due_in_s=after_s)
        )
        line.rests_until = self._now() + after_s
        self._replace(line)

    def record(self, taken: Taken) -> None:
        """Postgres knows that it is decided."""
        line = taken.line
        if line.dropped:
            return
        line.unrecorded.discard(taken.command.key)
        self._forget(taken.command.key)
        self._place(line)

    def drop(self, partitions: Collection[int]) -> None:
        """Forgets all lines of partitions. What is being tried of them ends in nothing here."""
        for line in [line for line in self._lines.values() if line.partition in partitions]:
            line.dropped = True
            del self._lines[line.player_id]
            for key in (*line.unrecorded, *(command.key for command in line.queue)):
                self._forget(key)
        self._resting = [entry for entry in self._resting if not entry[2].dropped]

    def short(self, most: int) -> list[Line]:
        """Lines that are to be filled again from Postgres."""
        found: list[Line] = []
        while self._short and len(found) < most:
            line = self._short.popleft()
            if not line.dropped:
                found.append(line)
        return found

    def fill(self, lines: Iterable[Line], commands: Iterable[WaitingCommand]) -> None:
        """What Postgres has first of these lines' players, at most MOST_OF_PLAYER each, in order.

        Nothing may be added between the look at Postgres and this.
        """
        filled = {line.player_id: line for line in lines if not line.dropped}
        counts: Counter[PlayerId] = Counter()
        for command in commands:
            counts[command.player_id] += 1
            line = filled.get(command.player_id)
            if line is not None and command.key not in self._known:
                self._append(line, command)
        for line in filled.values():
            line.more = counts[line.player_id] >= MOST_OF_PLAYER
            self._replace(line)

    def _append(self, line: Line, command: WaitingCommand) -> None:
        if not line.queue and command.due_in_s is not None:
            line.rests_until = self._now() + command.due_in_s
        line.queue.append(command)
        self._known[command.key] = line
        self._numbers[command.key[0]] += 1

    def _forget(self, key: CommandKey) -> None:
        if self._known.pop(key, None) is not None:
            self._numbers[key[0]] -= 1
            if not self._numbers[key[0]]:
                del self._numbers[key[0]]

    def _replace(self, line: Line) -> None:
        line.placed = False
        self._place(line)

    def _place(self, line: Line) -> None:
        """Puts a line where it belongs, unless it is somewhere already or has to wait for a record."""
        if line.placed or (line.unrecorded and (line.held or not line.queue)):
            return
        line.held = False
        line.placed = True
        if line.queue:
            if self._rests_now(line):
                self._rests += 1
                heappush(self._resting, (line.rests_until, self._rests, line))
            else:
                self._ready.append(line)
        elif line.more:
            self._short.append(line)
        else:
            del self._lines[line.player_id]

    def _rests_now(self, line: Line) -> bool:
        return line.rests_until > self._now()

    def _wake(self) -> None:
        while self._resting and self._resting[0][0] <= self._now():
            _, _, line = heappop(self._resting)
            self._ready.append(line)
