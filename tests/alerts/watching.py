"""A server that is scraped before and after something goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from persistence.postgres.condition import read_condition
from persistence.postgres.database import LedgerRole, ledger_connection
from service.embedded.ports import LOOPBACK, free_port
from service.telemetry.ledger_watch import LedgerMetrics
from tests.alerts.timelines import FAULT_MIN, QUIET_MIN, Timeline, require_fires, scraped, told
from tests.serving import Grounds
from tests.waiting import until
from tests.wallet_api import WalletApi, wallet_api


@dataclass(frozen=True, slots=True)
class Watched:
    """``folder`` is where promtool reads what was scraped."""

    metrics_address: str
    address: str
    api: WalletApi
    folder: Path
    timeline: Timeline = field(default_factory=Timeline)

    async def text(self) -> str:
        return await asyncio.to_thread(scraped, self.metrics_address)

    async def value(self, name: str, **labels: str) -> float:
        """Of a sample, which must be there."""
        return value_in(await self.text(), name, **labels)

    async def until_above(self, least: float, name: str, **labels: str) -> None:
        async def is_above() -> bool:
            return await self.value(name, **labels) > least

        await until(is_above, what=f"{name} is above {least}", deadline_s=30.0)

    async def is_well(self) -> None:
        """What it tells now holds for the first minutes."""
        self.timeline.go_on(QUIET_MIN, serve=await self.text())

    async def require_fires(self, *alerts: str, minutes: int = FAULT_MIN) -> None:
        """What it tells now holds from then on."""
        self.timeline.go_on(minutes, serve=await self.text())
        await asyncio.to_thread(require_fires, self.timeline, self.folder, *alerts)


@asynccontextmanager
async def watched(ground: Grounds, folder: Path, **settings: Any) -> AsyncIterator[Watched]:
    listen = f"{LOOPBACK}:{free_port()}"
    async with (
        ground.serving(metrics_listen=listen, **settings) as server,
        wallet_api(server.address) as api,
    ):
        yield Watched(listen, server.address, api, folder)


def value_in(text: str, name: str, **labels: str) -> float:
    """Of a sample in a scrape, which must be there."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise AssertionError(f"no sample {name} {labels}")


async def ledger_told(ledger_dsn: str) -> str:
    """What a drainer tells of the ledger now."""
    registry = CollectorRegistry()
    metrics = LedgerMetrics(registry)
    async with ledger_connection(ledger_dsn, role=LedgerRole.READER, statement_timeout_s=10.0) as connection:
        metrics.see(await read_condition(connection))
    return told(registry)
