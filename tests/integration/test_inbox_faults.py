"""Whatever is killed or frozen while the inbox is worked off: all is decided, once, and in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.deployment import Deployment
from tests.faults.cast import Cast, cast
from tests.faults.programs import Program, supervised
from tests.faults.stores import SingleStore
from tests.inbox_books import booked_orders, players_of, spread, wanted_orders
from tests.submissions import submission_api
from tests.waiting import until
from tests.wallet_api import wallet_api
from tests.working import UNYIELDING, working

SOURCE = "sports"
COUNT = 6000
STEP = 500

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]


@asynccontextmanager
async def workers(stage: Cast, count: int, *, rate: int) -> AsyncIterator[Sequence[Program]]:
    """Workers that are started again when they end."""
    programs = [
        Program(
            f"work-{number}",
            ["work", "--rate", str(rate)],
            {**stage.environment, **UNYIELDING},
            stage.folder / f"work-{number}.log",
        )
        for number in range(count)
    ]
    async with AsyncExitStack() as stack:
        for program in programs:
            program.start()
            stack.push_async_callback(program.stop)
        await stack.enter_async_context(supervised(programs))
        yield programs


def kill(program: Program) -> None:
    """As a crash does: it is started again."""
    assert program.child is not None
    program.child.process.kill()


async def decided(ledger_dsn: str) -> int:
    """How many commands are decided and recorded."""
    connection = await asyncpg.connect(ledger_dsn)
    try:
        count = await connection.fetchval("SELECT count(*) FROM inbox.commands WHERE state <> 'waiting'")
    finally:
        await connection.close()
    assert isinstance(count, int)
    return count


async def until_decided(ledger_dsn: str, count: int) -> None:
    async def so_many() -> bool:
        return await decided(ledger_dsn) >= count

    await until(so_many, what=f"{count} commands are decided", deadline_s=60.0, poll_s=0.05)


async def test_everything_is_killed_in_turn_and_each_command_is_applied_once_and_in_order(
    tmp_path: Path,
) -> None:
    async with cast(tmp_path) as stage, workers(stage, 2, rate=300) as (first, second):
        dsn, store = stage.ledger.dsn, stage.store
        assert isinstance(store, SingleStore)
        async with wallet_api(stage.addresses()[0]) as api, submission_api(stage.addresses()[0]) as inbox:
            await api.put_source(SOURCE)
            players = await players_of(api, 40)
            await inbox.submit(SOURCE, "all", spread(SOURCE, players, COUNT))

        await until_decided(dsn, STEP)
        kill(first)
        await until_decided(dsn, 2 * STEP)
        for server in stage.servers:
            kill(server.program)
        await until_decided(dsn, 3 * STEP)
        kill(stage.drainers[0].program)
        await store.kill()
        await store.start()
        await until_decided(dsn, 4 * STEP)
        await stage.ledger.kill()
        await stage.ledger.start()
        await until_decided(dsn, 5 * STEP)
        kill(first)
        kill(second)
        await until_decided(dsn, 6 * STEP)
        await store.kill()
        kill(second)
        await store.start()
        await until_decided(dsn, COUNT)

        await stage.until_serving()
        async with submission_api(stage.addresses()[0]) as inbox:
            ended = await inbox.progress(SOURCE, "all")
            assert (ended.applied_count, ended.waiting_count) == (COUNT, 0)
        status, said = await stage.command("drain", "--until-empty")
        assert status == 0, said
        assert await booked_orders(dsn, SOURCE) == wanted_orders(players, COUNT)
        status, said = await stage.command("verify")
        assert status == 0, said


async def test_a_frozen_worker_loses_its_players_to_another_and_records_nothing_when_it_wakes(
    private_deployment: Deployment,
) -> None:
    deployment = private_deployment
    async with (
        wallet_api(deployment.address) as api,
        submission_api(deployment.address) as inbox,
        working(deployment, "--rate", "300") as first,
        working(deployment, "--rate", "300") as second,
    ):
        await first.until_holding(8)
        await second.until_holding(8)
        await api.put_source(SOURCE)
        players = await players_of(api, 40)
        await inbox.submit(SOURCE, "all", spread(SOURCE, players, 3000))
        await until_decided(deployment.ledger_dsn, STEP)
        first.child.process.send_signal(signal.SIGSTOP)
        await second.until_holding(16)
        await inbox.until_decided(SOURCE, "all")
        first.child.process.send_signal(signal.SIGCONT)
        await first.until_holding(8)

        ended = await inbox.progress(SOURCE, "all")
        assert (ended.applied_count, ended.waiting_count) == (3000, 0)
        await deployment.require_agreement()
        assert await booked_orders(deployment.ledger_dsn, SOURCE) == wanted_orders(players, 3000)


async def test_a_server_that_is_killed_while_it_receives_leaves_nothing_that_is_applied(
    private_deployment: Deployment,
) -> None:
    deployment = private_deployment
    async with wallet_api(deployment.address) as api, submission_api(deployment.address) as inbox:
        await api.put_source(SOURCE)
        players = await players_of(api, 4)
        commands = spread(SOURCE, players, 20_000)
        submitting = asyncio.create_task(inbox.submit(SOURCE, "all", commands, chunk=500))

        async def is_copying() -> bool:
            connection = await asyncpg.connect(deployment.ledger_dsn)
            try:
                return bool(
                    await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND query LIKE 'COPY%commands%'"
                    )
                )
            finally:
                await connection.close()

        await until(is_copying, what="commands are copied")
        deployment.server.process.kill()
        outcome = (await asyncio.gather(submitting, return_exceptions=True))[0]

        async with working(deployment) as worker:
            await worker.until_holding(16)

            async def has_measured() -> bool:
                return worker.metric("stakehold_inbox_waiting_commands") is not None

            await until(has_measured, what="the worker has looked at the inbox")
            assert worker.attempts("applied") == 0
    assert isinstance(outcome, Exception)
    connection = await asyncpg.connect(deployment.ledger_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM inbox.commands") == 0
        assert await connection.fetchval("SELECT count(*) FROM inbox.submissions") == 0
    finally:
        await connection.close()
