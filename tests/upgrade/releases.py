"""Releases of the service beside each other: the one that was published last, and the checkout."""

import os
import sys
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded.children import Child, spawn
from tests.deployment import ROOT, service_environment

WHEELS = Path(__file__).with_name("releases")
LAST_WHEEL = WHEELS / "stakehold-0.1.0-py3-none-any.whl"
STOP_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Release:
    """Its code, in folders that Python imports from. Packages of others are those of the checkout."""

    name: str
    folders: tuple[Path, ...]

    def start(self, command: str, folder: Path, settings: Mapping[str, str]) -> Child:
        environment = {**settings, "PYTHONPATH": os.pathsep.join(map(str, self.folders))}
        log = folder / f"{self.name}-{command}.log"
        words = [sys.executable, "-m", "service.cli", command]
        return spawn(f"{command} of {self.name}", words, log=log, env=environment, cwd=self.folders[0])

    async def run(self, command: str, folder: Path, settings: Mapping[str, str]) -> None:
        """To its end, which has to be a good one."""
        child = self.start(command, folder, settings)
        assert await child.exited() == 0, child.log_tail()

    @asynccontextmanager
    async def running(self, command: str, folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Child]:
        child = self.start(command, folder, settings)
        try:
            yield child
        finally:
            await child.stop(grace_s=STOP_GRACE_S)


def checkout() -> Release:
    return Release("new", (ROOT, ROOT / "protos"))


def last_release(folder: Path) -> Release:
    """Unpacked from its wheel: what a machine has that installed it."""
    with zipfile.ZipFile(LAST_WHEEL) as wheel:
        wheel.extractall(folder)
    return Release("old", (folder,))


def settings_of(valkey_url: str, dsn: str, address: str, **more: str) -> dict[str, str]:
    return service_environment(
        valkey_url, dsn, address=address, settings={"STAKEHOLD_SHUTDOWN_GRACE_S": "10", **more}
    )


async def serves(address: str, service: str = "") -> bool:
    """Whether it says so of itself, at the API's address or at that for probes."""
    async with grpc.aio.insecure_channel(address) as channel:
        asked = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(asked, timeout=2.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
