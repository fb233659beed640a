"""The newest entries of the ledger, read once for all subscribers of this server.

While anybody subscribes, the tail asks the partitions' rows every so often how many entries they count, and
reads those that are new. It is not notified: a notification would have to be sent by the drainer's own
commits, which it would line up behind each other, and fail when nobody fetches them (ADR 19).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from persistence.errors import CursorNotInLedger, LedgerUnavailable, StakeholdError, Stopping
from persistence.postgres.reading.chains import ChainReader, require_within
from persistence.postgres.reading.entries import RecordedEntry

_log = structlog.get_logger(__name__)

_PAGE_ENTRIES = 200
_FIRST_RETRY_S = 0.05
_LAST_RETRY_S = 2.0


class Tail:
    """A ring of the newest ``keep`` entries, numbered as they came in; those of a partition are contiguous.

    ``positions`` is up to where it has read, ``floor`` from where on it has kept, both by partition. ``life``
    grows when it begins anew: its numbers and places then have nothing to do with those before.
    """

    def __init__(self, reader: ChainReader, *, keep: int, poll_s: float) -> None:
        self._reader = reader
        self._keep = keep
        self._poll_s = poll_s
        self._ring: list[RecordedEntry | None] = [None] * keep
        self._changed = asyncio.Event()
        self._starting = asyncio.Lock()
        self._followers = 0
        self._following: asyncio.Task[None] | None = None
        self._failure: StakeholdError | None = None
        self._stopping = False
        self.life = 0
        self.first = 0
        self.next = 0
        self.positions: dict[int, int] = {}
        self.floor: dict[int, int] = {}

    def __getitem__(self, number: int) -> RecordedEntry:
        """The entry of a number from ``first`` to before ``next``."""
        entry = self._ring[number % self._keep]
        assert entry is not None
        assert self.first <= number < self.next
        return entry

    @property
    def followers(self) -> int:
        return self._followers

    def covers(self, positions: Mapping[int, int]) -> bool:
        """Whether everything from these places on that was read is still in the ring."""
        return all(positions[partition] >= floor for partition, floor in self.floor.items())

    def behind(self, positions: Mapping[int, int]) -> int:
        """How many entries there are beyond these places, as far as was read."""
        return sum(max(0, end - positions[partition]) for partition, end in self.positions.items())

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Keeps the tail at the ledger's end for as long as anybody is in here. Raises LedgerUnavailable."""
        self._followers += 1
        try:
            async with self._starting:
                self.require()
                if self._following is None:
                    self._restart_at(await self._reader.ends())
                    self._following = asyncio.create_task(self._follow(), name="tail")
            yield
        finally:
            self._followers -= 1
            if not self._followers and self._following is not None:
                self._following.cancel()
                self._following = None
                self._failure = None

    def stop(self) -> None:
        """Ends all who follow, and lets nobody in any more."""
        self._stopping = True
        self._wake()

    def require(self, life: int | None = None) -> None:
        """Raises Stopping, what keeps the ledger from being read, or CursorNotInLedger in another life."""
        if self._stopping:
            raise Stopping("the server is stopping")
        if self._failure is not None:
            raise self._failure
        if life not in {None, self.life}:
            raise CursorNotInLedger("the ledger has lost entries that were told", cause="ahead")

    async def until_changed(self, number: int, *, timeout_s: float) -> None:
        """Waits for the entry of a number, for a failure or the stop, but not for longer."""
        changed = self._changed
        if self.next > number or self._failure or self._stopping:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                await changed.wait()

    async def _follow(self) -> None:
        retry_s = _FIRST_RETRY_S
        ends = self.positions
        while True:
            try:
                ends = await self._reader.ends()
                require_within(self.positions, ends)
                self._failure = None
                await self._read_up_to(ends)
                retry_s = _FIRST_RETRY_S
                await asyncio.sleep(self._poll_s)
            except LedgerUnavailable as error:
                _log.warning("tail_interrupted", error=str(error))
                self._fail(error)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, _LAST_RETRY_S)
            except CursorNotInLedger as error:
                # What was told is no more: whoever was told it must know. New subscribers begin with what is.
                _log.error("ledger_lost_entries", error=str(error))
                self._fail(error)
                self._restart_at(ends)
                await asyncio.sleep(retry_s)
                self._failure = None
            except Exception as error:
                _log.exception("tail_failed")
                self._fail(LedgerUnavailable(f"the ledger's end could not be read: {type(error).__name__}"))
                await asyncio.sleep(_LAST_RETRY_S)

    async def _read_up_to(self, ends: Mapping[int, int]) -> None:
        while moved := {p: self.positions[p] for p, end in ends.items() if end > self.positions[p]}:
            page = await self._reader.read(moved, limit=max(1, _PAGE_ENTRIES // len(moved)))
            for entry in page.entries:
                self._append(entry)
            self._wake()

    def _append(self, entry: RecordedEntry) -> None:
        slot = self.next % self._keep
        dropped = self._ring[slot]
        if dropped is not None and self.next - self.first == self._keep:
            self.floor[dropped.chained.entry_id.partition] = dropped.chained.chain_position + 1
            self.first += 1
        self._ring[slot] = entry
        self.next += 1
        self.positions[entry.chained.entry_id.partition] = entry.chained.chain_position + 1

    def _restart_at(self, ends: Mapping[int, int]) -> None:
        """With an empty ring; numbers go on, so that who holds an older one sees that it is gone."""
        self.life += 1
        self.first = self.next = self.next + 1
        self.positions, self.floor = dict(ends), dict(ends)
        self._ring = [None] * self._keep

    def _fail(self, error: StakeholdError) -> None:
        self._failure = error
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
