"""Databases to test on: one is migrated, the others are copies of it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from service.embedded import EmbeddedPostgres

TEMPLATE = "migrated"
OWNER = "stakehold"


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Makes ledgers on one Postgres server."""

    postgres: EmbeddedPostgres

    @asynccontextmanager
    async def fresh(self, *, template: str = TEMPLATE) -> AsyncIterator[str]:
        """The address of a ledger of one's own, dropped afterwards with whoever is still connected."""
        name = f"{template}_{uuid.uuid4().hex[:12]}"
        await self.create(name, template=template)
        try:
            yield self.postgres.dsn_for(name)
        finally:
            await self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def create(self, name: str, *, template: str = "template1") -> str:
        """The address of a new database. Nobody may be connected to the template."""
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER {OWNER}')
        return self.postgres.dsn_for(name)

    async def cut_off(self, ledger_dsn: str) -> None:
        """Ends all connections to a ledger and lets nobody in any more."""
        name = ledger_dsn.rpartition("/")[2]
        await self._execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await self._execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    async def let_in_again(self, ledger_dsn: str) -> None:
        await self._execute(f'ALTER DATABASE "{ledger_dsn.rpartition("/")[2]}" ALLOW_CONNECTIONS true')

    async def _execute(self, statement: str) -> None:
        """As the superuser: roles that the ledger's owner made are not the owner's to disconnect."""
        connection = await asyncpg.connect(self.postgres.dsn_for("postgres", superuser=True), timeout=30.0)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
