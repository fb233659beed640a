"""What was fixed when the ledger was made."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from persistence.errors import SetupRefused
from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query

DEFAULT_PARTITION_COUNT = 16


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """A player's partition follows from ``partition_count``, so it never changes."""

    ledger_id: UUID
    partition_count: int
    created_time: datetime


async def plant_settings(connection: Connection, partition_count: int | None) -> None:
    """Fixes the number of partitions if this is the first time; raises SetupRefused if it was another."""
    async with connection.transaction():
        await connection.execute(query("plant_settings"), partition_count or DEFAULT_PARTITION_COUNT)
        await connection.execute(query("plant_partitions"))
    await read_settings(connection, expected_partition_count=partition_count)


async def read_settings(
    connection: Connection, *, expected_partition_count: int | None = None
) -> LedgerSettings:
    """The ledger's settings. Raises SetupRefused where an operator expects another number of partitions."""
    with translated_errors():
        row = await connection.fetchrow(query("ledger_settings"))
    if row is None:
        raise SetupRefused("the ledger has no settings yet: run `stakehold migrate` first")
    settings = LedgerSettings(row["ledger_id"], row["partition_count"], row["created_time"])
    if expected_partition_count not in {None, settings.partition_count}:
        raise SetupRefused(
            f"this ledger was made with {settings.partition_count} partitions and keeps them for ever, but "
            f"STAKEHOLD_PARTITIONS is {expected_partition_count}: unset it or set it to "
            f"{settings.partition_count}"
        )
    return settings
