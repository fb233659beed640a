"""A Postgres data folder: made once, whole or not at all, with a password of its own."""

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from service.embedded.accounts import postgres_account, require_owned
from service.embedded.binaries import Server
from service.embedded.children import Account, launch_command
from service.embedded.errors import FolderUnusable, StartFailed

SUPERUSER = "postgres"
OWNER = "stakehold"
DATABASE = "stakehold"
INIT_TIMEOUT_S = 120.0
BUILTIN_LOCALES_SINCE = (17,)
PG_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def data_folder(folder: Path) -> Path:
    return folder / "data"


def prepare(folder: Path, server: Server, *, fsync: bool) -> tuple[Account | None, str]:
    """See to it that the data folder exists and fits; whom to run as, and the password of both roles."""
    data = data_folder(folder)
    require_owned(data)
    account = postgres_account(data, server.path)
    password = _password(folder)
    if data.exists():
        _require_same_major(data, server)
    else:
        _make(folder, server, account, password, fsync=fsync)
    return account, password


def _password(folder: Path) -> str:
    path = folder / "password"
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        unfinished.rename(path)
    return path.read_text()


def _require_same_major(data: Path, server: Server) -> None:
    major = (data / "PG_VERSION").read_text().strip()
    if major != str(server.version[0]):
        raise FolderUnusable(
            f"{data} was written by Postgres {major}, but {server} was found: choose another data folder, or "
            f"set STAKEHOLD_POSTGRES_BIN to the binaries of Postgres {major}."
        )


def _make(folder: Path, server: Server, account: Account | None, password: str, *, fsync: bool) -> None:
    """Prepared under another name and renamed when complete: what is called `data` is never half a folder."""
    unfinished = folder / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account:
        os.chown(unfinished, account.uid, account.gid)
    _run(_initdb(unfinished, server, fsync=fsync), account, given="")
    _run(
        [server.path, "--single", "-D", unfinished, "-c", f"fsync={'on' if fsync else 'off'}", "postgres"],
        account,
        given=_first_statements(password),
    )
    (unfinished / "pg_hba.conf").write_text(PG_HBA)
    unfinished.rename(data_folder(folder))


def _initdb(data: Path, server: Server, *, fsync: bool) -> list[str | Path]:
    words: list[str | Path] = [
        server.path.with_name("initdb"),
        "-D",
        data,
        "--username",
        SUPERUSER,
        "--encoding=UTF8",
    ]
    words += ["--auth-host=scram-sha-256", "--auth-local=reject", "--no-instructions", "--data-checksums"]
    if server.version >= BUILTIN_LOCALES_SINCE:
        words += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        words += ["--locale=C"]
    return words if fsync else [*words, "--no-sync"]


def _first_statements(password: str) -> str:
    """For single-user mode, one statement a line; the password is URL-safe, so it needs no escaping."""
    return (
        f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n"
        f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'\n"
        f"CREATE DATABASE {DATABASE} OWNER {OWNER}\n"
    )


def _run(command: Sequence[str | Path], account: Account | None, *, given: str) -> None:
    done = subprocess.run(
        launch_command(command, death_signal=signal.SIGKILL, account=account),
        input=given,
        capture_output=True,
        text=True,
        timeout=INIT_TIMEOUT_S,
        env=ENVIRONMENT,
        cwd="/",
        check=False,
    )
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0 or re.search(r"\b(ERROR|FATAL|PANIC):", said):
        raise StartFailed(f"{Path(command[0]).name} failed while it made the data folder:\n{said}")
