"""Whom Postgres runs as: it refuses root, so root starts it as `nobody`."""

import os
import pwd
import re
from pathlib import Path

from service.embedded.children import Account
from service.embedded.errors import FolderUnusable

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
OTHERS_MAY_EXECUTE = 0o001


def postgres_account(data: Path, binary: Path) -> Account | None:
    """None for an ordinary user; for root the owner of existing data, else `nobody`.

    Where that account can't walk down to the data or to the binaries (a checkout below /root, a test's
    private folder), the server keeps one capability: to search folders, without which root's own files can't
    be reached. Copying binaries and moving data elsewhere would leave both behind when the checkout is
    deleted.
    """
    if os.geteuid() != 0:
        return None
    uid, gid = _owner_of(data) or _nobody()
    reachable = _others_can_reach(data.parent) and _others_can_reach(binary)
    return Account(uid, gid, None if reachable else _searching_capability(binary))


def require_owned(data: Path) -> None:
    """An ordinary user can start a server on their own data only."""
    if os.geteuid() != 0 and data.exists() and data.stat().st_uid != os.geteuid():
        raise FolderUnusable(
            f"{data} belongs to another account (was it made by root?): go on as that account, choose "
            f"another data folder, or take it over: sudo chown -R {os.geteuid()}:{os.getegid()} {data.parent}"
        )


def _owner_of(data: Path) -> tuple[int, int] | None:
    if not data.exists() or data.stat().st_uid == 0:
        return None
    return data.stat().st_uid, data.stat().st_gid


def _nobody() -> tuple[int, int]:
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _others_can_reach(path: Path) -> bool:
    return all(place.stat().st_mode & OTHERS_MAY_EXECUTE for place in (path, *path.parents))


def _searching_capability(binary: Path) -> int:
    """The weaker of the two that help, if it is enough and this root has it: containers often drop it."""
    enough = binary.stat().st_mode & OTHERS_MAY_EXECUTE
    return CAP_DAC_READ_SEARCH if enough and _permitted(CAP_DAC_READ_SEARCH) else CAP_DAC_OVERRIDE


def _permitted(capability: int) -> bool:
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^CapPrm:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> capability & 1)
