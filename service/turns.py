"""A process may start before the rest is ready for it, or the ledger is there: then it waits, unready."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from persistence.errors import LedgerUnavailable, SetupRefused
from persistence.outbox import REVISION_OF_NOTES
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.leases import drainers_that_read_less
from persistence.postgres.migrating import require_migrated
from service.settings import Settings
from service.working.jobs import pause

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 1.0
_STATEMENT_TIMEOUT_S = 5.0


async def await_migrations(postgres_url: str, stop: asyncio.Event, *, wait_s: float) -> None:
    """Returns when the ledger has all migrations of this version, or when ``stop`` is set.

    Raises SetupRefused where it has not got them in time, LedgerUnavailable where it cannot be asked by then.
    """
    await _until_accepted(require_migrated, postgres_url, stop, wait_s=wait_s, event="waiting_for_migrations")


async def await_turn(settings: Settings, stop: asyncio.Event) -> None:
    """As await_migrations, for who writes to the outbox: also until no drainer is at work that would stop at
    what is written there.
    """
    postgres_url, wait_s = settings.postgres_url.get_secret_value(), settings.migration_wait_s
    await await_migrations(postgres_url, stop, wait_s=wait_s)
    if settings.traces_endpoint:
        await _until_accepted(
            _require_readers_of_notes, postgres_url, stop, wait_s=wait_s, event="waiting_for_newer_drainers"
        )


async def _require_readers_of_notes(connection: Connection) -> None:
    if count := await drainers_that_read_less(connection, REVISION_OF_NOTES):
        raise SetupRefused(
            f"{count} drainers of an older version are at work, which stop at what goes with traced calls: "
            "upgrade drainers first, or unset STAKEHOLD_TRACES_ENDPOINT"
        )


async def _until_accepted(
    require: Callable[[Connection], Awaitable[None]],
    postgres_url: str,
    stop: asyncio.Event,
    *,
    wait_s: float,
    event: str,
) -> None:
    loop = asyncio.get_running_loop()
    latest = loop.time() + wait_s
    told = ""
    while not stop.is_set():
        try:
            async with ledger_connection(
                postgres_url,
                role=LedgerRole.READER,
                statement_timeout_s=_STATEMENT_TIMEOUT_S,
                application="stakehold start",
            ) as connection:
                return await require(connection)
        except (SetupRefused, LedgerUnavailable) as refused:
            if loop.time() >= latest:
                raise
            what = "waiting_for_ledger" if isinstance(refused, LedgerUnavailable) else event
            if what != told:
                _log.warning(what, wait_s=wait_s, reason=str(refused))
                told = what
        await pause(stop, _LOOK_EVERY_S)
    return None
