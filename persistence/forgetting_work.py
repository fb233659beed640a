"""Forgets in the background, in one program at a time."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from persistence.errors import LedgerUnavailable, StoreUnavailable
from persistence.forgetting import FORGETTING_SCRIPTS, ForgetCounts, Forgetter, Pace
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import (
    Connection,
    LedgerRole,
    ledger_connection,
    ledger_pool,
    translated_errors,
)
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.queries import query
from persistence.postgres.reading.memory import LedgerMemory
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.store import open_store

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ForgettingSettings:
    """``window_s`` is how long the store remembers; ``every_s`` lies between two sweeps."""

    postgres_url: str
    valkey_url: str
    window_s: float
    every_s: float = 60.0
    retry_s: float = 5.0
    timeout_s: float = 5.0


class Forgetting:
    """Sweeps again and again, as long as nobody else does. ``counts`` are those of this program."""

    def __init__(self, settings: ForgettingSettings, *, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self.counts = ForgetCounts()

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop."""
        while not stop.is_set():
            pause_s = self._settings.every_s
            try:
                await self._sweep_if_nobody_does()
            except (LedgerUnavailable, StoreUnavailable) as error:
                _log.warning("sweep_interrupted", error=str(error))
                pause_s = self._settings.retry_s
            try:
                await asyncio.wait_for(stop.wait(), pause_s)
            except TimeoutError:
                continue

    async def _sweep_if_nobody_does(self) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(
                ledger_connection(
                    settings.postgres_url,
                    role=LedgerRole.READER,
                    statement_timeout_s=settings.timeout_s,
                    application="stakehold forget",
                )
            )
            if not await _only_one(connection):
                return
            ledger = await read_settings(connection)
            pool = await stack.enter_async_context(
                ledger_pool(
                    settings.postgres_url,
                    role=LedgerRole.READER,
                    size=1,
                    statement_timeout_s=settings.timeout_s,
                    application="stakehold forget",
                )
            )
            runner = await stack.enter_async_context(
                open_store(
                    settings.valkey_url,
                    scripts=FORGETTING_SCRIPTS,
                    timeout_s=settings.timeout_s,
                    max_waiting=10_000,
                )
            )
            players = await stack.enter_async_context(
                hot_wallets(
                    settings.valkey_url,
                    partition_count=ledger.partition_count,
                    timeout_s=settings.timeout_s,
                )
            )
            forgetter = Forgetter(
                runner,
                players,
                AdoptingLedger(connection),
                LedgerMemory(pool),
                ledger_id=ledger.ledger_id,
                counts=self.counts,
            )
            await forgetter.sweep(self._now_ms, Pace(settings.window_s))


async def _only_one(connection: Connection) -> bool:
    """Whether this program may sweep; the connection's end lets the next one."""
    with translated_errors():
        return bool(await connection.fetchval(query("try_to_forget")))
