"""However many cases there have been, those that matter now are found by an index."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.integration.test_ledger_read_plans import indexes, plans, scanned_whole
from tests.ledgers import Ledgers

FILL_CASES = """
INSERT INTO cashier.cases (
    kind, source_id, case_id, player_id, partition, currency, amount, is_debit, state, accepted, opened_by,
    opening_entry_id, expires_time, due_time
)
SELECT
    'deposit', 'source-' || number % 7, 'd' || number, 'player-' || number % 1000, number % 16, 'EUR', 100,
    false,
    CASE WHEN number % 1000 = 0 THEN 'crediting' WHEN number % 10 = 0 THEN 'created' ELSE 'credited' END,
    '{open}', 'source', '0-1-1-0', now() + interval '1 day' * (number % 3),
    CASE WHEN number % 1000 = 0 THEN now() END
FROM generate_series(1, 50000) AS number
"""

FILL_MESSAGES = """
INSERT INTO cashier.messages (
    case_number, message, told_by, is_accepted, state_before, state_after, details
)
SELECT case_number, 'open', 'source', true, '', 'created', '{}' FROM cashier.cases
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """50,000 deposits, 50 of them under way, 5,000 merely announced."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute(FILL_CASES)
        await connection.execute(FILL_MESSAGES)
        await connection.execute("ANALYZE")
        yield connection
        await connection.close()


async def test_what_is_under_way_is_found_by_its_index(grown: asyncpg.Connection) -> None:
    for name, arguments in (("claim_due_cases", (50,)), ("count_cases_under_way", ())):
        for plan in await plans(grown, query(name), *arguments):
            assert "cases_under_way" in indexes(plan)
            assert not scanned_whole(plan)


async def test_what_expires_is_found_by_its_index(grown: asyncpg.Connection) -> None:
    async with grown.transaction():
        await grown.execute(query("look_up_by_index"))
        for plan in await plans(grown, query("expire_deposits"), 500, "expire", "stakehold"):
            assert "deposits_that_expire" in indexes(plan)
            assert "cases" not in scanned_whole(plan)


@pytest.mark.parametrize("name", ["lock_case", "read_case"])
async def test_a_case_is_found_by_its_name(grown: asyncpg.Connection, name: str) -> None:
    for plan in await plans(grown, query(name), "deposit", "source-1", "d8"):
        assert indexes(plan) == {"a_case_is_opened_once"}


async def test_what_was_said_about_a_case_is_found_by_its_index(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("case_messages"), 7):
        assert indexes(plan) == {"messages_of_a_case"}


async def test_a_players_cases_are_listed_from_their_index(grown: asyncpg.Connection) -> None:
    states: list[str] = []
    arguments = ("deposit", "", states, 2**62, 101)

    for plan in await plans(grown, query("list_cases_of_player"), *arguments, "player-7"):
        assert indexes(plan) == {"cases_of_a_player"}
    for plan in await plans(grown, query("list_cases"), *arguments):
        assert indexes(plan) <= {"cases_in_order", "cases_are_numbered"}
        assert not scanned_whole(plan)
