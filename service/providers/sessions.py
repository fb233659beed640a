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
        session = await self._table.close(token, deadline=deadline)
        self._keep(token, session)
        return session

    async def read(self, token: str, *, deadline: float) -> Session:
        """As it is now. Raises SessionNotFound."""
        return await self._table.find(token, deadline=deadline)

    async def find(self, token: str, *, deadline: float) -> Session | None:
        """As it was a few seconds ago at most; None where there is none."""
        if not token:
            return None
        kept = self._kept.get(token_digest(token))
        if kept is not None and asyncio.get_running_loop().time() < kept[0]:
            return kept[1]
        try:
            session = await self._table.find(token, deadline=deadline)
        except SessionNotFound:
            return None
        self._keep(token, session)
        return session

    def is_open(self, session: Session) -> bool:
        return session.is_open_at(self._now())

    def _keep(self, token: str, session: Session) -> None:
        digest = token_digest(token)
        self._kept[digest] = (asyncio.get_running_loop().time() + _STALE_AFTER_S, session)
        self._kept.move_to_end(digest)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
