"""Real servers for all tests: one Valkey and one Postgres for each worker, started when first asked for.

A test that only calls the service uses ``deployment``, shared by all, with players and sources of its own.
A test that breaks things, or that needs a ledger to itself, uses ``private_deployment``, ``ledger_dsn`` or
``ledgers``.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.embedded import (
    EmbeddedCluster,
    EmbeddedPostgres,
    EmbeddedValkey,
    embedded_cluster,
    embedded_postgres,
    embedded_valkey,
)
from service.embedded.binaries import postgres_server, valkey_server
from tests.deployment import Deployment, deployed, migrate
from tests.ledgers import TEMPLATE, Ledgers


def pytest_report_header() -> list[str]:
    return [f"servers: {valkey_server()}, {postgres_server()}"]


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this worker's servers keep their data and their logs."""
    return tmp_path_factory.mktemp("run")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey(run_folder: Path) -> AsyncIterator[EmbeddedValkey]:
    """Append-only, fsync before every answer."""
    async with embedded_valkey(run_folder / "valkey") as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(run_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """Without fsync: nothing here outlives the run."""
    async with embedded_postgres(run_folder / "postgres", fsync=False) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ledgers(postgres: EmbeddedPostgres, run_folder: Path) -> Ledgers:
    """Makes migrated ledgers; migrating happens once."""
    made = Ledgers(postgres)
    await migrate(run_folder, await made.create(TEMPLATE))
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def ledger_dsn(ledgers: Ledgers) -> AsyncIterator[str]:
    """A migrated, empty ledger for one test."""
    async with ledgers.fresh() as dsn:
        yield dsn


@pytest_asyncio.fixture(loop_scope="session")
async def private_valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """A Valkey for one test, to freeze, kill or empty."""
    async with embedded_valkey(tmp_path / "valkey") as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster(run_folder: Path) -> AsyncIterator[EmbeddedCluster]:
    """Three primaries with a replica each. Tests that break it put it together again with ``heal``."""
    async with embedded_cluster(run_folder / "cluster") as made:
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def deployment(valkey: EmbeddedValkey, ledgers: Ledgers, run_folder: Path) -> AsyncIterator[Deployment]:
    """The running service that tests share. When all are done, the books must balance and agree."""
    async with (
        ledgers.fresh() as dsn,
        deployed(run_folder / "deployment", valkey, dsn) as running,
    ):
        yield running
        await running.require_agreement()
        status, said = await running.run("verify")
        assert status == 0, said


@pytest.fixture
def deployment_settings() -> dict[str, str]:
    """Parametrize this to give a private deployment settings of its own."""
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def private_deployment(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path, deployment_settings: dict[str, str]
) -> AsyncIterator[Deployment]:
    """A running service for one test that breaks it."""
    folder = tmp_path / "deployment"
    async with deployed(folder, private_valkey, ledger_dsn, settings=deployment_settings) as running:
        yield running
