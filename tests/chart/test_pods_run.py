"""What the chart tells each process is enough for it to run: the rendered pods, as processes on this machine.

Secrets are real ones, the ledger has an owner and a role for the service, callers come over mutual TLS. The
server has the name that the chart's clients call and no other. Only ports and folders are this machine's
instead of a pod's.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedPostgres, EmbeddedValkey
from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port
from tests.authorities import Authority
from tests.chart.cluster_names import cluster_names
from tests.chart.rendering import NAMESPACE, RELEASE, Case, Pods, all_pods
from tests.deployment import ROOT
from tests.ledgers import Ledgers
from tests.upgrade.releases import serves

LOGIN = "the-pods"
SERVED_NAME = f"{RELEASE}-stakehold-headless.{NAMESPACE}.svc"
CASE = Case("single-machine", ("edge.enabled=true",))
PROBE_ID = "spiffe://casino.example/probe"
CALLERS = f"""
callers:
  - {{name: probe, roles: [rates, edge], spiffe_ids: ["{PROBE_ID}"]}}
"""
START_TIMEOUT_S = 60.0

pytestmark = pytest.mark.timeout(300)


@dataclass(slots=True)
class Machine:
    """Runs pods. ``secrets`` are by name and key, as in a namespace."""

    folder: Path
    secrets: Mapping[str, Mapping[str, str | bytes]]
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def service(self, name: str) -> str | None:
        """Where on this machine the headless service is, and nothing else."""
        return self.address("server", 50051) if name == f"{SERVED_NAME}:50051" else None

    def address(self, component: str, port: int) -> str:
        """Where on this machine a pod's port is."""
        return f"{LOOPBACK}:{self.ports.setdefault((component, port), free_port())}"

    def start(self, pods: Pods) -> Child:
        [container] = pods.containers
        root = self._mounted(pods)
        environment = {
            **self.names,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "protos"))),
        }
        for variable in container["env"]:
            if "valueFrom" in variable:
                source = variable["valueFrom"]["secretKeyRef"]
                environment[variable["name"]] = str(self.secrets[source["name"]][source["key"]])
            else:
                environment[variable["name"]] = self._here(variable["value"], pods.component, root)
        arguments = [self._argument(word, pods.component, root) for word in container["args"]]
        words = [sys.executable, "-m", "service.cli", *arguments]
        return spawn(
            pods.component, words, log=self.folder / f"{pods.component}.log", env=environment, cwd=ROOT
        )

    def _argument(self, word: str, component: str, root: Path) -> str:
        if word.isdecimal():
            return self.address(component, int(word)).rpartition(":")[2]
        return str(root / word.lstrip("/")) if word.startswith("/") else word

    def _here(self, value: str, component: str, root: Path) -> str:
        if bound := re.fullmatch(r"0\.0\.0\.0:(\d+)", value):
            return self.address(component, int(bound[1]))
        return value.replace("/etc/stakehold", str(root / "etc" / "stakehold"))

    def _mounted(self, pods: Pods) -> Path:
        """A folder in which the pod's secrets lie where it expects them."""
        root = self.folder / pods.component
        volumes = {volume["name"]: volume for volume in pods.spec["volumes"]}
        for mount in pods.containers[0]["volumeMounts"]:
            place = root / mount["mountPath"].lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            if "secret" in volumes.get(mount["name"], ()):
                for key, text in self.secrets[volumes[mount["name"]]["secret"]["secretName"]].items():
                    (place / key).write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    async def answers(self, pods: Pods, probe: str) -> bool:
        """Whether a probe of the pod succeeds."""
        asked = pods.containers[0][probe]["grpc"]
        return await serves(self.address(pods.component, asked["port"]), asked["service"])


@asynccontextmanager
async def machine(
    folder: Path, valkey: EmbeddedValkey, postgres: EmbeddedPostgres, owner_dsn: str
) -> AsyncIterator[Machine]:
    authority = Authority("casino")
    served, probe = (
        authority.issue("CN=stakehold", dns_names=[SERVED_NAME]),
        authority.issue("CN=probe", uris=[PROBE_ID]),
    )
    superuser = await asyncpg.connect(postgres.dsn_for("postgres", superuser=True))
    try:
        await superuser.execute(f"CREATE ROLE \"{LOGIN}\" LOGIN PASSWORD '{postgres.password}'")
        yield Machine(
            folder,
            {
                "stakehold-valkey": {"url": valkey.url},
                "stakehold-postgres": {"url": owner_dsn.replace("//stakehold:", f"//{LOGIN}:")},
                "stakehold-postgres-owner": {"url": owner_dsn},
                "stakehold-tls": {
                    "tls.crt": served.certificate,
                    "tls.key": served.key,
                    "ca.crt": authority.certificate,
                },
                "stakehold-callers": {"callers.yaml": CALLERS},
                "stakehold-client": {
                    "tls.crt": probe.certificate,
                    "tls.key": probe.key,
                    "ca.crt": authority.certificate,
                },
            },
        )
    finally:
        await superuser.execute(f'DROP ROLE IF EXISTS "{LOGIN}"')
        await superuser.close()


async def test_the_rendered_pods_run_and_the_test_of_the_release_passes(
    private_valkey: EmbeddedValkey, postgres: EmbeddedPostgres, ledgers: Ledgers, tmp_path: Path
) -> None:
    pods = {found.component: found for found in all_pods(CASE)}
    async with (
        ledgers.fresh(template="template1") as dsn,
        machine(tmp_path, private_valkey, postgres, dsn) as here,
        cluster_names(here.service) as here.names,
        AsyncExitStack() as stack,
    ):
        # As Helm does it: the hook first, then the rest at once, then the test.
        migration = here.start(pods["migration"])
        assert await migration.exited() == 0, migration.log_tail()

        running = {}
        for component in ("server", "drainer", "worker", "edge"):
            child = running[component] = here.start(pods[component])
            stack.push_async_callback(child.stop)
        for component, child in running.items():
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                answers = partial(here.answers, pods[component], probe)
                await until_ready(child, answers, timeout_s=START_TIMEOUT_S)

        verifier = here.start(pods["verifier"])
        assert await verifier.exited() == 0, verifier.log_tail()

        test = here.start(pods["test"])
        assert await test.exited() == 0, test.log_tail()

        async with grpc.aio.insecure_channel(here.address("server", 50051)) as plain:
            health = health_pb2_grpc.HealthStub(plain)
            with pytest.raises(grpc.aio.AioRpcError):
                await health.Check(health_pb2.HealthCheckRequest(), timeout=5.0)

        for child in running.values():
            child.process.send_signal(signal.SIGTERM)
        for component, child in running.items():
            async with asyncio.timeout(pods[component].spec["terminationGracePeriodSeconds"]):
                assert await child.exited() == 0, f"{component}: {child.log_tail()}"


async def test_the_trial_runs_by_itself_and_is_reached_by_loopback(tmp_path: Path) -> None:
    [pods] = all_pods(Case("trial"))
    here = Machine(tmp_path, {})
    child = here.start(pods)
    try:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            await until_ready(child, partial(here.answers, pods, probe), timeout_s=2 * START_TIMEOUT_S)

        assert await serves(here.address("trial", 50051))
        child.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(pods.spec["terminationGracePeriodSeconds"]):
            assert await child.exited() == 0, child.log_tail()
    finally:
        await child.stop()
