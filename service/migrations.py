"""A process of a new version may start before the ledger has that version's schema: it waits, unready."""

import asyncio

import structlog

from persistence.errors import SetupRefused
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.migrating import require_migrated
from service.working.jobs import pause

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 1.0
_STATEMENT_TIMEOUT_S = 5.0


async def await_migrations(postgres_url: str, stop: asyncio.Event, *, wait_s: float) -> None:
    """Returns when the ledger has all migrations of this version, or when ``stop`` is set.

    Raises SetupRefused where it has not got them in time, LedgerUnavailable where it cannot be asked.
    """
    loop = asyncio.get_running_loop()
    latest = loop.time() + wait_s
    told = False
    while not stop.is_set():
        try:
            return await _require_migrated(postgres_url)
        except SetupRefused as refused:
            if loop.time() >= latest:
                raise
            if not told:
                _log.warning("waiting_for_migrations", wait_s=wait_s, reason=str(refused))
                told = True
        await pause(stop, _LOOK_EVERY_S)
    return None


async def _require_migrated(postgres_url: str) -> None:
    async with ledger_connection(
        postgres_url,
        role=LedgerRole.READER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application="stakehold start",
    ) as connection:
        await require_migrated(connection)
