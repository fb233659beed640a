"""What positions are worked out from is found by indexes, also in a ledger that has converted little."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.integration.test_ledger_read_plans import (
    END,
    FILL_ENTRIES,
    START,
    indexes,
    plans,
    scanned_whole,
)
from tests.ledgers import Ledgers

CONVERSION = "USD;100;USD,EUR,929,-3,92,-2,paid,100,1,1700000000000,1700000000005;current"

CONVERT_SOME = "UPDATE ledger.entries SET conversion = $1 WHERE chain_position % 10 = 7 AND version > 1"

FILL_ACCOUNTS = """
INSERT INTO ledger.accounts (partition, owner_kind, owner_id, bucket, currency)
SELECT player % 16, 'player', 'player-' || player, 'cash', 'EUR' FROM generate_series(0, 49999) AS player
UNION ALL
SELECT partition, 'house', '', bucket, currency
FROM generate_series(0, 15) AS partition
CROSS JOIN unnest(ARRAY['fx_position', 'fx_spread', 'fx_rounding', 'promotions']) AS bucket
CROSS JOIN unnest(ARRAY['EUR', 'USD']) AS currency
"""

FILL_POSTINGS = """
INSERT INTO ledger.postings (
    partition, epoch, sequence, entry_index, posting_index, account_id, currency, amount
)
SELECT partition, epoch, sequence, entry_index, place, account_id, house.currency, 1
FROM ledger.entries
CROSS JOIN LATERAL (
    SELECT account_id, accounts.currency, row_number() OVER (ORDER BY account_id) AS place
    FROM ledger.accounts
    WHERE owner_kind = 'house' AND partition = entries.partition AND bucket = 'fx_position'
) AS house
"""

FILL_BALANCES = "INSERT INTO ledger.balances (account_id, balance) SELECT account_id, 1 FROM ledger.accounts"

FILL_RATES = """
INSERT INTO fx.rates (source, base, quote, mid, published_time, received_time, state, pushed_by, reason)
SELECT 'test', 'USD', 'EUR', 1, moment, moment, 'accepted', '', ''
FROM generate_series($1::timestamptz, $1 + interval '20 days', interval '1 minute') AS moment
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """60,000 entries, every tenth converted, with a posting to each of the house's two currencies."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(FILL_ENTRIES, START)
        await connection.execute(CONVERT_SOME, CONVERSION)
        for statement in (FILL_ACCOUNTS, FILL_POSTINGS, FILL_BALANCES):
            await connection.execute(statement)
        await connection.execute(FILL_RATES, START)
        await connection.execute("ANALYZE")
        yield connection
        await connection.close()


async def house_accounts(connection: asyncpg.Connection) -> tuple[list[int], list[str]]:
    accounts = await connection.fetch(query("house_fx_accounts"))
    return [row["account_id"] for row in accounts], [row["bucket"] for row in accounts]


async def test_of_all_entries_only_those_that_were_converted_are_read(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("fx_movements"), END, *await house_accounts(grown)):
        assert indexes(plan) == {
            "conversions_by_time",
            "a_posting_has_one_place_in_its_entry",
        }
        assert not scanned_whole(plan)


async def test_the_houses_accounts_are_found_among_everybodys(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("house_fx_accounts")):
        assert indexes(plan) == {
            "an_owner_has_one_account_per_currency_bucket_and_partition",
            "an_account_has_one_balance",
        }
        assert not scanned_whole(plan)


async def test_a_rate_of_the_past_is_found_by_its_time(grown: asyncpg.Connection) -> None:
    moments = [START + timedelta(days=count) for count in range(1, 11)]

    for plan in await plans(grown, query("rates_at_moments"), moments, ["USD"] * 10, ["EUR"] * 10):
        assert "rates" not in scanned_whole(plan)


async def test_movements_are_as_few_as_days_pairs_and_directions(grown: asyncpg.Connection) -> None:
    rows = await grown.fetch(query("fx_movements"), END, *await house_accounts(grown))

    assert [(row["requested_currency"], row["wallet_currency"], row["is_paid"]) for row in rows] == [
        ("USD", "EUR", False)
    ]
    assert rows[0]["requested_amount"] == rows[0]["wallet_amount"] == 5990
