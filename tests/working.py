"""`stakehold work` as a process, and what it tells about itself."""

import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from service.embedded.children import Child, spawn
from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import ROOT, STOP_GRACE_S, Deployment
from tests.waiting import until

_names = count(1)

UNYIELDING = {"STAKEHOLD_WORK_NICE": "0"}
"""Other tests may keep the machine busy for as long as they like."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A running (or ended) worker; tests may signal its process as they like."""

    child: Child
    metrics_address: str

    def metric(self, name: str, **labels: str) -> float | None:
        """A sample's value now; None while it is not there, or nobody answers."""
        for sample in self._samples():
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
        return None

    def of_jobs(self, name: str) -> dict[str, float]:
        """A metric's value now for each job; of none while nobody answers."""
        return {
            sample.labels["job"]: float(sample.value) for sample in self._samples() if sample.name == name
        }

    def _samples(self) -> Iterator[Sample]:
        try:
            with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=5.0) as answer:
                text = answer.read().decode()
        except OSError:
            return
        for family in text_string_to_metric_families(text):
            yield from family.samples

    def attempts(self, outcome: str) -> float:
        return self.metric("stakehold_inbox_attempts_total", outcome=outcome) or 0.0

    async def until_holding(self, partitions: int, *, deadline_s: float = 30.0) -> None:
        """Waits until it has leases on so many partitions."""

        async def holds() -> bool:
            assert self.child.running, self.child.log_tail()
            return self.metric("stakehold_inbox_partitions") == partitions

        await until(holds, what=f"the worker holds {partitions} partitions", deadline_s=deadline_s)

    async def kill(self) -> None:
        self.child.process.kill()
        await self.child.exited()


@asynccontextmanager
async def working(
    deployment: Deployment, *options: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Worker]:
    """Runs a worker until the context is left."""
    address = f"{LOOPBACK}:{free_port()}"
    name = f"work-{next(_names)}"
    child = spawn(
        name,
        [sys.executable, "-m", "service.cli", "work", *options],
        log=_log_of(deployment.folder, name),
        env={**deployment.environment, **UNYIELDING, "STAKEHOLD_METRICS_LISTEN": address, **(settings or {})},
        cwd=ROOT,
    )
    try:
        yield Worker(child, address)
    finally:
        await child.stop(ask_with=signal.SIGTERM, grace_s=STOP_GRACE_S)


def _log_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"
