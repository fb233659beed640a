"""Notes what was answered, a moment after it was: an answer never waits for its own record.

What is still to be noted when the process dies is not. Nothing hangs on it: the callback itself is on record,
and what it moved is in the ledger.
"""

import asyncio
from collections import deque

import structlog

from persistence.errors import StakeholdError
from persistence.postgres.callbacks import CallbackTable, NotedAnswer
from service.providers.metrics import ProviderMetrics

_log = structlog.get_logger(__name__)

_MOST_WAITING = 20_000
_MOST_AT_ONCE = 500
_AGAIN_AFTER_S = 1.0
_LAST_S = 3.0


class AnswerNotes:
    """Beyond so many that wait, the oldest are let go and counted."""

    def __init__(self, table: CallbackTable, metrics: ProviderMetrics) -> None:
        self._table = table
        self._metrics = metrics
        self._waiting: deque[NotedAnswer] = deque()
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
                    _log.warning("answers_not_noted_yet", error=str(error), waiting=len(self._waiting))
                is_told = True
                await asyncio.sleep(_AGAIN_AFTER_S)
            except Exception:
                _log.exception("answers_not_noted_yet", waiting=len(self._waiting))
                await asyncio.sleep(_AGAIN_AFTER_S)

    async def close(self) -> None:
        """Notes what is left, if that can be done at once."""
        try:
            async with asyncio.timeout(_LAST_S):
                await self._note_all()
        except (StakeholdError, TimeoutError) as error:
            _log.warning("answers_not_noted", error=str(error), lost=len(self._waiting))
            self._metrics.count_unnoted(len(self._waiting))

    async def _note_all(self) -> None:
        while self._waiting:
            taken = [self._waiting[at] for at in range(min(_MOST_AT_ONCE, len(self._waiting)))]
            await self._table.note_answers(taken)
            for _ in taken:
                self._waiting.popleft()
        self._some.clear()
