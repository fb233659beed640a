"""Makes a store forget what the ledger has, as if days had passed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from persistence.drainer import wall_clock_ms
from persistence.forgetting import FORGETTING_SCRIPTS, Forgetter, Limits
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import LedgerRole, ledger_connection, ledger_pool
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.reading.memory import LedgerMemory
from persistence.transactions import PlayerId, partition_of
from persistence.valkey.hot_wallets import HotWallets, hot_wallets
from persistence.valkey.store import open_store
from tests.waiting import until

_TIMEOUT_S = 10.0
_NEVER_MS = 0


@dataclass(frozen=True, slots=True)
class Oblivion:
    """What makes players, or their ids and rounds, leave the store's memory. Waits for the drainer first."""

    forgetter: Forgetter
    hot: HotWallets
    ledger: AdoptingLedger
    memory: LedgerMemory
    partition_count: int

    async def forget_players(self, players: Sequence[str]) -> None:
        """The players whole."""
        await self._forget(players, Limits(idle_since_ms=_soon_ms(), older_than_ms=_NEVER_MS))

    async def forget_fields(self, players: Sequence[str]) -> None:
        """All of the players' ids and rounds, but not their wallets."""
        await self._forget(players, Limits(idle_since_ms=_NEVER_MS, older_than_ms=_soon_ms()))

    async def _forget(self, players: Sequence[str], limits: Limits) -> None:
        placed = [(partition_of(PlayerId(p), self.partition_count), PlayerId(p)) for p in players]
        await self._drained({partition for partition, _ in placed})
        await self.forgetter.forget(placed, limits)

    async def _drained(self, partitions: set[int]) -> None:
        ends = await self.hot.outbox_ends(partitions)

        async def are_drained() -> bool:
            cursors = {p.partition: p.cursor for p in await self.ledger.partitions(list(partitions))}
            return all(end is None or end <= cursors[number] for number, end in ends.items())

        await until(are_drained, what="the outboxes are drained")


@asynccontextmanager
async def oblivion(valkey_url: str, ledger_dsn: str) -> AsyncIterator[Oblivion]:
    async with (
        ledger_connection(ledger_dsn, role=LedgerRole.READER, statement_timeout_s=_TIMEOUT_S) as connection,
        ledger_pool(ledger_dsn, role=LedgerRole.READER, size=1, statement_timeout_s=_TIMEOUT_S) as pool,
        open_store(
            valkey_url, scripts=FORGETTING_SCRIPTS, timeout_s=_TIMEOUT_S, max_waiting=10_000
        ) as runner,
    ):
        settings = await read_settings(connection)
        count = settings.partition_count
        async with hot_wallets(valkey_url, partition_count=count, timeout_s=_TIMEOUT_S) as hot:
            ledger, memory = AdoptingLedger(connection), LedgerMemory(pool)
            forgetter = Forgetter(runner, hot, ledger, memory, ledger_id=settings.ledger_id)
            yield Oblivion(forgetter, hot, ledger, memory, count)


class BlockingOblivion:
    """Oblivion for those who have no event loop; it has one of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, made: Oblivion) -> None:
        self._loop = loop
        self._made = made

    def forget_players(self, players: Sequence[str]) -> None:
        self._wait_for(self._made.forget_players(players))

    def forget_fields(self, players: Sequence[str]) -> None:
        self._wait_for(self._made.forget_fields(players))

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)


@contextmanager
def blocking_oblivion(valkey_url: str, ledger_dsn: str) -> Iterator[BlockingOblivion]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="oblivion")
    thread.start()
    life = oblivion(valkey_url, ledger_dsn)
    try:
        made = asyncio.run_coroutine_threadsafe(life.__aenter__(), loop).result(_TIMEOUT_S)
        try:
            yield BlockingOblivion(loop, made)
        finally:
            asyncio.run_coroutine_threadsafe(life.__aexit__(None, None, None), loop).result(_TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_TIMEOUT_S)
        loop.close()


def _soon_ms() -> int:
    return wall_clock_ms() + 60_000
