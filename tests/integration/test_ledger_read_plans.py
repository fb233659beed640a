"""Reads that may meet a large table are driven by an index, whether planned for their values or for any."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.queries import query
from persistence.postgres.reading.chains import EventFilter, stretches_query
from persistence.postgres.reading.entry_lists import EntryFilter, list_query
from persistence.transactions import TransactionKind
from service.embedded.postgres_data import OWNER, SUPERUSER
from tests.ledgers import Ledgers

START = datetime(2025, 1, 1, tzinfo=UTC)
LATER = START + timedelta(hours=3)
END = START + timedelta(days=30)
FIRST = (START, -1, -1)
LAST = (END, 99, 2**60)

FILL_ENTRIES = """
INSERT INTO ledger.entries (
    partition, epoch, sequence, entry_index, chain_position, entry_type, operation, player_id, source_id,
    transaction_id, kind, fingerprint, currency, amount, version, cash_change, bonus_change, held_change,
    receivable_change, cash_after, bonus_after, held_after, receivable_after, wallet_version, wallet_status,
    credit_line, game_id, round_id, outcome, late, closes_round, booked_time, metadata, previous_hash, hash
)
SELECT
    player % 16, 1, number, 0, number, CASE WHEN version = 1 THEN 'wallet_opened' ELSE 'applied' END, 'debit',
    'player-' || player, 'source-' || number % 97, 'b' || number, 'bet', 'f', 'EUR', 1, version, 0, 0, 0,
    0, 0, 0, 0, 0, version, 'active',
    0, 'slots', 'round-' || number / 2, 'applied', false, false,
    $1::timestamptz + number * interval '1 second', '{}',
    decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
FROM (
    SELECT number, number % 100 AS player, number / 100 + 1 AS version
    FROM generate_series(0, 59999) AS number
) AS numbers
"""

FILL_WALLETS = """
INSERT INTO ledger.wallets (
    player_id, currency, partition, version, status, credit_line, opened_time, last_booked_time
)
SELECT 'player-' || player, 'EUR', player % 16, 1, 'active', 0, $1, $1 FROM generate_series(0, 4999) AS player
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def grown(ledgers: Ledgers) -> AsyncIterator[asyncpg.Connection]:
    """A ledger of 60,000 entries of 100 players, 600 each, and statistics."""
    async with ledgers.fresh() as dsn:
        connection = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(FILL_ENTRIES, START)
        await connection.execute(FILL_WALLETS, START)
        await connection.execute("ANALYZE")
        yield connection
        await connection.close()


async def plans(connection: asyncpg.Connection, statement: str, *arguments: object) -> list[Any]:
    """How a query is done with these arguments, and with any."""
    for_these = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE read AS {statement}")
    nulls = f"({', '.join(['NULL'] * len(arguments))})" if arguments else ""
    for_any = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE read{nulls}")
    await connection.execute("DEALLOCATE read; RESET plan_cache_mode")
    return [json.loads(plan)[0]["Plan"] for plan in (for_these, for_any)]


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def indexes(plan: Any) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def scanned_whole(plan: Any) -> set[str]:
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (EntryFilter(), "entries_by_time"),
        (EntryFilter(end=LATER), "entries_by_time"),
        (EntryFilter(player_id="player-7"), "entries_by_player"),
        (EntryFilter(player_id="player-7", kinds=(TransactionKind.BET,)), "entries_by_player"),
        (EntryFilter(player_id="player-7", currency="EUR"), "entries_by_player"),
        (EntryFilter(round_id="round-77"), "entries_by_round"),
        (EntryFilter(round_id="round-77", source_id="source-3"), "entries_by_round"),
        (EntryFilter(source_id="source-3"), "entries_by_source"),
    ],
)
async def test_a_list_is_read_in_order_from_the_index_of_its_filter(
    grown: asyncpg.Connection, wanted: EntryFilter, index: str
) -> None:
    statement, arguments = list_query(wanted)

    for plan in await plans(grown, statement, *FIRST, *LAST, 101, *arguments):
        assert indexes(plan) == {index}
        assert not scanned_whole(plan)
        assert not any(node["Node Type"] == "Sort" for node in nodes(plan))


@pytest.mark.parametrize(
    "wanted",
    [
        EventFilter(),
        EventFilter(player_id="player-7"),
        EventFilter(source_id="source-3", kinds=(TransactionKind.BET,)),
    ],
)
async def test_a_stretch_of_a_chain_is_read_from_its_index(
    grown: asyncpg.Connection, wanted: EventFilter
) -> None:
    statement, arguments = stretches_query(wanted)

    for plan in await plans(grown, statement, [3, 7], [100, 200], [300, 400], 200, *arguments):
        assert indexes(plan) == {"an_entry_has_one_place_in_its_chain"}
        assert not scanned_whole(plan)


@pytest.mark.parametrize(
    ("name", "arguments", "index"),
    [
        ("newest_place", (), {"entries_by_time"}),
        ("last_change_before", ("player-7", "EUR", LATER), {"entries_by_player"}),
        ("change_of_version", ("player-7", "EUR", 5), {"a_wallet_has_each_version_once"}),
        ("statement_lines", ("player-7", "EUR", 2, 9, 101), {"a_wallet_has_each_version_once"}),
        ("wallet_exists", ("player-7", "EUR"), {"a_player_has_one_wallet_per_currency"}),
        ("rollbacks_of_entries", (["player-7"], ["source-0"], ["b7"]), {"entries_by_reference"}),
        ("versions_now", (["player-7"], ["EUR"], [5]), {"a_wallet_has_each_version_once"}),
    ],
)
async def test_a_read_uses_its_index(
    grown: asyncpg.Connection, name: str, arguments: tuple[object, ...], index: set[str]
) -> None:
    for plan in await plans(grown, query(name), *arguments):
        assert indexes(plan) == index
        assert "entries" not in scanned_whole(plan)
