"""The schema is made from nothing, once, whoever asks for it and however often."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from persistence.errors import SetupRefused
from persistence.postgres import migrating
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.migrating import Migration, all_migrations, migrate, require_migrated
from service.embedded import EmbeddedPostgres, embedded_postgres
from tests.ledgers import Ledgers
from tests.schema_dump import dump_schema

COUNT = len(all_migrations())
SCHEMA = Path(migrating.__file__).with_name("schema.sql")


@asynccontextmanager
async def owner(dsn: str) -> AsyncIterator[Connection]:
    async with ledger_connection(dsn, role=None, statement_timeout_s=10.0) as connection:
        yield connection


@asynccontextmanager
async def empty_database(ledgers: Ledgers) -> AsyncIterator[str]:
    async with ledgers.fresh(template="template1") as dsn:
        yield dsn


async def test_migrating_an_empty_database_applies_everything_in_order(ledgers: Ledgers) -> None:
    said: list[Migration] = []
    async with empty_database(ledgers) as dsn:
        assert await migrate(dsn, on_applied=said.append) == COUNT

        async with owner(dsn) as sql:
            rows = await sql.fetch("SELECT number, name, checksum FROM ledger.migrations ORDER BY number")
            await require_migrated(sql)

    assert said == list(all_migrations())
    assert [(row["number"], row["name"], row["checksum"]) for row in rows] == [
        (migration.number, migration.name, migration.checksum) for migration in all_migrations()
    ]


async def test_migrating_again_changes_nothing(ledger_dsn: str) -> None:
    async with owner(ledger_dsn) as sql:
        before = await read_settings(sql)
        assert await migrate(ledger_dsn) == 0
        assert await read_settings(sql) == before


async def test_many_that_migrate_at_once_apply_each_migration_once(ledgers: Ledgers) -> None:
    async with empty_database(ledgers) as dsn:
        applied = await asyncio.gather(*(migrate(dsn) for _ in range(5)))

        assert sorted(applied) == [0, 0, 0, 0, COUNT]
        async with owner(dsn) as sql:
            assert await sql.fetchval("SELECT count(*) FROM ledger.partitions") == 16


async def test_the_schema_file_is_what_the_migrations_make(ledger_dsn: str) -> None:
    made = await asyncio.to_thread(dump_schema, ledger_dsn)

    assert made == SCHEMA.read_text(), "run python -m tests.schema_dump > persistence/postgres/schema.sql"


async def test_a_migration_that_fails_leaves_nothing_of_itself(ledgers: Ledgers) -> None:
    broken = Migration(COUNT + 1, "broken", "CREATE TABLE ledger.half (); SELECT 1 / 0;")
    async with empty_database(ledgers) as dsn:
        with pytest.raises(Exception, match="division by zero"):
            await migrate(dsn, migrations=[*all_migrations(), broken])

        async with owner(dsn) as sql:
            assert await sql.fetchval("SELECT to_regclass('ledger.half')") is None
            assert await sql.fetchval("SELECT max(number) FROM ledger.migrations") == COUNT
        assert await migrate(dsn) == 0


async def test_an_edited_migration_is_refused(ledger_dsn: str) -> None:
    first, *others = all_migrations()
    edited = replace(first, statements=first.statements + "-- a better idea")

    with pytest.raises(SetupRefused, match="0001_settings_and_partitions is not the one"):
        await migrate(ledger_dsn, migrations=[edited, *others])


async def test_a_database_of_a_newer_version_is_not_migrated_but_may_be_used(ledger_dsn: str) -> None:
    async with owner(ledger_dsn) as sql:
        await sql.execute("INSERT INTO ledger.migrations VALUES (9999, 'later', '\\x00')")

        with pytest.raises(SetupRefused, match="migration 9999, which this version does not know"):
            await migrate(ledger_dsn)
        assert await migrate(ledger_dsn, accept_newer=True) == 0
        await require_migrated(sql)


async def test_an_edited_migration_is_refused_by_who_goes_back_too(ledger_dsn: str) -> None:
    first, *others = all_migrations()
    edited = replace(first, statements=first.statements + "-- a better idea")
    async with owner(ledger_dsn) as sql:
        await sql.execute("INSERT INTO ledger.migrations VALUES (9999, 'later', '\\x00')")

    with pytest.raises(SetupRefused, match="0001_settings_and_partitions is not the one"):
        await migrate(ledger_dsn, migrations=[edited, *others], accept_newer=True)


async def test_an_empty_database_is_not_served(ledgers: Ledgers) -> None:
    async with empty_database(ledgers) as dsn, owner(dsn) as sql:
        with pytest.raises(SetupRefused, match="run `stakehold migrate` first"):
            await require_migrated(sql)


async def test_the_number_of_partitions_is_fixed_by_the_first_migration(ledgers: Ledgers) -> None:
    async with empty_database(ledgers) as dsn:
        await migrate(dsn, partition_count=3)
        await migrate(dsn, partition_count=3)
        await migrate(dsn)

        with pytest.raises(SetupRefused, match=r"made with 3 partitions .* STAKEHOLD_PARTITIONS is 4"):
            await migrate(dsn, partition_count=4)
        async with owner(dsn) as sql:
            assert (await read_settings(sql)).partition_count == 3
            assert await sql.fetchval("SELECT array_agg(partition) FROM ledger.partitions") == [0, 1, 2]
            with pytest.raises(SetupRefused, match="STAKEHOLD_PARTITIONS is 16"):
                await read_settings(sql, expected_partition_count=16)


@pytest.fixture
async def new_server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server where the group roles do not exist yet."""
    async with embedded_postgres(tmp_path / "postgres", fsync=False) as server:
        yield server


