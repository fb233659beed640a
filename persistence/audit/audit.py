"""The audit: of the whole ledger, or of one player's wallets, online or offline."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from datetime import UTC, datetime

import structlog

from persistence.audit.counts import AuditCounts
from persistence.audit.entry_walk import check_chain, check_entries_of_player
from persistence.audit.findings import AuditSummary, Finding, FindingKind
from persistence.audit.hot_comparison import HotComparison
from persistence.audit.recording import record_verification
from persistence.errors import Overloaded, StakeholdError
from persistence.postgres.database import Connection, LedgerRole, ledger_connection, translated_errors
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.queries import query
from persistence.transactions import PlayerId, partition_of
from persistence.valkey.hot_wallets import hot_wallets

_log = structlog.get_logger(__name__)

DEFAULT_BATCH_SIZE = 100
_STATEMENT_TIMEOUT_S = 3600.0
_MAX_RUNNING = 4
_RETRY_DELAY_MS = 1000

_CHECKS = (
    ("versions", "audit_versions"),
    ("running balances", "audit_running_balances"),
    ("wallets", "audit_wallet_rows"),
    ("wallets' accounts", "audit_wallet_balances"),
)
"""Queries that take a player or null."""

_CHECKS_OF_EVERYTHING = (
    ("partitions", "audit_partition_count"),
    ("cursors", "audit_cursors"),
    ("erasures", "audit_erasures"),
    ("archives", "audit_archives"),
    ("postings without entries", "audit_orphan_postings"),
    ("postings and their accounts", "audit_misplaced_postings"),
    ("balances", "audit_balances"),
    ("access log", "audit_access_log"),
)


def _log_unrecorded(error: StakeholdError) -> None:
    _log.warning("audit_not_recorded", error=str(error))


class Audit:
    """Makes audits. Each has two connections of its own to the ledger, and one to the store.

    Without a ``valkey_url`` only the ledger is audited. ``batch_size`` is how many entries are read and
    checked at once, and so for how long others in the same event loop wait. That everything was audited is
    noted in the ledger; where it can't be, ``on_unrecorded`` is told why, and the audit stands nevertheless.
    """

    def __init__(
        self,
        postgres_url: str,
        *,
        valkey_url: str | None,
        store_timeout_s: float = 2.0,
        batch_size: int = DEFAULT_BATCH_SIZE,
        on_unrecorded: Callable[[StakeholdError], None] = _log_unrecorded,
    ) -> None:
        self._postgres_url = postgres_url
        self._valkey_url = valkey_url
        self._store_timeout_s = store_timeout_s
        self._batch_size = batch_size
        self._on_unrecorded = on_unrecorded
        self._running = 0

    async def run(
        self, player_id: PlayerId | None = None, *, counts: AuditCounts | None = None
    ) -> AsyncGenerator[Finding | AuditSummary]:
        """Findings as they turn up, then the summary. ``counts`` is kept up to date for whoever watches.

        Raises LedgerUnavailable, StoreUnavailable, SetupRefused for a database that is no ledger, and
        Overloaded while too many other audits run.
        """
        if self._running >= _MAX_RUNNING:
            raise Overloaded("too many audits are under way", retry_delay_ms=_RETRY_DELAY_MS)
        counts = counts or AuditCounts()
        started_time = datetime.now(UTC)
        self._running += 1
        try:
            async with aclosing(self._findings(player_id, counts)) as findings:
                async for finding in findings:
                    counts.finding_count += 1
                    yield finding
        finally:
            self._running -= 1
        summary = counts.summary()
        if player_id is None:
            await self._record(summary, started_time)
        yield summary

    async def _record(self, summary: AuditSummary, started_time: datetime) -> None:
        try:
            await record_verification(
                self._postgres_url,
                summary,
                started_time=started_time,
                with_hot_wallets=self._valkey_url is not None,
            )
        except StakeholdError as error:
            self._on_unrecorded(error)

    async def _findings(self, player_id: PlayerId | None, counts: AuditCounts) -> AsyncGenerator[Finding]:
        async with AsyncExitStack() as stack:
            snapshot = await stack.enter_async_context(self._ledger())
            stack.enter_context(translated_errors())
            await stack.enter_async_context(snapshot.transaction(isolation="repeatable_read", readonly=True))
            settings = await read_settings(snapshot)
            checks = (
                self._check_everything(snapshot, counts)
                if player_id is None
                else self._check_player(snapshot, player_id, settings.partition_count, counts)
            )
            async for finding in checks:
                yield finding
            if self._valkey_url is None:
                return
            counts.stage = "hot wallets"
            hot = await stack.enter_async_context(
                hot_wallets(
                    self._valkey_url,
                    partition_count=settings.partition_count,
                    timeout_s=self._store_timeout_s,
                )
            )
            comparison = HotComparison(
                hot,
                snapshot=snapshot,
                present=await stack.enter_async_context(self._ledger()),
                partition_count=settings.partition_count,
                counts=counts,
                batch_size=self._batch_size,
            )
            compared = comparison.compare([player_id]) if player_id else comparison.compare_all()
            async for finding in compared:
                yield finding

    async def _check_everything(self, snapshot: Connection, counts: AuditCounts) -> AsyncIterator[Finding]:
        partitions = await snapshot.fetch(query("audit_partitions"))
        counts.expected_entry_count = sum(row["entry_count"] for row in partitions)
        counts.stage = "entries"
        for row in partitions:
            async for finding in check_chain(
                snapshot, row["partition"], batch_size=self._batch_size, counts=counts
            ):
                yield finding
        for stage, name in _CHECKS_OF_EVERYTHING:
            counts.stage = stage
            async for finding in _asked(snapshot, name):
                yield finding
        for stage, name in _CHECKS:
            counts.stage = stage
            async for finding in _asked(snapshot, name, None):
                yield finding
        counts.stage = "quarantine"
        async for finding in _asked(snapshot, "audit_quarantine", None):
            yield finding

    async def _check_player(
        self, snapshot: Connection, player_id: PlayerId, partition_count: int, counts: AuditCounts
    ) -> AsyncIterator[Finding]:
        counts.stage = "entries"
        async for finding in check_entries_of_player(
            snapshot, player_id, batch_size=self._batch_size, counts=counts
        ):
            yield finding
        for stage, name in (*_CHECKS, ("balances", "audit_balances_of_player")):
            counts.stage = stage
            async for finding in _asked(snapshot, name, player_id):
                yield finding
        counts.stage = "quarantine"
        async for finding in _asked(snapshot, "audit_quarantine", partition_of(player_id, partition_count)):
            yield finding

    def _ledger(self) -> AbstractAsyncContextManager[Connection]:
        return ledger_connection(
            self._postgres_url,
            role=LedgerRole.READER,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
            application="stakehold audit",
        )


async def _asked(snapshot: Connection, name: str, *arguments: object) -> AsyncIterator[Finding]:
    """The findings of a query of audit.sql."""
    async for row in snapshot.cursor(query(name), *arguments, prefetch=100):
        yield Finding(
            FindingKind(row["kind"]),
            row["partition"],
            row["description"],
            entry_id=row["entry_id"],
            player_id=row["player_id"],
            currency=row["currency"],
        )
        await asyncio.sleep(0)
