"""Sessions of players with providers. Tokens are not kept, but their digests."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import datetime

from persistence.errors import SessionConflict, SessionNotFound
from persistence.postgres.database import Pool, Row, translated_errors
from persistence.postgres.queries import query


@dataclass(frozen=True, slots=True)
class NewSession:
    """``currency`` is a currency or a denomination, as the provider names it; ``game`` is "" for any."""

    provider_id: str
    player_id: str
    currency: str
    game: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Session(NewSession):
    """``closed_time`` is None while it was not closed."""

    opened_time: datetime
    closed_time: datetime | None

    def is_open_at(self, now: datetime) -> bool:
        return self.closed_time is None and now < self.expire_time


class SessionTable:
    """Over a pool of connections as LedgerRole.CALLBACKS. Every method raises LedgerUnavailable.

    Deadlines are in the event loop's time.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def open(self, token: str, new: NewSession, *, deadline: float) -> Session:
        """The new session, or the same one that is there. Raises SessionConflict."""
        arguments = (new.provider_id, new.player_id, new.currency, new.game, new.expire_time)
        with translated_errors():
            async with asyncio.timeout_at(deadline):
                row = await self._pool.fetchrow(query("open_session"), token_digest(token), *arguments)
                if row is None:
                    row = await self._pool.fetchrow(query("session"), token_digest(token))
        assert row is not None, "sessions are not removed"
        found = _session(row)
        if (found.provider_id, found.player_id, found.currency, found.game) != arguments[:4]:
            raise SessionConflict
        return found

    async def find(self, token: str, *, deadline: float) -> Session:
        """Raises SessionNotFound."""
        return await self._one("session", token, deadline)

    async def close(self, token: str, *, deadline: float) -> Session:
        """The session, closed now or before. Raises SessionNotFound."""
        return await self._one("close_session", token, deadline)

    async def _one(self, name: str, token: str, deadline: float) -> Session:
        with translated_errors():
            async with asyncio.timeout_at(deadline):
                row = await self._pool.fetchrow(query(name), token_digest(token))
        if row is None:
            raise SessionNotFound
        return _session(row)


def token_digest(token: str) -> bytes:
    """Under which a session is found."""
    return hashlib.sha256(token.encode()).digest()


def _session(row: Row) -> Session:
    return Session(
        row["provider_id"],
        row["player_id"],
        row["currency_code"],
        row["game_id"],
        row["expire_time"],
        row["opened_time"],
        row["closed_time"],
    )
