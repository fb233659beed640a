"""Sessions as callbacks ask for them: from memory, a few seconds old at most."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from persistence.errors import SessionNotFound
from persistence.postgres.sessions import NewSession, Session, SessionTable, token_digest

_MOST_KEPT = 10_000
_STALE_AFTER_S = 5.0
"""So late, at most, another server knows that a session was closed."""


def system_now() -> datetime:
    return datetime.now(UTC)


class Sessions:
    """Over a table of sessions. Deadlines are in the event loop's time; all raise LedgerUnavailable.

    What is not there is never kept: a session may be opened the next moment.
    """

    def __init__(self, table: SessionTable, *, now: Callable[[], datetime] = system_now) -> None:
        self._table = table
        self._now = now
        self._kept: OrderedDict[bytes, tuple[float, Session]] = OrderedDict()

    async def open(self, token: str, new: NewSession, *, deadline: float) -> Session:
        """Raises SessionConflict."""
        return await self._table.open(token, new, deadline=deadline)

    async def close(self, token: str, *, deadline: float) -> Session:
        """Raises SessionNotFound."""
        asked_at = _now_s()
        session = await self._table.close(token, deadline=deadline)
        self._keep(token, session, asked_at)
        return session

    async def read(self, token: str, *, deadline: float) -> Session:
        """As it is now. Raises SessionNotFound."""
        return await self._table.find(token, deadline=deadline)

    async def find(self, token: str, *, deadline: float) -> Session | None:
        """As it was a few seconds ago at most; None where there is none."""
        if not token:
            return None
        kept = self._kept.get(token_digest(token))
        asked_at = _now_s()
        if kept is not None and asked_at < kept[0]:
            return kept[1]
        try:
            session = await self._table.find(token, deadline=deadline)
        except SessionNotFound:
            return None
        return self._keep(token, session, asked_at)

    def is_open(self, session: Session) -> bool:
        return session.is_open_at(self._now())

    def _keep(self, token: str, session: Session, asked_at: float) -> Session:
        """What is kept of it now. It is as old as the question, for it may have been closed since; and one
        that is kept as closed is never open again.
        """
        digest = token_digest(token)
        kept = self._kept.get(digest)
        if kept is not None and kept[1].closed_time is not None:
            session = kept[1]
        self._kept[digest] = (asked_at + _STALE_AFTER_S, session)
        self._kept.move_to_end(digest)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return session


def _now_s() -> float:
    """In the event loop's time."""
    return asyncio.get_running_loop().time()
