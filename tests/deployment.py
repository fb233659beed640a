"""The service as an operator runs it: real servers, real processes, settings from the environment."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedValkey
from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from tests.waiting import until

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 20.0
WALLET_SERVICE = "stakehold.v1.WalletService"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One server and one drainer on one Valkey and one ledger."""

    address: str
    valkey: EmbeddedValkey
    ledger_dsn: str
    environment: Mapping[str, str]
    folder: Path
    server: Child
    drainer: Child

    async def audit(self) -> tuple[list[ledger_service_pb2.Finding], ledger_service_pb2.AuditSummary]:
        """What LedgerService.Audit finds in everything, and its summary."""
        findings, summary = [], ledger_service_pb2.AuditSummary()
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
            async for response in stub.Audit(ledger_service_pb2.AuditRequest(), timeout=60.0):
                if response.HasField("finding"):
                    findings.append(response.finding)
                else:
                    summary = response.summary
        return findings, summary

    async def drained(self) -> bool:
        """Whether no wallet is ahead of the ledger."""
        _, summary = await self.audit()
        return summary.undrained_wallet_count == 0

    async def require_agreement(self) -> None:
        """Audits until everything is in the ledger; fails as soon as an audit finds something."""

        async def drained_and_clean() -> bool:
            findings, summary = await self.audit()
            assert not findings, "\n".join(str(finding) for finding in findings)
            assert summary.finding_count == 0
            return summary.undrained_wallet_count == 0

        await until(drained_and_clean, what="the outbox is drained", deadline_s=60.0, poll_s=0.1)

    async def run(self, *words: str, settings: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Runs a command of the command line to its end; its exit status and what it said."""
        log = self.folder / f"{words[0]}.log"
        log.unlink(missing_ok=True)
        environment = {**self.environment, **(settings or {})}
        command = spawn(words[0], cli(*words), log=log, env=environment, cwd=ROOT)
        status = await command.exited()
        return status, log.read_text()


@asynccontextmanager
async def deployed(
    folder: Path,
    valkey: EmbeddedValkey,
    ledger_dsn: str,
    *,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Deployment]:
    """Runs a server and a drainer until the context is left. The ledger is migrated already."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"{LOOPBACK}:{free_port()}"
    environment = service_environment(valkey.url, ledger_dsn, address=address, settings=settings)
    server = spawn("serve", cli("serve"), log=folder / "serve.log", env=environment, cwd=ROOT)
    drainer = spawn("drain", cli("drain"), log=folder / "drain.log", env=environment, cwd=ROOT)
    try:
        await until_ready(server, lambda: _serves(address), timeout_s=START_TIMEOUT_S)
        yield Deployment(address, valkey, ledger_dsn, environment, folder, server, drainer)
    finally:
        await server.stop(ask_with=signal.SIGTERM, grace_s=STOP_GRACE_S)
        await drainer.stop(ask_with=signal.SIGTERM, grace_s=STOP_GRACE_S)


async def migrate(folder: Path, ledger_dsn: str) -> None:
    """Brings an empty database to the ledger's newest schema."""
    environment = service_environment("redis://127.0.0.1:1/0", ledger_dsn)
    log = folder / "migrate.log"
    status = await spawn("migrate", cli("migrate"), log=log, env=environment, cwd=ROOT).exited()
    assert status == 0, log.read_text()


def service_environment(
    valkey_url: str,
    ledger_dsn: str,
    *,
    address: str = f"{LOOPBACK}:0",
    settings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What the service reads its settings from; nothing of the developer's own shell gets in."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "protos"))),
        "STAKEHOLD_VALKEY_URL": valkey_url,
        "STAKEHOLD_POSTGRES_URL": ledger_dsn,
        "STAKEHOLD_LISTEN": address,
        "STAKEHOLD_INSECURE_DEVELOPMENT": "true",
        **(settings or {}),
    }


def cli(*words: str) -> list[str]:
    """A command of the command line, to be spawned."""
    return [sys.executable, "-m", "service.cli", *words]


async def _serves(address: str) -> bool:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=WALLET_SERVICE)
        try:
            answer = await stub.Check(request, timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
