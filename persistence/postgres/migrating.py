"""Brings a database to the newest schema: numbered files, each once, in order, forward only."""

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files

from persistence.errors import SetupRefused
from persistence.postgres.database import Connection, ledger_connection, translated_errors
from persistence.postgres.ledger_settings import plant_settings
from persistence.postgres.lock_waits import LockWaits, OnWaiting
from persistence.postgres.queries import query
from persistence.postgres.roles import ensure_roles

_FILE_NAME = re.compile(r"^(\d{4})_(\w+)\.sql$")
_APPLICATION = "stakehold migrate"
_STATEMENT_TIMEOUT_S = 600.0
_WATCHER_TIMEOUT_S = 5.0
LOCK_WAIT_S = 180.0
"""Four attempts of it, and the pauses in between, fit into what the chart gives its job."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. ``checksum`` is the SHA-256 of its text: what was applied is never edited."""

    number: int
    name: str
    statements: str

    @property
    def checksum(self) -> bytes:
        return hashlib.sha256(self.statements.encode()).digest()

    def __str__(self) -> str:
        return f"{self.number:04}_{self.name}"


@cache
def all_migrations() -> tuple[Migration, ...]:
    """Every migration that this version knows, numbered from 1 without a gap."""
    found = sorted(
        (
            Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
            for file in files("persistence.postgres").joinpath("migrations").iterdir()
            if (match := _FILE_NAME.match(file.name))
        ),
        key=lambda migration: migration.number,
    )
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 …")
    return tuple(found)


async def migrate(
    url: str,
    *,
    partition_count: int | None = None,
    service_login: str | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
    on_applied: Callable[[Migration], None] = lambda migration: None,
    on_waiting: OnWaiting = lambda migration, holders: None,
    migrations: Sequence[Migration] | None = None,
    accept_newer: bool = False,
) -> int:
    """Applies what is missing and returns how many migrations that were. Any number of programs may call it
    at once.

    ``service_login`` is the role as which the service logs in, where that is not whoever migrates.
    ``partition_count`` is used by the first migration ever (None: 16); a later call with another raises
    SetupRefused, as does a database whose migrations were edited, or that a newer version migrated; with
    ``accept_newer`` the latter is left as it is: code that goes back runs on it.

    Where others hold tables that are to be changed, everybody else goes on using these meanwhile; after
    ``lock_wait_s`` in all it raises LedgerUnavailable, with who they are.
    """
    steps = all_migrations() if migrations is None else tuple(migrations)
    async with ledger_connection(
        url, role=None, statement_timeout_s=_STATEMENT_TIMEOUT_S, application=_APPLICATION
    ) as connection:
        with translated_errors():
            await connection.execute(query("lock_migrations"))
            try:
                await ensure_roles(connection, service_login=service_login)
                missing = await _missing(connection, steps, accept_newer=accept_newer)
                if missing:
                    async with _watcher(url) as watcher:
                        waits = LockWaits(connection, watcher, patience_s=lock_wait_s, on_waiting=on_waiting)
                        await _apply(connection, waits, missing, on_applied)
                await plant_settings(connection, partition_count)
            finally:
                await connection.execute(query("unlock_migrations"))
    return len(missing)


async def require_migrated(connection: Connection) -> None:
    """Raises SetupRefused unless the database has all migrations of this version. It may have newer ones, as
    in the middle of a rollout.
    """
    with translated_errors():
        exists = await connection.fetchval(query("migrations_table_exists"))
        applied = await _applied(connection) if exists else {}
    _require_unedited(applied, all_migrations())
    missing = [migration for migration in all_migrations() if migration.number not in applied]
    if missing:
        raise SetupRefused(f"the database lacks {len(missing)} migrations: run `stakehold migrate` first")


def _watcher(url: str) -> AbstractAsyncContextManager[Connection]:
    return ledger_connection(url, role=None, statement_timeout_s=_WATCHER_TIMEOUT_S, application=_APPLICATION)


async def _missing(
    connection: Connection, steps: Sequence[Migration], *, accept_newer: bool
) -> list[Migration]:
    if not await connection.fetchval(query("schema_exists")):
        await connection.execute("CREATE SCHEMA IF NOT EXISTS ledger")
    await connection.execute(query("create_migrations_table"))
    applied = await _applied(connection)
    _require_unedited(applied, steps)
    newer = sorted(set(applied) - {migration.number for migration in steps})
    if newer and not accept_newer:
        raise SetupRefused(
            f"the database has migration {newer[-1]}, which this version does not know: run the newer version"
        )
    return [migration for migration in steps if migration.number not in applied]


async def _apply(
    connection: Connection,
    waits: LockWaits,
    missing: Sequence[Migration],
    on_applied: Callable[[Migration], None],
) -> None:
    for migration in missing:
        await waits.transaction(str(migration), partial(_apply_one, connection, migration))
        on_applied(migration)


async def _apply_one(connection: Connection, migration: Migration) -> None:
    await connection.execute(migration.statements)
    await connection.execute(query("record_migration"), migration.number, migration.name, migration.checksum)


async def _applied(connection: Connection) -> dict[int, bytes]:
    rows = await connection.fetch(query("applied_migrations"))
    return {row["number"]: row["checksum"] for row in rows}


def _require_unedited(applied: dict[int, bytes], steps: Sequence[Migration]) -> None:
    for migration in steps:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise SetupRefused(
                f"migration {migration} is not the one that this database was "
                "made with: put the file back, and write a new migration for the change"
            )
