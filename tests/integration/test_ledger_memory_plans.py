"""What the ledger remembers of a player is looked up by indexes, however large the ledger is."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.integration.test_ledger_read_plans import FILL_ENTRIES, START, indexes, nodes, plans, scanned_whole
from tests.ledgers import Ledgers

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLAYERS = [f"player-{number}" for number in range(8)]
IDS = (["player-7"] * 3, ["source-7"] * 3, ["b7", "b107", "b207"])
ROUNDS = (["player-7"] * 3, ["source-7"] * 3, ["slots", "slots", ""], ["round-7", "round-8", "round-9"])
BY_ENTRY = {
    "a_transaction_id_takes_effect_once",
    "entries_by_reference",
    "entries_by_players_round",
    "an_entry_has_one_place_in_its_chain",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """A ledger of 60,000 entries of 100 players, two out of three with a reference, and statistics."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(FILL_ENTRIES, START)
        await connection.execute(
            "UPDATE ledger.entries SET reference_transaction_id = 'b' || chain_position / 2 "
            "WHERE chain_position % 3 > 0"
        )
        await connection.execute(
            "UPDATE ledger.entries SET source_id = 'stakehold' WHERE entry_type = 'wallet_opened'"
        )
        await connection.execute("VACUUM ANALYZE")
        yield connection
        await connection.close()


@pytest.mark.parametrize(
    ("name", "arguments", "index"),
    [
        ("newest_changes_of_players", (PLAYERS,), {"a_wallet_has_each_version_once"}),
        ("newest_ids_of_players", (PLAYERS, START + timedelta(hours=9), 100), {"entries_by_player"}),
        ("newest_ids_of_players", (PLAYERS, START + timedelta(days=9), 100), {"entries_by_player"}),
        ("entries_about", (*IDS, *ROUNDS), BY_ENTRY),
        (
            "known_fields_of_players",
            (PLAYERS, [1000] * len(PLAYERS)),
            {"a_transaction_id_takes_effect_once", "entries_by_reference", "entries_by_players_round"},
        ),
    ],
)
async def test_memory_is_looked_up_by_its_indexes(
    grown: asyncpg.Connection, name: str, arguments: tuple[object, ...], index: set[str]
) -> None:
    for plan in await plans(grown, query(name), *arguments):
        assert indexes(plan) == index
        assert not scanned_whole(plan)
        for node in nodes(plan):
            if "Index Name" in node:
                assert "player_id" in node.get("Index Cond", "") or "partition" in node["Index Cond"]


async def test_fields_are_told_by_the_indexes_alone(grown: asyncpg.Connection) -> None:
    for plan in await plans(grown, query("known_fields_of_players"), PLAYERS, [1000] * len(PLAYERS)):
        scans = [node for node in nodes(plan) if "Index Name" in node]
        read = [node for node in scans if node["Node Type"] != "Index Only Scan"]
        assert len(scans) == 4
        assert ["stakehold" in node["Index Cond"] for node in read] == [True]


@pytest.mark.parametrize("setting", ["enable_seqscan", "enable_hashjoin", "enable_mergejoin"])
async def test_a_ledger_without_statistics_is_not_gone_through_either(ledger_dsn: str, setting: str) -> None:
    connection = await asyncpg.connect(ledger_dsn)
    try:
        async with connection.transaction():
            await connection.execute(query("look_up_by_index"))
            assert await connection.fetchval("SELECT current_setting($1)", setting) == "off"
            for name, arguments in (
                ("newest_changes_of_players", (PLAYERS,)),
                ("newest_ids_of_players", (PLAYERS, START, 100)),
                ("entries_about", (*IDS, *ROUNDS)),
                ("known_fields_of_players", (PLAYERS, [1000] * len(PLAYERS))),
            ):
                for plan in await plans(connection, query(name), *arguments):
                    assert not scanned_whole(plan)
        assert await connection.fetchval("SELECT current_setting($1)", setting) == "on"
    finally:
        await connection.close()
