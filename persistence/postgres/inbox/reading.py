"""Reads submissions and what became of their commands."""

from collections.abc import Sequence

from persistence.errors import SubmissionNotFound
from persistence.inbox import (
    CommandPage,
    CommandState,
    Progress,
    Submission,
    SubmissionPage,
    SubmittedCommand,
)
from persistence.postgres.database import Connection, Pool, Row
from persistence.postgres.inbox.accepting import decode_submission
from persistence.postgres.queries import query
from persistence.postgres.reading.page_tokens import read_token, write_token
from persistence.postgres.timed_transactions import timed_transaction
from persistence.transactions import PlayerId

_AFTER_ALL = 2**63 - 1
_MOST_BYTES = 2 << 20
"""Of a page: a command and its result are some hundred bytes, but may be many thousand."""


class InboxReader:
    """The pool's connections need no more than LedgerRole.READER.

    Deadlines are in the event loop's time. All methods raise LedgerUnavailable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def submission(
        self, source_id: str, submission_id: str, *, deadline: float
    ) -> tuple[Submission, Progress]:
        """A submission and how far it is, at one moment. Raises SubmissionNotFound."""
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            found = await _find(connection, source_id, submission_id)
            row = await connection.fetchrow(query("submission_counts"), found.number)
            assert row is not None
            return found, Progress(**row)

    async def submissions(
        self, source_id: str, *, unfinished_only: bool, page_size: int, page_token: str, deadline: float
    ) -> SubmissionPage:
        """One page, newest first. Raises PageTokenInvalid."""
        scope = ("submissions", source_id, unfinished_only)
        (before,) = read_token(page_token, scope, count=1) if page_token else (_AFTER_ALL,)
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            rows = await connection.fetch(
                query("list_submissions"), before, source_id, unfinished_only, page_size + 1
            )
        submissions = [decode_submission(row) for row in rows[:page_size]]
        more = len(rows) > page_size
        return SubmissionPage(submissions, write_token((submissions[-1].number,), scope) if more else "")

    async def results(
        self,
        source_id: str,
        submission_id: str,
        states: Sequence[CommandState],
        *,
        page_size: int,
        page_token: str,
        deadline: float,
    ) -> CommandPage:
        """One page, in the submission's order. Raises SubmissionNotFound and PageTokenInvalid."""
        scope = ("results", source_id, submission_id, *states)
        (after,) = read_token(page_token, scope, count=1) if page_token else (-1,)
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            found = await _find(connection, source_id, submission_id)
            rows = await connection.fetch(
                query("list_results"), found.number, after, list(states), page_size + 1
            )
        commands = _fitting(rows, page_size)
        more = len(rows) > len(commands)
        return CommandPage(commands, write_token((commands[-1].index,), scope) if more else "")

    async def dead_letters(
        self, source_id: str, submission_id: str, *, page_size: int, page_token: str, deadline: float
    ) -> CommandPage:
        """One page, oldest submission first. Raises SubmissionNotFound and PageTokenInvalid."""
        scope = ("dead letters", source_id, submission_id)
        after = read_token(page_token, scope, count=2) if page_token else (-1, -1)
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            if submission_id:
                await _find(connection, source_id, submission_id)
            rows = await connection.fetch(
                query("list_dead_letters"), *after, source_id, submission_id, page_size + 1
            )
        commands = _fitting(rows, page_size)
        if len(rows) == len(commands):
            return CommandPage(commands, "")
        last = commands[-1]
        return CommandPage(commands, write_token((last.submission_number, last.index), scope))


async def _find(connection: Connection, source_id: str, submission_id: str) -> Submission:
    row = await connection.fetchrow(query("submission"), source_id, submission_id)
    if row is None:
        raise SubmissionNotFound(submission_id)
    return decode_submission(row)


def _fitting(rows: Sequence[Row], page_size: int) -> list[SubmittedCommand]:
    """As many as fit a page, at least one where there is one."""
    commands: list[SubmittedCommand] = []
    size = 0
    for command in map(_decode_command, rows[:page_size]):
        size += len(command.result or b"") + len(command.command or b"")
        if commands and size > _MOST_BYTES:
            break
        commands.append(command)
    return commands


def _decode_command(row: Row) -> SubmittedCommand:
    return SubmittedCommand(
        row["submission_number"],
        row["source_id"],
        row["submission_id"],
        row["command_index"],
        PlayerId(row["player_id"]),
        row["transaction_id"],
        CommandState(row["state"]),
        row["attempts"],
        row["last_attempt_time"],
        row["due_time"],
        row["result"],
        row.get("command"),
    )
