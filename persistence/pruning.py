"""Takes away what the ledger has too, once it is old: contents of submitted commands that were decided, and
raw records that stand in the ledger by now. Ids, what became of them, and everything about money stay for
ever.
"""

from dataclasses import dataclass

from persistence.postgres.database import Pool, translated_errors
from persistence.postgres.queries import query


@dataclass(slots=True)
class PruneCounts:
    """How much was taken away so far."""

    commands: int = 0
    records: int = 0


class Pruning:
    """The pool's connections need LedgerRole.PRUNER. Any number may run: one of them prunes at a time.

    Raises LedgerUnavailable.
    """

    def __init__(self, pool: Pool, *, older_than_s: float) -> None:
        self._pool = pool
        self._older_than_s = older_than_s
        self.counts = PruneCounts()

    async def run_once(self) -> bool:
        """One submission; where there is none left, raw records. Whether there may be more."""
        with translated_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                found = await connection.fetchrow(query("submission_to_prune"), self._older_than_s)
                if found is not None:
                    done = await connection.execute(query("prune_commands"), found["submission_number"])
                    await connection.execute(query("submission_is_pruned"), *found)
                    self.counts.commands += _rows(done)
                    return True
                for name in ("prune_salvaged", "prune_quarantined"):
                    self.counts.records += _rows(await connection.execute(query(name), self._older_than_s))
                return False


def _rows(done: str) -> int:
    return int(done.rsplit(maxsplit=1)[-1])
