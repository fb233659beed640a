"""Sessions as a server keeps them: what it has closed is not open again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.sessions import NewSession, Session, SessionTable
from persistence.valkey.engine import deadline_after
from service.providers.sessions import Sessions

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "a-token-of-a-session"
TIMEOUT_S = 10.0


class GatedTable(SessionTable):
    """Holds back what was read until the gate is open."""

    was_read: asyncio.Event
    gate: asyncio.Event

    async def find(self, token: str, *, deadline: float) -> Session:
        session = await super().find(token, deadline=deadline)
        self.was_read.set()
        await self.gate.wait()
        return session


@asynccontextmanager
async def gated_table(ledger_dsn: str) -> AsyncIterator[GatedTable]:
    async with ledger_pool(
        ledger_dsn, role=LedgerRole.CALLBACKS, size=2, statement_timeout_s=TIMEOUT_S
    ) as pool:
        table = GatedTable(pool)
        table.was_read, table.gate = asyncio.Event(), asyncio.Event()
        yield table


async def test_one_that_is_read_while_it_is_closed_stays_closed(ledger_dsn: str) -> None:
    expire_time = datetime.now(UTC) + timedelta(hours=1)
    async with gated_table(ledger_dsn) as table:
        sessions, deadline = Sessions(table), deadline_after(TIMEOUT_S)
        await sessions.open(TOKEN, NewSession("hub88", "ada", "EUR", "", expire_time), deadline=deadline)

        reading = asyncio.create_task(sessions.find(TOKEN, deadline=deadline))
        await table.was_read.wait()
        closed = await sessions.close(TOKEN, deadline=deadline)
        table.gate.set()
        read = await reading
        found = await sessions.find(TOKEN, deadline=deadline)

    assert closed.closed_time is not None
    assert read == found == closed
    assert not sessions.is_open(closed)
