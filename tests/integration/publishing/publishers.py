"""Publishers: processes, and one in the test's own process that ends wherever the test wants."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from service.embedded.children import Child, spawn
from service.publishing.metrics import PublishMetrics
from service.publishing.opening import open_ledger_side, open_sink
from service.publishing.publish_settings import PublishSettings
from service.publishing.publisher import BetweenSteps, Publisher, go_on
from tests.brokers import Broker
from tests.deployment import ROOT, service_environment
from tests.draining import Draining
from tests.outbox_feed import FedWallet
from tests.waiting import until

DEADLINE_S = 60.0
QUICK = {"TIMEOUT_S": "0.5", "LEASE_S": "2", "PAGE_EVENTS": "40"}


def environment(books: Draining, sink: Broker, **settings: str) -> dict[str, str]:
    ours = {"KIND": sink.kind, "SERVERS": sink.servers, **QUICK, **settings}
    return {
        **{
            name: value
            for name, value in service_environment("", books.ledger_dsn).items()
            if name not in {"STAKEHOLD_VALKEY_URL", "STAKEHOLD_LISTEN"}
        },
        **{f"STAKEHOLD_PUBLISH_{name}": value for name, value in ours.items()},
    }


def spawned(folder: Path, variables: Mapping[str, str], *, name: str = "publish") -> Child:
    command = [sys.executable, "-m", "service.cli", "publish"]
    return spawn(name, command, log=folder / f"{name}.log", env=variables, cwd=ROOT)


@asynccontextmanager
async def publishing(folder: Path, variables: Mapping[str, str], **how: Any) -> AsyncIterator[Child]:
    """Runs `stakehold publish` until the context is left; it must then end well."""
    child = spawned(folder, variables, **how)
    try:
        yield child
    finally:
        await child.stop(grace_s=20.0)
    assert child.process.returncode == 0, child.log_tail()


async def progress(books: Draining, sink: str) -> int:
    noted = await books.sql.fetchval(
        "SELECT coalesce(sum(position), 0)::bigint FROM ledger.publications WHERE sink = $1", sink
    )
    assert isinstance(noted, int)
    return noted


async def until_published(books: Draining, sink: str, *, child: Child | None = None) -> None:
    """Waits until all that the ledger has is noted as confirmed."""

    async def is_published() -> bool:
        assert child is None or child.running, child.log_tail()
        return await progress(books, sink) == await books.entry_count()

    await until(is_published, what="everything is published", deadline_s=DEADLINE_S)


async def more_play(books: Draining, number: int, *, players: int = 12) -> None:
    """New players who open, deposit and bet."""
    wallets = [FedWallet(f"more-{number}-{player}") for player in range(players)]
    for wallet in wallets:
        books.feed.add_later(wallet.player, wallet.opened())
        books.feed.add_later(wallet.player, wallet.applied("deposit", "deposit", cash=1000))
        for bet in range(3):
            books.feed.add_later(wallet.player, wallet.applied(f"bet-{bet}", "bet", cash=-10))
    await books.feed.flush()


class Killed(Exception):
    """Where a test ends a publisher, as if it had been killed there."""


@asynccontextmanager
async def made_publisher(
    books: Draining, sink: Broker, *, between_steps: BetweenSteps = go_on, **changes: Any
) -> AsyncIterator[tuple[Publisher, CollectorRegistry]]:
    """A publisher in this process, with leases that are over at once when it is gone."""
    settings = PublishSettings(
        **{
            "kind": sink.kind,
            "servers": SecretStr(sink.servers),
            "postgres_url": SecretStr(books.ledger_dsn),
            "timeout_s": 0.2,
            "lease_s": 1.0,
            "page_events": 20,
            **changes,
        }
    )
    registry = CollectorRegistry()
    metrics = PublishMetrics(registry, sink=settings.sink_name())
    async with AsyncExitStack() as stack:
        ledger = await open_ledger_side(settings, stack)
        opened = partial(open_sink, settings)
        yield Publisher(settings, ledger, opened, metrics=metrics, between_steps=between_steps), registry
