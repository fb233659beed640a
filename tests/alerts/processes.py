"""All processes of Stakehold, each with its metrics, to start, scrape and kill."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.embedded.children import Child, spawn
from service.embedded.ports import LOOPBACK, free_port
from tests.alerts.timelines import scraped
from tests.alerts.watching import value_in
from tests.deployment import ROOT, STOP_GRACE_S, service_environment
from tests.waiting import until

NOWHERE = f"{LOOPBACK}:1"
"""Where nobody listens."""

_OWN_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "work": {"STAKEHOLD_WORK_NICE": "0"},
    "publish": {"STAKEHOLD_PUBLISH_KIND": "nats", "STAKEHOLD_PUBLISH_SERVERS": f"nats://{NOWHERE}"},
    "feed": {
        "STAKEHOLD_FEED_KIND": "ecb",
        "STAKEHOLD_FEED_URL": f"http://{NOWHERE}/rates",
        "STAKEHOLD_FEED_EVERY_S": "0.1",
        "STAKEHOLD_FEED_TIMEOUT_S": "0.5",
        "STAKEHOLD_FEED_TARGET": NOWHERE,
    },
    "edge": {"STAKEHOLD_EDGE_LISTEN": f"{LOOPBACK}:0", "STAKEHOLD_ADDRESS": NOWHERE},
}


@dataclass(slots=True)
class Processes:
    """``address`` is the server's."""

    folder: Path
    valkey_url: str
    ledger_dsn: str
    address: str = field(default_factory=lambda: f"{LOOPBACK}:{free_port()}")
    children: dict[str, Child] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, **settings: str) -> None:
        self.metrics[name] = f"{LOOPBACK}:{free_port()}"
        environment = service_environment(
            self.valkey_url,
            self.ledger_dsn,
            address=self.address,
            settings={
                "STAKEHOLD_METRICS_LISTEN": self.metrics[name],
                **_OWN_SETTINGS.get(name, {}),
                **settings,
            },
        )
        command = [sys.executable, "-m", "service.cli", name]
        log = self.folder / f"{name}.log"
        self.children[name] = spawn(name, command, log=log, env=environment, cwd=ROOT)

    async def text(self, name: str) -> str | None:
        """None where it does not answer."""
        try:
            return await asyncio.to_thread(scraped, self.metrics[name])
        except OSError:
            return None

    async def texts(self) -> dict[str, str | None]:
        return {name: await self.text(name) for name in self.children}

    async def until_told(self, name: str, metric: str, least: float = 0.0, **labels: str) -> None:
        """Waits until a process says more than that."""

        async def is_told() -> bool:
            text = await self.text(name)
            assert self.children[name].running, self.children[name].log_tail()
            return text is not None and _value(text, metric, labels) > least

        await until(is_told, what=f"{name} tells that {metric} is above {least}", deadline_s=40.0)

    async def kill(self, name: str) -> None:
        self.children[name].process.kill()
        await self.children[name].exited()


@asynccontextmanager
async def processes(folder: Path, valkey_url: str, ledger_dsn: str, *names: str) -> AsyncIterator[Processes]:
    """Those that are named run, and answer whoever scrapes them."""
    made = Processes(folder, valkey_url, ledger_dsn)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_stop_all, made)
        for name in names:
            made.start(name)
        for name in names:
            await made.until_told(name, "process_start_time_seconds")
        yield made


async def _stop_all(made: Processes) -> None:
    stopping = [child.stop(ask_with=signal.SIGTERM, grace_s=STOP_GRACE_S) for child in made.children.values()]
    await asyncio.gather(*stopping)


def _value(text: str, metric: str, labels: Mapping[str, str]) -> float:
    try:
        return value_in(text, metric, **labels)
    except AssertionError:
        return float("-inf")
