"""A Postgres of our own, with a password, on the loopback interface only."""

import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from service.embedded.binaries import postgres_server
from service.embedded.children import Account, Child, spawn
from service.embedded.folders import held, sign
from service.embedded.ports import LOOPBACK
from service.embedded.postgres_data import DATABASE, ENVIRONMENT, OWNER, SUPERUSER, data_folder, prepare
from service.embedded.starting import Recipe

START_TIMEOUT_S = 120.0
STOP_GRACE_S = 30.0
DYING_PATIENCE_S = 10.0
PID_FILE_PID, PID_FILE_STATUS, PID_FILE_LINES = 0, 7, 8
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server; `process` is its postmaster, there for tests to stop, freeze or kill."""

    port: int
    password: str = field(repr=False)
    child: Child

    @property
    def dsn(self) -> str:
        """The `stakehold` database, as the role that owns it."""
        return self.dsn_for(DATABASE)

    def dsn_for(self, database: str, *, superuser: bool = False) -> str:
        """The owner's role may create databases and roles, but is no superuser, as in production."""
        role = SUPERUSER if superuser else OWNER
        return f"postgresql://{role}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.child.process


@asynccontextmanager
async def embedded_postgres(
    folder: Path, *, port: int = 0, fsync: bool = True, settings: Mapping[str, str] = NO_SETTINGS
) -> AsyncIterator[EmbeddedPostgres]:
    """Run a server whose data lie in `folder` and survive it; port 0 takes any free one.

    `settings` are as in postgresql.conf. Without `fsync` the data survive a killed process but not a power
    cut. Leaving the context stops the server, also one that a test froze or killed. As root the server runs
    as `nobody`.
    """
    folder = folder.absolute()
    options = _options(settings, fsync=fsync)
    async with held(folder, patience_s=DYING_PATIENCE_S) as lock:
        server = postgres_server()
        account, password = prepare(folder, server, fsync=fsync)
        recipe = Recipe(
            name="Postgres",
            spawn=lambda port: _spawn(folder, server.path, {**options, "port": str(port)}, account, lock),
            ready=lambda child, _: _is_ready(child, data_folder(folder)),
            stop=_stop,
            port_lost="could not create any TCP/IP sockets",
            timeout_s=START_TIMEOUT_S,
        )
        child, port = await recipe.start(port)
        try:
            yield EmbeddedPostgres(port, password, child)
        finally:
            await _stop(child)


def _options(settings: Mapping[str, str], *, fsync: bool) -> dict[str, str]:
    durability = {} if fsync else {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    fixed = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "TimeZone": "UTC",
        "log_timezone": "UTC",
    }
    return {"max_connections": "200", "max_wal_size": "2GB", "jit": "off", **durability, **settings, **fixed}


def _spawn(
    folder: Path, binary: Path, options: Mapping[str, str], account: Account | None, lock: int
) -> Child:
    data = data_folder(folder)
    # The lock is ours and every process of a server holds it too, so a pid file found now is a dead server's:
    # left alone, a stranger that got the same process id would keep this one from starting.
    (data / "postmaster.pid").unlink(missing_ok=True)
    child = spawn(
        "postgres",
        [binary, "-D", data, *(f"--{name}={value}" for name, value in options.items())],
        log=folder / "postgres.log",
        env=ENVIRONMENT,
        # A fast shutdown, which needs no recovery at the next start; its other processes follow the
        # postmaster in any case.
        death_signal=signal.SIGINT,
        account=account,
        keep_open=[lock],
    )
    sign(lock, child.process.pid)
    return child


async def _stop(child: Child) -> None:
    await child.stop(ask_with=signal.SIGINT, grace_s=STOP_GRACE_S)


async def _is_ready(child: Child, data: Path) -> bool:
    """Whether the postmaster's own file says that it, and no other process, takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    if len(lines) < PID_FILE_LINES:
        return False
    return lines[PID_FILE_PID] == str(child.process.pid) and lines[PID_FILE_STATUS].strip() == "ready"
