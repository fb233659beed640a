"""The service logs in as somebody who is nothing but what `stakehold migrate` makes him (docs/kubernetes.md).

Whatever a process does all the time it must be able to do as that login. Erasing a player is not of these.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from service.commands.starting import CANNOT_START
from service.embedded import EmbeddedPostgres, EmbeddedValkey, embedded_postgres
from service.embedded.children import Child, spawn
from tests.acceptance.seat import seated
from tests.brokers import Broker, broker
from tests.deployment import ROOT, Deployment, cli, deployed, service_environment
from tests.integration.publishing.publishers import publishing
from tests.ledgers import Ledgers
from tests.steps import deposit
from tests.submissions import command, submission_api
from tests.waiting import until
from tests.wallet_api import wallet_api
from tests.working import Worker, working

SERVICE, ERASER = "the-service", "the-eraser"
DENIED = "permission denied"
JOBS = ("inbox", "sweeping", "expiring", "cashier", "callbacks", "pruning")
QUICKLY = {"STAKEHOLD_FORGET_EVERY_S": "0.5", "STAKEHOLD_SUBMISSION_RETENTION_DAYS": "30"}

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, slots=True)
class Installation:
    """A server of its own, whose roles nobody has had before: a ledger, its owner, and who may log in."""

    postgres: EmbeddedPostgres
    owner_dsn: str

    def dsn_of(self, login: str) -> str:
        return self.owner_dsn.replace("//stakehold:", f"//{login}:")

    async def make_login(self, name: str) -> None:
        await self.run(f"CREATE ROLE \"{name}\" LOGIN PASSWORD '{self.postgres.password}'")

    async def run(self, statement: str) -> None:
        owner = await asyncpg.connect(self.owner_dsn)
        try:
            await owner.execute(statement)
        finally:
            await owner.close()


@pytest_asyncio.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """Migrated by its owner, with the service's login beside."""
    async with embedded_postgres(tmp_path / "postgres", fsync=False) as server:
        made = Installation(server, await Ledgers(server).create("ledger"))
        await made.make_login(SERVICE)
        settings = {"STAKEHOLD_MIGRATION_POSTGRES_URL": made.owner_dsn}
        environment = service_environment("redis://127.0.0.1:1/0", made.dsn_of(SERVICE), settings=settings)
        log = tmp_path / "migrate.log"
        assert await spawn("migrate", cli("migrate"), log=log, env=environment, cwd=ROOT).exited() == 0
        yield made


OLD = """
    INSERT INTO inbox.submissions (
        submission_number, source_id, submission_id, digest, command_count, finished_time
    ) VALUES (nextval('inbox.submission_numbers'), 's', 'old', sha256('x'), 1, now() - interval '100 days');
    INSERT INTO inbox.commands (
        submission_number, command_index, partition, player_id, transaction_id, command, state, result,
        attempts, last_attempt_time
    ) SELECT submission_number, 0, 0, 'p', 't', 'old', 'applied', 'result', 1, now() FROM inbox.submissions;
    INSERT INTO ledger.salvaged (partition, epoch, sequence, incarnation, fields, reason, restored_time)
    VALUES (0, 1, 1, 'x', '{raw}', 'r', now() - interval '100 days');
    INSERT INTO ledger.quarantine (partition, epoch, sequence, reason, problem, fields, resolved_time)
    VALUES (0, 1, 1, 'r', 'p', '{raw}', now() - interval '100 days')
"""
"""What pruning finds."""


def publisher_of(deployment: Deployment, sink: Broker) -> dict[str, str]:
    return {
        **deployment.environment,
        "STAKEHOLD_PUBLISH_KIND": sink.kind,
        "STAKEHOLD_PUBLISH_SERVERS": sink.servers,
    }


async def has_told(sink: Broker, publisher: Child) -> bool:
    assert publisher.running, publisher.log_tail()
    return bool(await sink.messages())


async def has_pruned(worker: Worker) -> bool:
    assert worker.child.running, worker.child.log_tail()
    return (
        worker.metric("stakehold_pruned_commands_total"),
        worker.metric("stakehold_pruned_records_total"),
    ) == (
        1.0,
        2.0,
    )


async def test_all_that_runs_all_the_time_may_do_its_work(
    installation: Installation, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    await installation.run(OLD)
    async with (
        deployed(tmp_path, private_valkey, installation.dsn_of(SERVICE), settings=QUICKLY) as deployment,
        wallet_api(deployment.address) as api,
        submission_api(deployment.address) as inbox,
        broker("nats", tmp_path / "broker") as nats,
        publishing(tmp_path, publisher_of(deployment, nats)) as publisher,
        working(deployment) as worker,
    ):
        seat = await seated(api)
        submitted = [command(seat.source_id, seat.player_id, deposit("d1", "25"))]
        await inbox.submit(seat.source_id, "night", submitted)
        ended = await inbox.until_decided(seat.source_id, "night")
        await until(lambda: has_pruned(worker), what="what was old is pruned")
        await until(lambda: has_told(nats, publisher), what="something is published")
        await deployment.require_agreement()

        assert ended.applied_count == 1
        assert worker.of_jobs("stakehold_job_failures_total") == dict.fromkeys(JOBS, 0.0), (
            worker.child.log_tail()
        )
        assert worker.of_jobs("stakehold_job_running") == dict.fromkeys(JOBS, 1.0)
        for words in (("verify",), ("doctor",), ("recover", "--dry-run")):
            status, said = await deployment.run(*words)
            assert status == 0, said

    logs = {file.name: file.read_text() for file in tmp_path.rglob("*.log")}
    assert {"serve.log", "drain.log", "publish.log", "postgres.log"} < logs.keys()
    denied = [line for text in logs.values() for line in text.splitlines() if DENIED in line]
    assert denied == []


async def test_erasing_takes_a_login_that_may(
    installation: Installation, private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    await installation.make_login(ERASER)
    await installation.run(f'GRANT stakehold_eraser TO "{ERASER}"')
    may_erase = {"STAKEHOLD_ERASE_POSTGRES_URL": installation.dsn_of(ERASER)}
    as_service = installation.dsn_of(SERVICE)
    async with (
        deployed(tmp_path, private_valkey, as_service) as deployment,
        wallet_api(deployment.address) as api,
    ):
        seat = await seated(api)
        await deployment.require_agreement()
        words = ("erase", seat.player_id, "--by", "dpo", "--reason", "request 12")

        refused, why = await deployment.run(*words)
        done, said = await deployment.run(*words, settings=may_erase)

    assert refused == CANNOT_START
    assert "STAKEHOLD_ERASE_POSTGRES_URL" in why
    assert "GRANT stakehold_eraser TO" in why
    assert "stakehold migrate" not in why
    assert done == 0, said
    assert f"Player {seat.player_id}: " in said
