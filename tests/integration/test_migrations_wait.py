"""A migration that cannot have a table yet holds nobody up, says who has it, and is not half done."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner

from persistence.errors import LedgerUnavailable, SetupRefused
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.lock_waits import Holder
from persistence.postgres.migrating import Migration, all_migrations, migrate, require_migrated
from service.cli import main
from service.commands.starting import CANNOT_START
from service.embedded import embedded_postgres
from tests.ledgers import Ledgers
from tests.waiting import until

COUNT = len(all_migrations())
BEFORE = 26
"""The one after it changes the entries' table."""
NEXT = "0027_erasures"
APPLICATION = "a long report"
TIMES = 5
LONG_ENOUGH_S = 2.0
"""To try twice."""


@pytest_asyncio.fixture
async def older(ledgers: Ledgers) -> AsyncIterator[str]:
    """A ledger as it was before."""
    async with ledgers.fresh(template="template1") as dsn:
        await migrate(dsn, migrations=all_migrations()[:BEFORE])
        yield dsn


@asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody who has the entries' table for as long as the context lasts."""
    reader = await asyncpg.connect(dsn, server_settings={"application_name": APPLICATION})
    try:
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            await reader.execute("SELECT count(*) FROM ledger.entries")
            yield reader
    finally:
        await reader.close()


@dataclass(slots=True)
class Told:
    """What a migration says while it waits."""

    waits: list[tuple[str, Sequence[Holder]]] = field(default_factory=list)

    def __call__(self, migration: str, holders: Sequence[Holder]) -> None:
        self.waits.append((migration, holders))

    async def names_somebody(self) -> bool:
        return bool(self.waits and self.waits[-1][1])


async def newest(dsn: str) -> int:
    sql = await asyncpg.connect(dsn)
    try:
        return int(await sql.fetchval("SELECT max(number) FROM ledger.migrations"))
    finally:
        await sql.close()


async def test_others_go_on_while_a_migration_waits_for_a_reader(older: str) -> None:
    told = Told()
    async with ledger_connection(older, role=LedgerRole.READER, statement_timeout_s=10.0) as player:
        async with reading(older) as reader:
            migrating = asyncio.create_task(migrate(older, on_waiting=told))
            await until(told.names_somebody, what="the migration waits")

            for _ in range(TIMES):
                assert await player.fetchval("SELECT count(*) FROM ledger.entries") == 0
                await asyncio.sleep(0.2)
            with pytest.raises(SetupRefused, match="lacks"):
                await require_migrated(player)
            assert not migrating.done()

        assert await migrating == COUNT - BEFORE
        await require_migrated(player)
    migration, [holder] = told.waits[-1]
    assert migration == NEXT
    assert (holder.pid, holder.application) == (reader.get_server_pid(), APPLICATION)
    assert holder.since is not None


async def test_a_migration_that_gives_up_says_who_is_in_the_way_and_has_done_nothing(older: str) -> None:
    async with reading(older) as reader:
        with pytest.raises(LedgerUnavailable) as gave_up:
            await migrate(older, lock_wait_s=LONG_ENOUGH_S)
        pid = reader.get_server_pid()
        assert await newest(older) == BEFORE
        assert await reader.fetchval("SELECT to_regclass('ledger.erasures')") is None

    assert f"{NEXT} was not applied" in str(gave_up.value)
    assert f"{APPLICATION} (process {pid}, logged in as stakehold, since " in str(gave_up.value)
    assert await migrate(older) == COUNT - BEFORE


async def test_a_writer_whose_login_the_owner_may_not_look_at_is_named(older: str, ledgers: Ledgers) -> None:
    superusers = ledgers.postgres.dsn_for(older.rpartition("/")[2], superuser=True)
    async with reading(superusers) as reader:
        with pytest.raises(LedgerUnavailable) as gave_up:
            await migrate(older, lock_wait_s=LONG_ENOUGH_S)
        pid = reader.get_server_pid()

    assert f"{APPLICATION} (process {pid}, logged in as " in str(gave_up.value)


async def test_the_command_says_what_it_waits_for_and_what_it_gave_up(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAKEHOLD_POSTGRES_URL", older)
    monkeypatch.setenv("STAKEHOLD_VALKEY_URL", "redis://127.0.0.1:1/0")
    async with reading(older):
        done = await asyncio.to_thread(
            CliRunner().invoke, main, ["migrate", "--lock-wait", str(LONG_ENOUGH_S)]
        )

    assert done.exit_code == CANNOT_START
    assert f"{NEXT} waits for {APPLICATION} (process " in done.output
    assert f"{NEXT} was not applied, and nothing of it" in done.output


GARBAGE = """
    CREATE TABLE ledger.garbage (text text) WITH (
        autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1
    );
    INSERT INTO ledger.garbage SELECT repeat('x', 100) FROM generate_series(1, 50000);
    DELETE FROM ledger.garbage
"""


async def test_a_vacuum_that_takes_an_hour_makes_way(tmp_path: Path) -> None:
    async with embedded_postgres(
        tmp_path / "postgres", fsync=False, settings={"autovacuum_naptime": "1s"}
    ) as server:
        await migrate(server.dsn)
        sql = await asyncpg.connect(server.dsn)
        await sql.execute(GARBAGE)

        async def is_vacuumed() -> bool:
            return bool(
                await sql.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE relation = 'ledger.garbage'::regclass"
                )
            )

        await until(is_vacuumed, what="a vacuum is at work", deadline_s=60.0)
        told = Told()
        more = Migration(COUNT + 1, "more", "ALTER TABLE ledger.garbage ADD COLUMN more text")

        assert await migrate(server.dsn, migrations=[*all_migrations(), more], on_waiting=told) == 1

        assert "the server itself" in str(told.waits[-1][1][0])
        await sql.close()
