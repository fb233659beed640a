"""What the driver raises, and what callers of the ledger see of it."""

import asyncpg
import pytest

from persistence.errors import LedgerUnavailable
from persistence.postgres.database import translated_errors


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.ObjectNotInPrerequisiteStateError('database "ledger" is not currently accepting connections'),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.IdleInTransactionSessionTimeoutError(
            "terminating connection due to idle-in-transaction timeout"
        ),
        asyncpg.TransactionTimeoutError("terminating connection due to transaction timeout"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_server_that_cannot_do_it_now_is_unavailable(error: Exception) -> None:
    with pytest.raises(LedgerUnavailable, match="Postgres did not do it"), translated_errors():
        raise error


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError), translated_errors():
        raise asyncpg.PostgresSyntaxError("syntax error")
