"""However long the access log is, what is looked for in it is found by an index."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.integration.test_ledger_read_plans import indexes, plans, scanned_whole
from tests.ledgers import Ledgers

FILL = """
INSERT INTO ledger.access_log (
    position, record_id, kind, call_id, caller, identified_by, claimed, peer, method, verb, source_id,
    player_id, transaction_id, details, why, code, reason, count, first_time, last_time, server_id,
    recorded_time, hash
)
SELECT
    number, gen_random_uuid(), CASE WHEN number % 10 = 0 THEN 'begun' ELSE 'denied' END,
    CASE WHEN number % 10 = 0 THEN 'call-' || number ELSE '' END,
    'caller-' || number % 500, 'token', '', '10.0.0.1', '/m', 'debit BET', 's', 'player-' || number % 2000,
    '', '{}', '', CASE WHEN number % 10 = 0 THEN '' ELSE 'PERMISSION_DENIED' END, '', 1, now(), now(),
    'server', now(), '\\x00'
FROM generate_series(1, 50000) AS number
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")
EVERYTHING: tuple[object, ...] = (2**62, "", "", [], "", "", "", None, None, 101)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """50,000 records, as quickly as they can be written: without their chain."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(FILL)
        await connection.execute("ANALYZE ledger.access_log")
        yield connection
        await connection.close()


@pytest.mark.parametrize(
    ("place", "wanted", "index"),
    [
        (1, "caller-7", "access_records_of_a_caller"),
        (5, "player-7", "access_records_about_a_player"),
        (6, "call-70", "access_records_of_a_call"),
        (0, 777, "access_records_are_numbered"),
    ],
)
async def test_a_list_is_read_from_the_index_of_its_filter(
    grown: asyncpg.Connection, place: int, wanted: object, index: str
) -> None:
    arguments = [*EVERYTHING[:place], wanted, *EVERYTHING[place + 1 :]]

    custom, *_ = await plans(grown, query("list_access_records"), *arguments)

    assert indexes(custom) == {index}
    assert not scanned_whole(custom)
