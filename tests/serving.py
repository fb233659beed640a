"""Servers in this process, on a ledger and a store of their own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from pydantic import SecretStr
from redis.asyncio import Redis

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from service.server import RunningServer, running_server
from service.settings import Settings
from tests.ledgers import Ledgers

DATABASE = 10
"""Of the shared Valkey; the deployment that tests share is in database 0."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """A migrated ledger and an empty store, for as many servers as a test likes."""

    valkey_url: str
    ledger_dsn: str

    def settings(self, **changes: Any) -> Settings:
        urls = {"valkey_url": SecretStr(self.valkey_url), "postgres_url": SecretStr(self.ledger_dsn)}
        usual = {
            "listen": f"{LOOPBACK}:0",
            "insecure_development": True,
            "shutdown_grace_s": 5.0,
            "stop_notice_s": 0.0,
        }
        return Settings(**{**urls, **usual, **changes})

    @asynccontextmanager
    async def serving(
        self, *, extra_handlers: Sequence[grpc.GenericRpcHandler] = (), **changes: Any
    ) -> AsyncIterator[RunningServer]:
        async with running_server(self.settings(**changes), extra_handlers=extra_handlers) as server:
            yield server


@asynccontextmanager
async def grounds(
    ledgers: Ledgers, valkey: EmbeddedValkey, *, database: int = DATABASE
) -> AsyncIterator[Grounds]:
    """Two at a time need two databases of the store."""
    url = f"redis://{LOOPBACK}:{valkey.port}/{database}"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Redis.from_url(url))
        await store.flushdb()
        yield Grounds(url, await stack.enter_async_context(ledgers.fresh()))
