"""Connections to the ledger's database, and the one place where the driver's errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import asyncpg

from persistence.errors import LedgerUnavailable, SetupRefused, StakeholdError
from persistence.postgres.queries import query

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

Row = asyncpg.Record

CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
CLIENT_GRACE_S = 2.0
"""How much longer than the server's statement timeout the client waits for an answer."""


class LedgerRole(StrEnum):
    """Group roles: what a connection may do, whoever logs in. What each may is granted by migrations."""

    READER = "stakehold_reader"
    WRITER = "stakehold_writer"
    REGISTRAR = "stakehold_registrar"
    INBOX = "stakehold_inbox"
    CASHIER = "stakehold_cashier"
    PUBLISHER = "stakehold_publisher"
    RECORDER = "stakehold_recorder"
    CALLBACKS = "stakehold_callbacks"
    PRUNER = "stakehold_pruner"
    ERASER = "stakehold_eraser"


SERVICES_ROLES = tuple(role for role in LedgerRole if role is not LedgerRole.ERASER)
"""Those of the processes that run all the time. Erasing is done by hand, by whom the owner lets."""


class RecordRefused(StakeholdError):
    """The database refuses what a statement would write. ``constraint`` is the rule's name, if it has one."""

    def __init__(self, message: str, *, constraint: str) -> None:
        super().__init__(message)
        self.constraint = constraint


_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.PostgresSystemError,
    # A database that lets nobody in, or a lock that is not to be had.
    asyncpg.ObjectNotInPrerequisiteStateError,
    # A table has a column more than when the statement was prepared: the next try prepares it anew.
    asyncpg.InvalidCachedStatementError,
    # A standby: the one that takes writes is elsewhere, or will be this one.
    asyncpg.ReadOnlySQLTransactionError,
)
_NOT_SET_UP = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedColumnError,
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises LedgerUnavailable, RecordRefused or SetupRefused for what the driver raises; bugs pass."""
    try:
        yield
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        constraint = getattr(error, "constraint_name", None) or ""
        raise RecordRefused(_sentence(error), constraint=constraint) from error
    except _NOT_SET_UP as error:
        raise _not_set_up(error) from error
    except _UNREACHABLE as error:
        raise LedgerUnavailable(f"Postgres did not do it: {_sentence(error)}") from error


@contextmanager
def _translated_connect_errors(role: LedgerRole | None) -> Iterator[None]:
    """As translated_errors; a role that does not exist yet is an invalid parameter to the driver."""
    with translated_errors():
        try:
            yield
        except asyncpg.InvalidParameterValueError as error:
            raise _not_set_up(error) from error
        except asyncpg.InsufficientPrivilegeError as error:
            if role is LedgerRole.ERASER:
                raise _may_not_erase(error) from error
            raise


@asynccontextmanager
async def ledger_connection(
    url: str,
    *,
    role: LedgerRole | None,
    statement_timeout_s: float,
    application: str = "stakehold",
    settings: Mapping[str, str] = NO_SETTINGS,
) -> AsyncIterator[Connection]:
    """One connection. Without a role it has all rights of who logs in, as a migration needs.

    What it commits is on disk, unless it can only read. Left by an exception it is cut off rather than
    closed, so that the server gives its locks back at once.
    """
    with _translated_connect_errors(role):
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s + CLIENT_GRACE_S,
            server_settings={**_server_settings(role, statement_timeout_s, application), **settings},
        )
    try:
        if role is not LedgerRole.READER:
            with translated_errors():
                await _commit_durably(connection)
        yield connection
    except BaseException:
        connection.terminate()
        raise
    else:
        await _close(connection)


@asynccontextmanager
async def ledger_pool(
    url: str,
    *,
    role: LedgerRole,
    size: int,
    statement_timeout_s: float,
    application: str = "stakehold",
) -> AsyncIterator[Pool]:
    """At most ``size`` connections, made when they are needed. One is made at once: it says what is wrong.

    What they commit is on disk, unless they can only read.
    """
    pool = asyncpg.create_pool(
        url,
        # The driver would look after a minimum in the background and log every failure with its traceback.
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_s + CLIENT_GRACE_S,
        server_settings=_server_settings(role, statement_timeout_s, application),
        # Each time that one is taken: a connection that is given back forgets its session's settings.
        setup=None if role is LedgerRole.READER else _commit_durably,
    )
    try:
        with _translated_connect_errors(role):
            await pool
            await pool.release(await pool.acquire())
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            pool.terminate()


def _server_settings(role: LedgerRole | None, statement_timeout_s: float, application: str) -> dict[str, str]:
    statement_timeout_ms = str(round(statement_timeout_s * 1000))
    settings = {
        "application_name": application,
        "statement_timeout": statement_timeout_ms,
        "idle_in_transaction_session_timeout": statement_timeout_ms,
        "TimeZone": "UTC",
    }
    return {**settings, "role": str(role)} if role else settings


async def _commit_durably(connection: Connection) -> None:
    """Makes a commit mean that it is on disk, whatever the server's default is.

    The store goes on from what was committed: its outbox is trimmed, its epochs are planted. A ledger that is
    killed and forgets it does not fit the store any more.
    """
    await connection.execute(query("commit_durably"))


async def _close(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except _UNREACHABLE:
        connection.terminate()


def _not_set_up(error: BaseException) -> SetupRefused:
    return SetupRefused(
        f"Postgres refuses: {_sentence(error)}. Run `stakehold migrate`, and see to it that the role in "
        f"STAKEHOLD_POSTGRES_URL may log in and is a member of {', '.join(SERVICES_ROLES)}."
    )


def _may_not_erase(error: BaseException) -> SetupRefused:
    return SetupRefused(
        f"Postgres refuses: {_sentence(error)}. Erasing is not among the service's rights: let the ledger's "
        f"owner run `GRANT {LedgerRole.ERASER} TO …` for a login of whoever erases, and set "
        "STAKEHOLD_ERASE_POSTGRES_URL to the ledger's address with that login (docs/privacy.md)."
    )


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
