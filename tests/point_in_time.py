"""A Postgres that is backed up as docs/backups.md says, lost, and restored to a moment of its past."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from service.embedded import EmbeddedPostgres, embedded_postgres
from service.embedded.binaries import postgres_server
from service.embedded.ports import LOOPBACK
from service.embedded.postgres_data import SUPERUSER, data_folder
from tests.waiting import until

_TOOL_TIMEOUT_S = 60.0


@dataclass(slots=True)
class BackedUpPostgres:
    """A server whose WAL is archived. ``server`` is the one that runs now, at the same port always."""

    folder: Path
    port: int = 0
    server: EmbeddedPostgres | None = None
    _lives: int = 0
    _account: tuple[int, int] = (-1, -1)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def dsn(self) -> str:
        assert self.server is not None
        return self.server.dsn

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def base(self) -> Path:
        return self.folder / "base"

    async def start(self) -> None:
        self.archive.mkdir(parents=True)
        self.archive.chmod(0o777)
        await self._start(
            {
                "archive_mode": "on",
                "archive_command": f"test ! -f {self.archive}/%f && cp %p {self.archive}/%f",
            }
        )
        hba = data_folder(self._life()) / "pg_hba.conf"
        hba.write_text(hba.read_text() + "host replication all 127.0.0.1/32 scram-sha-256\n")
        await self._ask("SELECT pg_reload_conf()")

    async def back_up(self) -> None:
        """A base backup, verified."""
        assert self.server is not None
        await self._tool(
            "pg_basebackup",
            *("--pgdata", self.base, "--checkpoint", "fast", "--wal-method", "stream"),
            *("--host", LOOPBACK, "--port", str(self.port), "--username", SUPERUSER, "--no-sync"),
        )
        await self._tool("pg_verifybackup", self.base)

    async def mark(self, name: str) -> None:
        """A moment that can be restored to."""
        await self._ask("SELECT pg_create_restore_point($1)", name)

    async def archive_all(self) -> None:
        """Until all that is written by now is in the archive."""
        last = await self._ask("SELECT pg_walfile_name(pg_switch_wal())")

        async def archived() -> bool:
            return (self.archive / str(last)).exists()

        await until(archived, what=f"{last} is archived")

    @asynccontextmanager
    async def received(self) -> AsyncIterator[Path]:
        """The WAL as it is written, on another machine: no commit is answered before it is there."""
        assert self.server is not None
        folder = self.folder / "received"
        folder.mkdir()
        folder.chmod(0o777)
        words = ("--directory", folder, "--synchronous", "--host", LOOPBACK, "--port", self.port)
        receiver = await asyncio.create_subprocess_exec(
            postgres_server().path.with_name("pg_receivewal"),
            *map(str, (*words, "--username", SUPERUSER)),
            env={**os.environ, "PGPASSWORD": self.server.password, "PGAPPNAME": "receiver"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:

            async def attached() -> bool:
                return bool(await self._ask("SELECT count(*) FROM pg_stat_replication"))

            await until(attached, what="the receiver is attached")
            await self._ask("ALTER SYSTEM SET synchronous_standby_names = 'receiver'")
            await self._ask("SELECT pg_reload_conf()")

            async def waited_for() -> bool:
                return await self._ask("SELECT sync_state FROM pg_stat_replication") == "sync"

            await until(waited_for, what="commits wait for the receiver")
            yield folder
        finally:
            if receiver.returncode is None:
                receiver.terminate()
            await receiver.wait()

    async def stop(self) -> None:
        await self._running.aclose()

    async def destroy(self) -> None:
        """The machine is gone, and its disks."""
        assert self.server is not None
        self.server.process.kill()
        await self.server.child.exited()
        await self.stop()
        lost = data_folder(self._life()).stat()
        self._account = (lost.st_uid, lost.st_gid)
        shutil.rmtree(self._life())

    async def restore(self, *, restore_command: str = "", **target: str) -> None:
        """From the base backup and the archive up to a ``recovery_target_…``, or to the end of the WAL; at
        the address of before.
        """
        assert self.server is not None
        self._lives += 1
        folder = self._life()
        folder.mkdir()
        (folder / "password").write_text(self.server.password)
        await asyncio.to_thread(shutil.copytree, self.base, data_folder(folder))
        (data_folder(folder) / "recovery.signal").touch()
        _give(data_folder(folder), self._account)
        await self._start(
            {
                "restore_command": restore_command or f"cp {self.archive}/%f %p",
                **({"recovery_target_action": "promote", **target} if target else {}),
            }
        )

        async def promoted() -> bool:
            try:
                return not await self._ask("SELECT pg_is_in_recovery()")
            except (OSError, asyncpg.PostgresError):
                return False

        await until(promoted, what="the restored server takes writes", deadline_s=60.0)

    def _life(self) -> Path:
        return self.folder / f"life-{self._lives}"

    async def _start(self, settings: Mapping[str, str]) -> None:
        self._running = AsyncExitStack()
        self.server = await self._running.enter_async_context(
            embedded_postgres(self._life(), port=self.port, settings=settings)
        )
        self.port = self.server.port

    async def _ask(self, statement: str, *arguments: object) -> object:
        assert self.server is not None
        connection = await asyncpg.connect(self.server.dsn_for("postgres", superuser=True), timeout=10.0)
        try:
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()

    async def _tool(self, name: str, *words: str | Path) -> None:
        assert self.server is not None
        tool = await asyncio.create_subprocess_exec(
            postgres_server().path.with_name(name),
            *map(str, words),
            env={**os.environ, "PGPASSWORD": self.server.password},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_TOOL_TIMEOUT_S):
            said, _ = await tool.communicate()
        assert tool.returncode == 0, said.decode()


@asynccontextmanager
async def backed_up_postgres(folder: Path) -> AsyncIterator[BackedUpPostgres]:
    made = BackedUpPostgres(folder)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def _give(folder: Path, owner: tuple[int, int]) -> None:
    """To whom the server runs as, and nobody else."""
    folder.chmod(0o700)
    for place in (folder, *folder.rglob("*")):
        os.chown(place, *owner, follow_symlinks=False)
