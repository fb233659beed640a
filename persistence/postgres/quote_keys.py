"""The keys that quotes are signed with."""

from persistence.postgres.database import Pool, translated_errors
from persistence.postgres.queries import query

SETTLE_S = 60.0
"""A new key signs only once every server has had so long to read it."""


async def read_quote_keys(pool: Pool) -> dict[str, bytes]:
    """Secrets by their ids, the one that signs first, for the registrar. Raises LedgerUnavailable."""
    with translated_errors():
        rows = await pool.fetch(query("quote_keys"), SETTLE_S)
    return {row["key_id"]: row["secret"] for row in rows}