async def test_the_roles_are_made_once_for_all_databases_of_a_server(new_server: EmbeddedPostgres) -> None:
    made = Ledgers(new_server)
    dsns = [await made.create(f"ledger_{number}") for number in range(4)]

    assert await asyncio.gather(*map(migrate, dsns)) == [COUNT] * 4

    for dsn in dsns:
        for role in LedgerRole:
            async with ledger_connection(dsn, role=role, statement_timeout_s=5.0) as connection:
                assert await connection.fetchval("SELECT current_user") == role


async def test_whoever_may_not_make_roles_is_told_what_to_do(new_server: EmbeddedPostgres) -> None:
    superuser = await asyncpg.connect(new_server.dsn_for("postgres", superuser=True))
    try:
        await superuser.execute(f"CREATE ROLE plain LOGIN PASSWORD '{new_server.password}'")
        await superuser.execute("CREATE DATABASE plain OWNER plain")
        dsn = new_server.dsn_for("plain").replace("//stakehold:", "//plain:")

        with pytest.raises(SetupRefused, match="CREATE ROLE stakehold_reader NOLOGIN") as refused:
            await migrate(dsn)
        for statement in str(refused.value).partition("run: ")[2].split(";"):
            if statement:
                await superuser.execute(statement)

        assert await migrate(dsn) == COUNT
    finally:
        await superuser.close()
    async with ledger_connection(dsn, role=LedgerRole.WRITER, statement_timeout_s=5.0) as connection:
        await require_migrated(connection)


async def test_the_service_is_made_a_member_of_the_roles_that_it_needs(new_server: EmbeddedPostgres) -> None:
    made = Ledgers(new_server)
    dsn = await made.create("ledger")
    superuser = await asyncpg.connect(new_server.dsn_for("postgres", superuser=True))
    try:
        await superuser.execute(f"CREATE ROLE \"the-service\" LOGIN PASSWORD '{new_server.password}'")
    finally:
        await superuser.close()
    service = dsn.replace("//stakehold:", "//the-service:")

    for _ in range(2):
        await migrate(dsn, service_login="the-service")

    for role in LedgerRole:
        if role is LedgerRole.ERASER:
            with pytest.raises(SetupRefused):
                await as_role(service, role)
        else:
            assert await as_role(service, role) == role


async def test_a_service_that_cannot_log_in_is_told_of_by_the_migration(ledger_dsn: str) -> None:
    with pytest.raises(SetupRefused, match=r"nobody-yet.* does not exist"):
        await migrate(ledger_dsn, service_login="nobody-yet")


async def as_role(dsn: str, role: LedgerRole) -> str:
    async with ledger_connection(dsn, role=role, statement_timeout_s=5.0) as connection:
        return str(await connection.fetchval("SELECT current_user"))
