"""Reads of the ledger, each in one snapshot and within its caller's deadline."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from persistence.postgres.database import Connection, Pool, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reading.balances import PastBalance, TrialBalanceLine, balance_at, trial_balance
from persistence.postgres.reading.entry_lists import EntryFilter, EntryPage, list_entries
from persistence.postgres.reading.statements import StatementPage, StatementPeriod, read_statement
from persistence.transactions import CurrencyCode, PlayerId


class LedgerReader:
    """Answers questions about the past. The pool's connections need no more than LedgerRole.READER.

    Deadlines are in the event loop's time. Beside what each method names, all of them raise
    LedgerUnavailable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_entries(
        self, wanted: EntryFilter, *, page_size: int, page_token: str, deadline: float
    ) -> EntryPage:
        """A page of entries, oldest first. Raises PageTokenInvalid."""
        async with self._snapshot(deadline) as connection:
            return await list_entries(connection, wanted, page_size=page_size, page_token=page_token)

    async def read_statement(
        self, period: StatementPeriod, *, page_size: int, page_token: str, deadline: float
    ) -> StatementPage:
        """A page of a wallet's statement. Raises WalletNotFound and PageTokenInvalid."""
        async with self._snapshot(deadline) as connection:
            return await read_statement(connection, period, page_size=page_size, page_token=page_token)

    async def balance_at(
        self,
        player_id: PlayerId,
        currency: CurrencyCode,
        *,
        end: datetime | None = None,
        version: int | None = None,
        deadline: float,
    ) -> PastBalance:
        """A wallet after one of its versions, or after its last change before ``end``: give one of them.

        Raises WalletNotFound and BalanceNotFound.
        """
        async with self._snapshot(deadline) as connection:
            return await balance_at(connection, player_id, currency, end=end, version=version)

    async def trial_balance(
        self, currency: CurrencyCode | None, *, deadline: float
    ) -> Sequence[TrialBalanceLine]:
        """The sums of all accounts, ordered by currency, owner kind, owner and bucket."""
        async with self._snapshot(deadline) as connection:
            return await trial_balance(connection, currency)

    @asynccontextmanager
    async def _snapshot(self, deadline: float) -> AsyncIterator[Connection]:
        """A connection on which all queries see the same moment, and none outlives the deadline."""
        with translated_errors():
            async with (
                asyncio.timeout_at(deadline),
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                left_ms = math.ceil((deadline - asyncio.get_running_loop().time()) * 1000)
                await connection.execute(query("limit_statements"), str(max(1, left_ms)))
                yield connection
