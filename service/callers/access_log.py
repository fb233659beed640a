"""The log of who was denied what, and of who administered what.

An administrative call is on record before it takes effect, or it does not take effect; its outcome is written
right after. A denied call did nothing, so it does not wait: it is kept here for a moment and written with
others. However many there are, only so many are kept and written: those that are alike are one record with a
count, and those that are too many are counted.
"""

import asyncio
import uuid
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from persistence.errors import LedgerUnavailable
from persistence.postgres.access_log import AccessKind, AccessRecord, AccessTable
from service.callers.access_metrics import AccessMetrics

_log = structlog.get_logger(__name__)

_WRITE_EVERY_S = 0.5
_WRITE_TIMEOUT_S = 5.0
WINDOW_S = 30.0
"""The first of denials that are alike is written at once, those that follow once in so long."""
MOST_OF_A_CALLER = 50
"""Denials that are not alike, of one caller within a window: those beyond are counted."""
MOST_DENIALS = 1000
"""The same of all callers."""
_MOST_COUNTERS = 256
_MOST_OUTCOMES = 4096
"""Outcomes that wait to be written. There are as many only while the database is away."""
_LONGEST = 256
_MOST_IN_A_WRITE = 500


@dataclass(frozen=True, slots=True)
class Visit:
    """What is known of a call that may end in the log, cleaned. Who is not identified has no ``caller``."""

    method: str
    peer: str
    caller: str = ""
    identified_by: str = ""
    claimed: str = ""
    source_id: str = ""
    player_id: str = ""
    transaction_id: str = ""


@dataclass(slots=True)
class _Fold:
    """Denials that are alike. ``count`` are those that are not written yet."""

    record: AccessRecord
    opened: float
    count: int
    first: datetime
    last: datetime
    is_urgent: bool


