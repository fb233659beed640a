"""Changing tables that others use: the strong locks that this takes are waited for a moment at a time.

Whoever waits for a table's strong lock holds up all who want the table after him, even for the weakest one.
So where a long transaction has the table, as an audit or an export has, waiting for it would be an outage.
Here the wait ends after a moment, and those in the queue have their turn before the next one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from persistence.errors import LedgerUnavailable, StakeholdError
from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query

_MOMENT_S = 0.5
_PAUSE_S = 2.0
_LOOK_EVERY_S = 0.1
_LONGEST_MOMENT_S = 2.5


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds what is waited for. Without a login it is one of the server's own.

    ``since`` is when its transaction began, where whoever asks may see that of other logins.
    """

    pid: int
    login: str | None
    application: str
    since: datetime | None

    def __str__(self) -> str:
        if self.login is None:
            return f"the server itself, as a rule a vacuum (process {self.pid})"
        since = f", since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.application or 'somebody'} (process {self.pid}, logged in as {self.login}{since})"


OnWaiting = Callable[[str, Sequence[Holder]], None]
"""Told what waits, and who stands in its way; again whenever that is somebody else."""


def named(holders: Sequence[Holder]) -> str:
    """All of them in a sentence's words."""
    return "; ".join(map(str, holders)) or "somebody who could not be seen"


class LockWaits:
    """Transactions on ``connection`` that let others through while they wait for locks.

    ``watcher`` is a connection of the same login to the same database: it sees who stands in the way.
    ``patience_s`` is for all transactions together; with 0 each has one moment.
    """

    def __init__(
        self, connection: Connection, watcher: Connection, *, patience_s: float, on_waiting: OnWaiting
    ) -> None:
        self._connection = connection
        self._watcher = watcher
        self._patience_s = patience_s
        self._left_s = patience_s
        self._on_waiting = on_waiting
        self._holders: tuple[Holder, ...] = ()

    async def transaction(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        """Runs it in a transaction, from its beginning each time that it did not get a lock.

        Raises LedgerUnavailable, with who was in the way, when no patience is left; nothing of it is done
        then.
        """
        told: tuple[Holder, ...] | None = None
        self._holders = ()
        while not await self._tried(run, moment_s=await self._moment_s()):
            if self._left_s <= 0:
                raise LedgerUnavailable(
                    f"{what} was not applied, and nothing of it: for {self._patience_s:.0f} s others held "
                    f"its tables, in the end {named(self._holders)}. Let them end, or end them, and say it "
                    "again"
                )
            if self._holders != told:
                told = self._holders
                self._on_waiting(what, told)
            await asyncio.sleep(_PAUSE_S)
            self._left_s -= _PAUSE_S

    async def _tried(self, run: Callable[[], Awaitable[None]], *, moment_s: float) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._watching(), self._connection.transaction():
                await self._connection.execute(query("wait_for_locks"), f"{round(moment_s * 1000)}ms")
                await run()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            self._left_s -= loop.time() - began
            return False
        return True

    async def _moment_s(self) -> float:
        """Postgres interrupts its own vacuum for whoever has waited for longer than its deadlock_timeout."""
        if all(holder.login is not None for holder in self._holders):
            return _MOMENT_S
        deadlock_s: float = await self._connection.fetchval(query("deadlock_timeout_s"))
        return min(deadlock_s + _MOMENT_S, _LONGEST_MOMENT_S)

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        done = asyncio.Event()
        watch = asyncio.create_task(self._watch(done), name="lock-watch")
        try:
            yield
        finally:
            done.set()
            await watch

    async def _watch(self, done: asyncio.Event) -> None:
        """Who is in the way is good to know, and no reason to fail."""
        pid = self._connection.get_server_pid()
        with suppress(StakeholdError), translated_errors():
            while not done.is_set():
                if rows := await self._watcher.fetch(query("who_stands_in_the_way"), pid):
                    self._holders = tuple(
                        Holder(row["pid"], row["login"], row["application"], row["since"]) for row in rows
                    )
                with suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), _LOOK_EVERY_S)
