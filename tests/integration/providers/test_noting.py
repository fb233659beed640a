"""Answers are noted after they left: one that cannot be noted holds up no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from persistence.postgres.callbacks import CallbackTable, NotedAnswer, ReceivedCallback
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.valkey.engine import deadline_after
from service.providers.metrics import ProviderMetrics
from service.providers.noting import AnswerNotes
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIMEOUT_S = 10.0
NOBODYS_CALLBACK = 10**9


@dataclass(frozen=True, slots=True)
class Desk:
    """Who notes, what is noted, and how many were not."""

    notes: AnswerNotes
    table: CallbackTable
    sql: "asyncpg.Connection[asyncpg.Record]"
    registry: CollectorRegistry

    async def recorded(self) -> int:
        """The number of a callback that is on record."""
        callback = ReceivedCallback(
            provider_id="arcade",
            method="POST",
            path="/bet",
            body=b"{}",
            headers={},
            peer="192.0.2.1",
            key_id="secret",
            request_id="",
            player_id="",
            transaction_id="",
            received_time=datetime.now(UTC),
        )
        return (await self.table.record(callback, deadline=deadline_after(TIMEOUT_S))).number

    async def outcomes(self) -> list[str]:
        rows = await self.sql.fetch("SELECT outcome FROM providers.callback_answers ORDER BY outcome")
        return [row["outcome"] for row in rows]

    def lost(self) -> float:
        return self.registry.get_sample_value("stakehold_provider_answers_not_noted_total") or 0.0


@asynccontextmanager
async def desk(ledger_dsn: str) -> AsyncIterator[Desk]:
    registry = CollectorRegistry()
    async with ledger_pool(
        ledger_dsn, role=LedgerRole.CALLBACKS, size=1, statement_timeout_s=TIMEOUT_S
    ) as pool:
        table = CallbackTable(pool)
        sql = await asyncpg.connect(ledger_dsn)
        try:
            yield Desk(AnswerNotes(table, ProviderMetrics(registry)), table, sql, registry)
        finally:
            await sql.close()


def note(callback_number: int, outcome: str) -> NotedAnswer:
    return NotedAnswer(callback_number, outcome, 200, b"\0" * 32, datetime.now(UTC))


async def test_one_that_is_refused_is_let_go_and_the_others_are_noted(ledger_dsn: str) -> None:
    async with desk(ledger_dsn) as made:
        number = await made.recorded()
        for callback_number, outcome in ((number, "a"), (NOBODYS_CALLBACK, "b"), (number, "c")):
            made.notes.put(note(callback_number, outcome))
        running = asyncio.create_task(made.notes.run())

        async def are_noted() -> bool:
            return await made.outcomes() == ["a", "c"]

        await until(are_noted, what="the good ones are noted")
        made.notes.put(note(number, "d"))

        async def is_noted() -> bool:
            return await made.outcomes() == ["a", "c", "d"]

        await until(is_noted, what="a later one is noted")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await made.notes.close()

        assert made.lost() == 1
        assert await made.outcomes() == ["a", "c", "d"]


async def test_what_is_left_is_noted_at_the_end_but_for_what_is_refused(ledger_dsn: str) -> None:
    async with desk(ledger_dsn) as made:
        number = await made.recorded()
        made.notes.put(note(NOBODYS_CALLBACK, "b"))
        made.notes.put(note(number, "c"))

        await made.notes.close()

        assert (await made.outcomes(), made.lost()) == (["c"], 1)