class AccessLog:
    """``keep_written`` writes in the background, ``flush`` at the end. ``now_s`` is a clock without jumps."""

    def __init__(
        self,
        table: AccessTable,
        metrics: AccessMetrics,
        *,
        now_s: Callable[[], float] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._table = table
        self._metrics = metrics
        self._now_s = now_s or asyncio.get_running_loop().time
        self._now = now
        self._folds: dict[tuple[str, ...], _Fold] = {}
        self._of_caller: Tally[tuple[str, ...]] = Tally()
        self._outcomes: list[AccessRecord] = []
        self._under_way: list[AccessRecord] = []
        self._writing = asyncio.Lock()
        self._woken = asyncio.Event()
        metrics.watch_unwritten(self.unwritten)

    def unwritten(self) -> int:
        """How many denials and outcomes are not on record yet."""
        waiting = sum(fold.count for fold in self._folds.values())
        return waiting + len(self._outcomes) + sum(record.count for record in self._under_way)

    def opening(self, visit: Visit, *, details: Mapping[str, str], why: str) -> AccessRecord:
        """The record of an administrative call that is about to begin."""
        return replace(
            _record_of(visit, AccessKind.BEGUN, self._now()),
            call_id=uuid.uuid4().hex,
            details={name: cleaned(value) for name, value in details.items()},
            why=cleaned(why),
        )

    async def begin(self, opening: AccessRecord, *, deadline: float) -> None:
        """Puts an administrative call on record. Raises LedgerUnavailable: then it must not take effect.

        Whatever comes of it has to be told to ``end``, also where this raises: it may be on record even so.
        """
        await self._table.write([opening], deadline=deadline)

    def end(self, begun: AccessRecord, *, code: str, reason: str) -> None:
        """The outcome of what began. Written as soon as the database takes it."""
        if len(self._outcomes) >= _MOST_OUTCOMES:
            self._count(begun, code=code, reason=reason)
            return
        ended = replace(
            begun,
            record_id=uuid.uuid4(),
            kind=AccessKind.ENDED,
            code=code,
            reason=reason,
            last_time=self._now(),
        )
        self._outcomes.append(ended)
        self._woken.set()

    def deny(self, visit: Visit, *, verb: str, why: str, code: str, reason: str) -> None:
        """A call, or one command of many, that was denied."""
        self._metrics.count_denied(reason)
        key = (
            visit.caller,
            visit.identified_by,
            visit.claimed,
            visit.peer,
            visit.method,
            reason,
            verb,
            visit.source_id,
        )
        fold = self._folds.get(key)
        if fold is not None:
            self._add_to(fold)
            return
        record = replace(
            _record_of(visit, AccessKind.DENIED, self._now()),
            verb=verb,
            why=cleaned(why),
            code=code,
            reason=reason,
        )
        who = _who(record)
        if self._of_caller[who] >= MOST_OF_A_CALLER or len(self._folds) >= MOST_DENIALS:
            self._count(record, code=code, reason=reason)
            return
        self._of_caller[who] += 1
        self._open(key, record, is_urgent=True)
        self._woken.set()

    async def keep_written(self) -> None:
        """Writes for ever, as soon as there is something."""
        while True:
            await asyncio.sleep(_WRITE_EVERY_S)
            if not (self._folds or self._outcomes or self._under_way):
                await self._woken.wait()
            self._woken.clear()
            try:
                await self._write(
                    self._now_s(), deadline=asyncio.get_running_loop().time() + _WRITE_TIMEOUT_S
                )
            except LedgerUnavailable as error:
                self._metrics.count_failure()
                _log.warning("access_records_wait", unwritten=self.unwritten(), error=str(error))
            except Exception:
                self._metrics.count_failure()
                _log.exception("access_records_wait", unwritten=self.unwritten())

    async def flush(self, *, timeout_s: float) -> None:
        """Writes all that there is. What cannot be written any more is told to the log of the process."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self.unwritten():
            try:
                await self._write(float("inf"), deadline=deadline)
            except LedgerUnavailable as error:
                self._metrics.count_failure()
                if loop.time() + _WRITE_EVERY_S >= deadline:
                    _log.error("access_records_lost", unwritten=self.unwritten(), error=str(error))
                    for record in self._left():
                        _log.error("access_record_lost", **_told(record))
                    return
                await asyncio.sleep(_WRITE_EVERY_S)

    async def _write(self, now_s: float, *, deadline: float) -> None:
        """What was tried before comes first, as it was: it may be there already."""
        most = _MOST_IN_A_WRITE
        async with self._writing:
            if not self._under_way:
                self._under_way = self._due(now_s)
            while self._under_way:
                some = self._under_way[:most]
                try:
                    await self._table.write(some, deadline=deadline)
                except LedgerUnavailable:
                    raise
                except Exception as error:
                    if len(some) > 1:
                        most = 1  # to find out which one the database refuses
                        continue
                    # It would be refused again and again, and hold up all that comes after it.
                    self._metrics.count_failure()
                    _log.error("access_record_refused", error=cleaned(repr(error)), **_told(some[0]))
                del self._under_way[: len(some)]

    def _due(self, now_s: float) -> list[AccessRecord]:
        due, self._outcomes = self._outcomes, []
        for key, fold in list(self._folds.items()):
            is_over = now_s - fold.opened >= WINDOW_S
            if fold.count and (fold.is_urgent or is_over):
                due.append(
                    replace(
                        fold.record,
                        record_id=uuid.uuid4(),
                        count=fold.count,
                        first_time=fold.first,
                        last_time=fold.last,
                    )
                )
                fold.count, fold.is_urgent = 0, False
                fold.opened = self._now_s()
            elif not fold.count and is_over:
                self._close(key, fold)
        return due

    def _add_to(self, fold: _Fold) -> None:
        fold.last = self._now()
        if not fold.count:
            fold.first = fold.last
        fold.count += 1

    def _close(self, key: tuple[str, ...], fold: _Fold) -> None:
        del self._folds[key]
        if fold.record.kind is AccessKind.DENIED:
            who = _who(fold.record)
            self._of_caller[who] -= 1
            if not self._of_caller[who]:
                del self._of_caller[who]

    def _open(self, key: tuple[str, ...], record: AccessRecord, *, is_urgent: bool) -> None:
        self._folds[key] = _Fold(
            record, self._now_s(), 1, record.first_time, record.last_time, is_urgent=is_urgent
        )

    def _count(self, record: AccessRecord, *, code: str, reason: str) -> None:
        """One more that has no record of its own."""
        self._metrics.count_unlisted()
        who = _who(record)
        key: tuple[str, ...] = ("", *who)
        if key not in self._folds and len(self._folds) >= MOST_DENIALS + _MOST_COUNTERS:
            key, who = ("",), ("", "", "")
        fold = self._folds.get(key)
        if fold is not None:
            self._add_to(fold)
            return
        now = self._now()
        caller, identified_by, peer = who
        unlisted = AccessRecord(
            uuid.uuid4(),
            AccessKind.UNLISTED,
            now,
            now,
            caller=caller,
            identified_by=identified_by,
            peer=peer,
            why="too many that are not alike",
            code=code,
            reason=reason,
        )
        self._open(key, unlisted, is_urgent=False)

    def _left(self) -> list[AccessRecord]:
        return [*self._under_way, *self._due(float("inf"))]


def _record_of(visit: Visit, kind: AccessKind, now: datetime) -> AccessRecord:
    return AccessRecord(
        uuid.uuid4(),
        kind,
        now,
        now,
        caller=visit.caller,
        identified_by=visit.identified_by,
        claimed=visit.claimed,
        peer=visit.peer,
        method=visit.method,
        source_id=visit.source_id,
        player_id=visit.player_id,
        transaction_id=visit.transaction_id,
    )


def _who(record: AccessRecord) -> tuple[str, str, str]:
    """Whose place in the log it takes: a caller's, or that of an address nobody is known at."""
    return (record.caller, record.identified_by, "" if record.caller else record.peer)


def cleaned(text: str, longest: int = _LONGEST) -> str:
    """What others have sent, cut off, and for a database that takes no NUL."""
    return text[:longest].replace("\x00", "\\0")


def _told(record: AccessRecord) -> dict[str, str]:
    return {
        "kind": str(record.kind),
        "call_id": record.call_id,
        "caller": record.caller,
        "peer": record.peer,
        "method": record.method,
        "verb": record.verb,
        "source_id": record.source_id,
        "player_id": record.player_id,
        "code": record.code,
        "reason": record.reason,
        "count": str(record.count),
        "first_time": record.first_time.isoformat(),
        "last_time": record.last_time.isoformat(),
    }
