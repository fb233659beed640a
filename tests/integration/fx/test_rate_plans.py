"""Whatever was pushed, and however much of it waits: rates are found by index."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.integration.test_ledger_read_plans import indexes, plans, scanned_whole
from tests.ledgers import Ledgers

PAIRS = 20
BASES, QUOTES = ["EUR"] * PAIRS, [f"Q{number:02}" for number in range(PAIRS)]
START = datetime(2025, 1, 1, tzinfo=UTC)

FILL = (
    """
    INSERT INTO registry.currencies
    SELECT code, code, 2, 'fiat', 'enabled' FROM unnest($1::text[] || '{EUR}') AS code
    """,
    "INSERT INTO fx.pairs SELECT 'EUR', code, 60, 100, 500, NULL, 0 FROM unnest($1::text[]) AS code",
    # One in a hundred was held, and half of these are decided.
    """
    INSERT INTO fx.rates (source, base, quote, mid, published_time, received_time, state, pushed_by, reason)
    SELECT 'feed', 'EUR', codes[1 + number % 20], 1.5, at, at,
        CASE WHEN number % 100 = 7 THEN 'held' ELSE 'accepted' END, '', 'a jump'
    FROM (
        SELECT number, $1::text[] AS codes, '2025-01-01Z'::timestamptz + number * interval '1 second' AS at
        FROM generate_series(1, 60000) AS number
    ) AS numbers
    """,
    """
    INSERT INTO fx.rate_decisions
    SELECT rate_id, 'confirmed', 'bob', received_time, '' FROM fx.rates
    WHERE state = 'held' AND rate_id % 200 = 7 AND cardinality($1::text[]) > 0
    """,
    # A feed goes on for hours after a jump that nobody has looked at.
    """
    INSERT INTO fx.rates (source, base, quote, mid, published_time, received_time, state, pushed_by, reason)
    SELECT 'feed', 'EUR', ($1::text[])[3], 3, at, at, 'held', '', 'a jump'
    FROM (
        SELECT '2025-02-01Z'::timestamptz + number * interval '1 second' AS at
        FROM generate_series(1, 20000) AS number
    ) AS numbers
    """,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """80,000 rates of 20 pairs, and statistics."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        for statement in FILL:
            await connection.execute(statement, QUOTES)
        await connection.execute("ANALYZE")
        yield connection
        await connection.close()


IN_USE = {"accepted_rates", "held_rates"}


@pytest.mark.parametrize(
    ("name", "arguments", "by"),
    [
        ("rates_in_use", (BASES, QUOTES), IN_USE),
        ("newest_waiting_rates", (BASES, QUOTES), IN_USE),
        ("last_rates_of_source", (BASES, QUOTES, "by-hand"), {"rates_by_source"}),
        ("rate_at", ("EUR", "Q03", START, None), {"accepted_rates"}),
        ("list_rates", ("EUR", "Q03", START, 0, 2**60, None, 101), {"rates_by_pair"}),
        ("list_waiting_rates", (0, 101), IN_USE),
    ],
)
async def test_rates_are_found_by_the_index_that_is_made_for_it(
    grown: asyncpg.Connection, name: str, arguments: tuple[object, ...], by: set[str]
) -> None:
    for plan in await plans(grown, query(name), *arguments):
        assert by <= indexes(plan)
        assert "rates" not in scanned_whole(plan)
