"""Open rounds are followed, found and swept by indexes, however large the ledger is."""

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
    LATER,
    START,
    indexes,
    nodes,
    plans,
    scanned_whole,
)
from tests.ledgers import Ledgers

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILL_OPEN_ROUNDS = """
INSERT INTO ledger.open_rounds (
    player_id, source_id, game_id, round_id, partition, live_bets, is_settled, first_bet_time, last_time
)
SELECT
    player_id, source_id, game_id, round_id, min(partition), count(*), min(chain_position) % 10 > 0,
    min(booked_time), max(booked_time)
FROM ledger.entries
GROUP BY player_id, source_id, game_id, round_id
"""
NAME = ("player-7", "source-7", "slots", "round-7")
SOURCES = ["source-3", "source-4"]
QUERIES = {
    "follow_rounds": (7, 100, 2000, "§sweep:"),
    "claim_orphaned_rounds": (SOURCES, [LATER, LATER], 50, START, END),
    "orphaned_bets": (*NAME, LATER, 100),
    "open_rounds_by_name": ("player-7", "", "", "", "", 100, 7),
    "open_rounds_by_use": ("player-7", "", 50, ["a", "b"], 7),
    "newest_ids_of_player": ("player-7", "", 9, 9, 20),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """A ledger of 60,000 entries of 100 players, two out of three with a reference, and statistics."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(FILL_ENTRIES, START)
        await connection.execute(FILL_OPEN_ROUNDS)
        await connection.execute(
            "UPDATE ledger.entries SET reference_transaction_id = 'b' || chain_position / 2 "
            "WHERE chain_position % 3 > 0"
        )
        await connection.execute(
            "INSERT INTO ledger.round_progress SELECT partition, 59000 FROM ledger.partitions"
        )
        await connection.execute("VACUUM ANALYZE")
        await connection.execute(
            query("look_up_by_index").replace("true", "false")
        )  # as all of these are asked
        yield connection
        await connection.close()


@pytest.mark.parametrize("name", QUERIES)
async def test_rounds_are_looked_up_by_indexes(grown: asyncpg.Connection, name: str) -> None:
    for plan in await plans(grown, query(name), *QUERIES[name]):
        assert scanned_whole(plan) <= {"round_progress"}
        for node in nodes(plan):
            if "Index Name" in node:
                assert node.get("Index Cond"), node


async def test_orphans_are_found_by_their_index(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("claim_orphaned_rounds"), *QUERIES["claim_orphaned_rounds"]):
        assert indexes(plan) == {"unsettled_rounds_by_age"}


async def test_the_rounds_last_used_are_read_in_order(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("open_rounds_by_use"), *QUERIES["open_rounds_by_use"]):
        assert "open_rounds_by_use" in indexes(plan)
    for plan in await plans(grown, query("open_rounds_by_name"), *QUERIES["open_rounds_by_name"]):
        assert "a_round_is_open_once" in indexes(plan)


async def test_a_ledger_without_statistics_is_not_gone_through_either(ledger_dsn: str) -> None:
    connection = await asyncpg.connect(ledger_dsn)
    try:
        async with connection.transaction():
            await connection.execute(query("look_up_by_index"))
            for name, arguments in QUERIES.items():
                for plan in await plans(connection, query(name), *arguments):
                    assert not scanned_whole(plan), name
    finally:
        await connection.close()


async def test_what_was_followed_is_not_looked_through_again(grown: asyncpg.Connection) -> None:
    """Nothing but what came since is taken from entries for a list."""
    rows = await grown.fetch(query("open_rounds_by_name"), *QUERIES["open_rounds_by_name"])

    assert len(rows) == 100
    assert len(await grown.fetch(query("open_rounds_by_use"), *QUERIES["open_rounds_by_use"])) == 50
    claimed = await grown.fetch(query("claim_orphaned_rounds"), *QUERIES["claim_orphaned_rounds"])
    assert 0 < len(claimed) <= 100
    assert all(row["source_id"] in SOURCES for row in claimed)
    assert not await grown.fetch(
        query("claim_orphaned_rounds"), SOURCES, [START - timedelta(days=1)] * 2, 50, START, END
    )
