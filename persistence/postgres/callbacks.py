"""The record of what providers have sent, and of what was answered."""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from persistence.errors import LedgerUnavailable
from persistence.postgres.database import Pool, translated_errors
from persistence.postgres.queries import query

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ReceivedCallback:
    """A callback whose signature was good, as it came. ``headers`` are those that say something and are no
    secrets. ``request_id``, ``player_id`` and ``transaction_id`` are as its body says, "" where it does not.
    """

    provider_id: str
    method: str
    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    peer: str
    key_id: str
    request_id: str
    player_id: str
    transaction_id: str
    received_time: datetime


@dataclass(frozen=True, slots=True)
class CallbackNumber:
    """Where a callback is recorded, and whether it was before this time."""

    number: int
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class NotedAnswer:
    """What was answered to a recorded callback."""

    callback_number: int
    outcome: str
    status_code: int
    body_digest: bytes
    answered_time: datetime


class CallbackTable:
    """Over a pool of connections as LedgerRole.CALLBACKS. Every method raises LedgerUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, callback: ReceivedCallback, *, deadline: float) -> CallbackNumber:
        """On disk once it returns. The very same callback is recorded once, and counted from then on.

        The deadline is in the event loop's time.
        """
        arguments = (
            callback.provider_id,
            callback.method,
            callback.path,
            hashlib.sha256(callback.body).digest(),
            callback.body,
            json.dumps(dict(callback.headers)),
            callback.peer,
            callback.key_id,
            callback.request_id,
            callback.player_id,
            callback.transaction_id,
            callback.received_time,
        )
        with translated_errors():
            async with asyncio.timeout_at(deadline):
                for _ in range(_ATTEMPTS):
                    row = await self._pool.fetchrow(query("record_callback"), *arguments)
                    if row is not None:
                        return CallbackNumber(row["callback_number"], row["is_duplicate"])
        raise LedgerUnavailable("the callback was being recorded by others, and is not to be seen")

    async def note_answers(self, answers: Sequence[NotedAnswer]) -> None:
        """What was answered to callbacks that are recorded."""
        with translated_errors():
            await self._pool.execute(
                query("note_answers"),
                [answer.callback_number for answer in answers],
                [answer.outcome for answer in answers],
                [answer.status_code for answer in answers],
                [answer.body_digest for answer in answers],
                [answer.answered_time for answer in answers],
            )

    async def erase_old(self, *, older_than_s: float, most: int) -> int:
        """Erases what such old callbacks contained, up to so many of them; how many. Digests stay."""
        with translated_errors():
            return len(await self._pool.fetch(query("erase_old_callbacks"), older_than_s, most))
