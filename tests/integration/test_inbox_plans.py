"""However much the inbox has kept, workers find what waits by an index."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.integration.test_ledger_read_plans import indexes, plans, scanned_whole
from tests.ledgers import Ledgers

FILL_SUBMISSIONS = """
INSERT INTO inbox.submissions (
    submission_number, source_id, submission_id, digest, command_count, finished_time
)
SELECT
    number, 'source-' || number % 7, 'match-' || number, decode(repeat('00', 32), 'hex'), 200,
    CASE WHEN number < 490 THEN now() END
FROM generate_series(1, 500) AS number
"""

FILL_COMMANDS = """
INSERT INTO inbox.commands (
    submission_number, command_index, partition, player_id, transaction_id, command, state, attempts,
    last_attempt_time, due_time, result
)
SELECT
    1 + number / 200, number % 200, number % 16, 'player-' || number % 1000, 't' || number, '\\x00',
    CASE WHEN number >= 98000 THEN 'waiting' WHEN number % 500 = 0 THEN 'dead' ELSE 'applied' END,
    CASE WHEN number >= 98000 AND number % 10 <> 0 THEN 0 ELSE 1 END,
    CASE WHEN number >= 98000 AND number % 10 <> 0 THEN NULL ELSE now() END,
    CASE WHEN number >= 98000 AND number % 10 = 0 THEN now() END,
    CASE WHEN number >= 98000 THEN NULL ELSE '\\x00'::bytea END
FROM generate_series(0, 99999) AS number
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """100,000 commands, of which 2,000 wait."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute(FILL_SUBMISSIONS)
        await connection.execute(FILL_COMMANDS)
        await connection.execute("ANALYZE")
        yield connection
        await connection.close()


async def test_a_scan_reads_what_waits_in_order_from_its_index(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("waiting_commands"), 490, 50, 500, [1, 2, 3], 1000):
        assert indexes(plan) == {"waiting_commands"}
        assert not scanned_whole(plan)


async def test_players_commands_are_read_from_their_index(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("waiting_commands_of_players"), ["player-7", "player-8"], 32):
        assert indexes(plan) == {"waiting_commands_of_a_player"}
        assert not scanned_whole(plan)


async def test_what_is_recorded_is_found_by_its_key(grown: asyncpg.Connection) -> None:
    row = ([491], [7], ["applied"], [1], [None], [None], [None], [b""])

    for plan in await plans(grown, query("record_attempts"), *row):
        assert indexes(plan) & {"commands_are_in_order", "waiting_commands"}
        assert not scanned_whole(plan)


@pytest.mark.parametrize("name", ["finish_submission", "submission_counts"])
async def test_a_submissions_commands_are_found_by_its_number(grown: asyncpg.Connection, name: str) -> None:
    for plan in await plans(grown, query(name), 7):
        assert "commands" not in scanned_whole(plan)


async def test_the_backlog_is_counted_without_what_is_decided(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("inbox_backlog")):
        assert "commands" not in scanned_whole(plan)
        assert {"retried_commands", "dead_letters"} <= indexes(plan)


async def test_dead_letters_are_read_from_their_index(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("list_dead_letters"), -1, -1, "", "", 101):
        assert "dead_letters" in indexes(plan)
        assert "commands" not in scanned_whole(plan)


async def test_unfinished_submissions_are_read_from_their_index(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("unfinished_submissions"), 10_000):
        assert indexes(plan) == {"unfinished_submissions"}
