"""`stakehold edge` as a process, and what a provider sends it over a socket of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx

from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port
from tests.deployment import ROOT, START_TIMEOUT_S, service_environment

_names = count(1)
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class EdgeProcess:
    """A running edge; tests may signal it as they like."""

    child: Child
    service_address: str
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def say(self, raw: bytes, *, pause_after: int | None = None) -> bytes:
        """What is answered to raw bytes until the edge closes; the rest after ``pause_after`` never comes."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(raw if pause_after is None else raw[:pause_after])
            await writer.drain()
            async with asyncio.timeout(TIMEOUT_S):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    async def metrics(self) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://{LOOPBACK}:{self.metrics_port}/metrics")).text


@asynccontextmanager
async def edge_process(
    folder: Path, service_address: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[EdgeProcess]:
    """Runs until the context is left."""
    port, metrics_port = free_port(), free_port()
    environment = {
        name: value
        for name, value in service_environment("redis://unused", "postgresql://unused").items()
        if name in {"PATH", "PYTHONPATH"}
    }
    environment |= {
        "STAKEHOLD_ADDRESS": service_address,
        "STAKEHOLD_EDGE_LISTEN": f"{LOOPBACK}:{port}",
        "STAKEHOLD_METRICS_LISTEN": f"{LOOPBACK}:{metrics_port}",
        **(settings or {}),
    }
    log = folder / f"edge-{next(_names)}.log"
    child = spawn("edge", [sys.executable, "-m", "service.cli", "edge"], log=log, env=environment, cwd=ROOT)
    edge = EdgeProcess(child, service_address, port, metrics_port)

    async def is_well() -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{edge.url}/health", timeout=1.0)).status_code == 200
            except httpx.HTTPError:
                return False

    try:
        await until_ready(child, is_well, timeout_s=START_TIMEOUT_S)
        yield edge
    finally:
        await child.stop(ask_with=signal.SIGTERM, grace_s=15.0)
