"""Accepts submissions: all of their commands or none.

Commands are copied as they come, in one SQL transaction that ends with the submission's own row. Whatever
breaks off before, be it the caller, this process or Postgres, leaves nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from persistence.errors import Overloaded, SubmissionIdConflict, SubmissionNotFound
from persistence.inbox import NewCommand, Submission
from persistence.postgres.database import Connection, Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.timed_transactions import timed_transaction
from persistence.tracing import current_call

_COLUMNS = ("submission_number", "command_index", "partition", "player_id", "transaction_id", "command")
_MOST_RECEIVING = 4
"""Each holds a connection for as long as its caller sends."""
_RETRY_DELAY_MS = 1000


class _IdTaken(Exception):
    """Another call has accepted a submission under the id meanwhile."""


class Accepting:
    """The pool's connections need LedgerRole.INBOX, and one for each submission that is being received.

    Deadlines are in the event loop's time. All methods raise LedgerUnavailable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._receiving = 0

    async def accept(
        self,
        source_id: str,
        submission_id: str,
        chunks: AsyncIterator[Sequence[NewCommand]],
        digest: Callable[[], bytes],
        *,
        submitted_by: str,
        deadline: float,
    ) -> tuple[Submission, bool]:
        """The submission, and whether it was accepted by an earlier call. ``digest`` is asked when the chunks
        have ended; ``submitted_by`` is the caller, on whose authority it is applied.
        Raises SubmissionIdConflict, Overloaded, and what the chunks raise.
        """
        known = await self._find(source_id, submission_id, deadline)
        if known is None:
            try:
                accepted = await self._receive(
                    source_id, submission_id, chunks, digest, submitted_by, deadline
                )
                return accepted, False
            except _IdTaken:
                known = await self._find(source_id, submission_id, deadline)
                assert known is not None, "nobody removes submissions"
        async for _ in chunks:
            pass
        if known.digest != digest():
            raise SubmissionIdConflict(submission_id)
        return known, True

    async def redrive(
        self, source_id: str, submission_id: str, indexes: Sequence[int], *, deadline: float
    ) -> int:
        """Has dead letters wait again, all where no index is given; how many. Raises SubmissionNotFound."""
        async with timed_transaction(self._pool, deadline) as connection:
            row = await connection.fetchrow(query("lock_submission"), source_id, submission_id)
            if row is None:
                raise SubmissionNotFound(submission_id)
            number = row["submission_number"]
            count = await connection.fetchval(query("redrive_dead_letters"), number, list(indexes))
            assert isinstance(count, int)
            if count:
                await connection.execute(query("reopen_submission"), number)
            return count

    async def _find(self, source_id: str, submission_id: str, deadline: float) -> Submission | None:
        with translated_errors():
            async with asyncio.timeout_at(deadline):
                row = await self._pool.fetchrow(query("submission"), source_id, submission_id)
        return None if row is None else decode_submission(row)

    async def _receive(
        self,
        source_id: str,
        submission_id: str,
        chunks: AsyncIterator[Sequence[NewCommand]],
        digest: Callable[[], bytes],
        submitted_by: str,
        deadline: float,
    ) -> Submission:
        async with self._place(), timed_transaction(self._pool, deadline) as connection:
            number = await connection.fetchval(query("begin_submission"))
            assert isinstance(number, int)
            count = await _copy(connection, number, chunks)
            call = current_call.get()
            row = await connection.fetchrow(
                query("accept_submission"),
                number,
                source_id,
                submission_id,
                digest(),
                count,
                submitted_by,
                None if call is None else call.context,
            )
            if row is None:
                raise _IdTaken
            return decode_submission(row)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._receiving >= _MOST_RECEIVING:
            raise Overloaded("too many submissions are being received", retry_delay_ms=_RETRY_DELAY_MS)
        self._receiving += 1
        try:
            yield
        finally:
            self._receiving -= 1


async def _copy(connection: Connection, number: int, chunks: AsyncIterator[Sequence[NewCommand]]) -> int:
    count = 0
    async for chunk in chunks:
        records = [
            (number, index, new.partition, new.player_id, new.transaction_id, new.command)
            for index, new in enumerate(chunk, count)
        ]
        await connection.copy_records_to_table(
            "commands", schema_name="inbox", columns=_COLUMNS, records=records
        )
        count += len(records)
    return count


def decode_submission(row: Row) -> Submission:
    return Submission(
        row["submission_number"],
        row["source_id"],
        row["submission_id"],
        row["digest"],
        row["command_count"],
        row["accepted_time"],
        row["finished_time"],
        row["submitted_by"],
    )
