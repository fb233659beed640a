"""Ledgers that have become others than they were, as after a restore, and whose chains verify."""

from datetime import timedelta

import asyncpg

from persistence.audit.entry_walk import UnreadableEntry, walk
from persistence.hash_chain import entry_hash
from persistence.postgres.queries import query
from service.embedded.postgres_data import OWNER, SUPERUSER


async def replace_the_last_entry(
    dsn: str, partition: int, *, later: timedelta = timedelta(minutes=1)
) -> None:
    """Another history with the same beginning, which verifies: its last entry was booked later."""
    sql = await _behind_its_back(dsn)
    try:
        async with sql.transaction():
            await sql.execute(
                "UPDATE ledger.entries SET booked_time = booked_time + $2 "
                "WHERE partition = $1 AND chain_position = "
                "(SELECT entry_count - 1 FROM ledger.partitions WHERE partition = $1)",
                partition,
                later,
            )
            last = None
            async for batch in walk(sql, query("audit_chain"), partition, batch_size=100):
                last = batch[-1]
            assert last is not None
            assert not isinstance(last, UnreadableEntry)
            made = entry_hash(last.previous_hash, last.chained, last.legs)
            await sql.execute(
                "UPDATE ledger.entries SET hash = $3 WHERE partition = $1 AND chain_position = $2",
                partition,
                last.chained.chain_position,
                made,
            )
            await sql.execute(
                "UPDATE ledger.partitions SET chain_hash = $2 WHERE partition = $1", partition, made
            )
    finally:
        await sql.close()


async def take_the_last_entry_away(dsn: str, partition: int) -> None:
    sql = await _behind_its_back(dsn)
    try:
        async with sql.transaction():
            previous = await sql.fetchval(
                "DELETE FROM ledger.entries WHERE partition = $1 AND chain_position = "
                "(SELECT entry_count - 1 FROM ledger.partitions WHERE partition = $1) "
                "RETURNING previous_hash",
                partition,
            )
            await sql.execute(
                "UPDATE ledger.partitions SET chain_hash = $2, entry_count = entry_count - 1 "
                "WHERE partition = $1",
                partition,
                previous,
            )
    finally:
        await sql.close()


async def forget_archives(dsn: str) -> None:
    """As a ledger that was restored to before they were made."""
    sql = await _behind_its_back(dsn)
    try:
        await sql.execute("DELETE FROM ledger.archives")
    finally:
        await sql.close()


async def _behind_its_back(dsn: str) -> asyncpg.Connection:
    """As a superuser, with the ledger's triggers switched off."""
    sql = await asyncpg.connect(dsn.replace(f"//{OWNER}:", f"//{SUPERUSER}:"))
    await sql.execute("SET session_replication_role = replica")
    return sql
