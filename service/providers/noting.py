"""Notes what was answered, a moment after it was: an answer never waits for its own record.

What is still to be noted when the process dies is not. Nothing hangs on it: the callback itself is on record,
and what it moved is in the ledger.
"""

import asyncio
from collections import deque

import structlog

from persistence.errors import StakeholdError
from persistence.postgres.callbacks import CallbackTable, NotedAnswer
from persistence.postgres.database import RecordRefused
from service.providers.metrics import ProviderMetrics

_log = structlog.get_logger(__name__)

_MOST_WAITING = 20_000
_MOST_AT_ONCE = 500
_AGAIN_AFTER_S = 1.0
_LAST_S = 3.0


class AnswerNotes:
    """Beyond so many that wait, the oldest are let go and counted; so is one that the database refuses."""

    def __init__(self, table: CallbackTable, metrics: ProviderMetrics) -> None:
        self._table = table
        self._metrics = metrics
        self._waiting: deque[NotedAnswer] = deque()
        self._under_way: list[NotedAnswer] = []
        self._some = asyncio.Event()

    def put(self, answer: NotedAnswer) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self._metrics.count_unnoted(1)
        self._waiting.append(answer)
        self._some.set()

    async def run(self) -> None:
        """Notes for ever; what cannot be noted now is noted later."""
        is_told = False
        while True:
            await self._some.wait()
            try:
                await self._note_all()
                is_told = False
            except StakeholdError as error:
                if not is_told:
                    _log.warning("answers_not_noted_yet", error=str(error), waiting=self._left())
                is_told = True
                await asyncio.sleep(_AGAIN_AFTER_S)
            except Exception:
                _log.exception("answers_not_noted_yet", waiting=self._left())
                await asyncio.sleep(_AGAIN_AFTER_S)

    async def close(self) -> None:
        """Notes what is left, if that can be done at once."""
        try:
            async with asyncio.timeout(_LAST_S):
                await self._note_all()
        except (StakeholdError, TimeoutError) as error:
            _log.warning("answers_not_noted", error=str(error), lost=self._left())
            self._metrics.count_unnoted(self._left())

    async def _note_all(self) -> None:
        while self._left():
            while self._waiting and len(self._under_way) < _MOST_AT_ONCE:
                self._under_way.append(self._waiting.popleft())
            await self._note_under_way()
        self._some.clear()

    async def _note_under_way(self) -> None:
        most = _MOST_AT_ONCE
        while self._under_way:
            some = self._under_way[:most]
            try:
                await self._table.note_answers(some)
            except RecordRefused as refused:
                if len(some) > 1:
                    most = 1  # to find out which one the database refuses
                    continue
                # It would be refused again and again, and hold up all that come after it.
                self._metrics.count_unnoted(1)
                _log.error("answer_note_refused", error=str(refused), callback_number=some[0].callback_number)
            del self._under_way[: len(some)]

    def _left(self) -> int:
        return len(self._under_way) + len(self._waiting)
