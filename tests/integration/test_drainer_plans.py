"""The drainer's queries look rows up by index, however many there are."""

import json

import pytest

from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import WRITER_SETTINGS
from persistence.postgres.queries import query
from tests.draining import Draining, some_play

TEXTS, NUMBERS = ["player-1"], ["0"]
ARGUMENTS: dict[str, tuple[object, ...]] = {
    "partition_states": ([3, 4],),
    "renew_leases": ("anybody", [3, 4], 5.0),
    "take_leases": ("anybody", [3, 4], 5.0, 1),
    "lock_partitions": ([3, 4],),
    "resolve_accounts": ([3], ["player"], TEXTS, ["cash"], ["EUR"]),
    "drifted_wallet": (TEXTS, ["EUR"], NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    "move_cursors": ([3], [1], [99], [99], [bytes(32)], 5.0),
    "standing_transactions": (TEXTS, ["acme"], ["bet-1"]),
    "quarantine_record": (3, 1, 99, [b"x"], "OutboxGap", "a gap"),
}


def nodes(plan: dict[str, object]) -> list[str]:
    """All steps of a plan, as "Index Scan on accounts"."""
    below = plan.get("Plans", [])
    assert isinstance(below, list)
    name = f"{plan['Node Type']} on {plan['Relation Name']}" if "Relation Name" in plan else plan["Node Type"]
    return [str(name), *(node for child in below for node in nodes(child))]


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_hot_query_reads_no_whole_table(books: Draining, name: str) -> None:
    await some_play(books.feed)
    await books.drain()
    async with (
        ledger_connection(
            books.ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=5.0, settings=WRITER_SETTINGS
        ) as connection,
        connection.transaction(),
    ):
        explained = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query(name)}", *ARGUMENTS[name])

    steps = nodes(json.loads(explained)[0]["Plan"])

    assert not [step for step in steps if step.startswith("Seq Scan")], steps
