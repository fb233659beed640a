"""How full the outboxes and the store's memory are, and which calls they still have room for.

When Postgres is slow or away, outboxes grow. Above a partition's high mark whatever starts something new
waits: debits, and wallets to be opened. Credits and rollbacks, which end what was started, go on up to the
hard mark. Reads always go on. The memory of a partition's primary counts in the same way, where it has a
limit.

The store is looked at every second, whether or not Postgres is there. What this server is told of newer
records in between counts at once, so that no burst runs far past a mark. While looks fail, the last one
stands, and this server's own records still count: what nobody can see is rather taken as too full.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import structlog

from persistence.errors import Overloaded, Shortage, StoreUnavailable
from persistence.transactions import OutboxPosition
from persistence.valkey.outbox_reader import OutboxSurvey, outbox_reader
from persistence.witness import Witness

_log = structlog.get_logger(__name__)

RETRY_DELAY_MS = 1000
"""There is no room before the next look."""


class Pressure(IntEnum):
    """How much a partition still takes: everything, no new play, nothing."""

    NONE = 0
    HIGH = 1
    HARD = 2


@dataclass(frozen=True, slots=True)
class Marks:
    """From where on something is too full: records waiting in an outbox, and shares of the memory's limit."""

    high_records: int
    hard_records: int
    high_memory: float = 0.90
    hard_memory: float = 0.97


@dataclass(frozen=True, slots=True)
class _Seen:
    """One partition as it was looked at. ``sequence`` is its newest record's; -1: none in this epoch."""

    epoch: int
    sequence: int
    records: int
    memory_share: float


class OutboxPressure:
    """What was seen of each partition, and what has been written to it since.

    A partition that was not looked at yet takes everything.
    """

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._seen: dict[int, _Seen] = {}
        self._newest: dict[int, OutboxPosition] = {}

    def look(self, surveys: Mapping[int, OutboxSurvey]) -> None:
        """Takes in what the store has now."""
        before = self.counts()
        self._seen |= {partition: _seen(survey) for partition, survey in surveys.items()}
        if (now := self.counts()) != before:
            _log.warning("outbox_pressure", **{level.name.lower(): now[level] for level in Pressure})

    def note(self, partition: int, position: OutboxPosition) -> None:
        """There is a record at the position, be it a new one or one that is replayed."""
        newest = self._newest.get(partition)
        if newest is None or position > newest:
            self._newest[partition] = position

    def records(self, partition: int) -> int:
        """How many records wait, at most: what was drained since the last look still counts."""
        seen, newest = self._seen.get(partition), self._newest.get(partition)
        if seen is None:
            return 0
        if newest is None or newest.epoch != seen.epoch:
            return seen.records
        return seen.records + max(0, newest.sequence - seen.sequence)

    def of(self, partition: int) -> tuple[Pressure, Shortage]:
        """The pressure, and what causes it."""
        seen, marks = self._seen.get(partition), self._marks
        if seen is None:
            return Pressure.NONE, Shortage.OUTBOX
        by_memory = _pressure(seen.memory_share, marks.high_memory, marks.hard_memory)
        by_records = _pressure(self.records(partition), marks.high_records, marks.hard_records)
        return max((by_records, Shortage.OUTBOX), (by_memory, Shortage.MEMORY), key=lambda found: found[0])

    def counts(self) -> Counter[Pressure]:
        """How many partitions are under which pressure."""
        return Counter(self.of(partition)[0] for partition in self._seen)

    def waiting_records(self) -> int:
        """How many records wait in all partitions, at most."""
        return sum(map(self.records, self._seen))

    def memory_share(self) -> float:
        """Of the fullest primary that was seen: how much of its limit it uses; 0 where there is no limit."""
        return max((seen.memory_share for seen in self._seen.values()), default=0.0)

    def admit(self, partition: int, *, starts_play: bool) -> None:
        """Raises Overloaded where a partition has no room for a write; ``starts_play`` as the module says."""
        pressure, cause = self.of(partition)
        if pressure is Pressure.HARD or (pressure is Pressure.HIGH and starts_play):
            raise Overloaded(
                f"partition {partition} is too full",
                retry_delay_ms=RETRY_DELAY_MS,
                cause=cause,
                partition=partition,
            )


def _pressure(amount: float, high: float, hard: float) -> Pressure:
    if amount >= hard:
        return Pressure.HARD
    return Pressure.HIGH if amount >= high else Pressure.NONE


def _seen(survey: OutboxSurvey) -> _Seen:
    try:
        epoch = Witness.parse(survey.witness or "").epoch
    except ValueError:
        epoch = -1
    last = survey.last
    sequence = last.sequence if last is not None and last.epoch == epoch else -1
    return _Seen(epoch, sequence, survey.length, survey.memory_share)


class OutboxWatch:
    """Looks at the outboxes of all partitions, over a connection of its own, in the background task ``run``.

    ``looked`` is set after the first attempt, whether or not the store answered.
    """

    def __init__(
        self,
        on_look: Callable[[Mapping[int, OutboxSurvey]], None],
        *,
        valkey_url: str,
        partition_count: int,
        timeout_s: float,
        every_s: float = 1.0,
    ) -> None:
        self._on_look = on_look
        self._valkey_url = valkey_url
        self._partition_count = partition_count
        self._timeout_s = timeout_s
        self._every_s = every_s
        self.looked = asyncio.Event()

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            try:
                await self._run_connected()
            except StoreUnavailable as error:
                _log.warning("outboxes_unseen", error=str(error))
                self.looked.set()
                await asyncio.sleep(self._every_s)

    async def _run_connected(self) -> None:
        async with outbox_reader(self._valkey_url, timeout_s=self._timeout_s) as store:
            while True:
                self._on_look(await store.survey(range(self._partition_count)))
                self.looked.set()
                await asyncio.sleep(self._every_s)
