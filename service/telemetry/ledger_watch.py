"""Looks every few seconds at what in the ledger waits for a person, and tells Prometheus.

Each drainer does so by itself: whoever reads the metrics takes the largest. While Postgres is away the last
look stands, and its time says how old it is.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Gauge

from persistence.errors import StakeholdError
from persistence.events import any_set
from persistence.postgres.adopting import IncidentKind
from persistence.postgres.condition import LedgerCondition, read_condition
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.reviews import ReviewKind

_log = structlog.get_logger(__name__)

_EVERY_S = 5.0
_RETRY_S = 2.0
_STATEMENT_TIMEOUT_S = 10.0


class LedgerMetrics:
    """What is open in the ledger."""

    def __init__(self, registry: CollectorRegistry, *, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        incidents = Gauge(
            "stakehold_open_incidents",
            "Incidents that nobody has resolved: answers that were lost, histories that forked, late "
            "duplicates, memory that was lost.",
            ("kind",),
            registry=registry,
        )
        self._incidents = {kind: incidents.labels(kind) for kind in IncidentKind}
        reviews = Gauge(
            "stakehold_open_reviews", "Reviews that nobody has resolved.", ("kind",), registry=registry
        )
        self._reviews = {kind: reviews.labels(kind) for kind in ReviewKind}
        self._quarantined = Gauge(
            "stakehold_quarantine_records",
            "Records in quarantine; each stops its partition until it is redriven.",
            registry=registry,
        )
        self._runs = Gauge(
            "stakehold_verification_runs",
            "Audits of everything that came to their end, ever; `stakehold verify` and LedgerService.Audit.",
            registry=registry,
        )
        self._last = Gauge(
            "stakehold_verification_last_timestamp_seconds",
            "When the last of them ended, in Unix seconds; 0: never.",
            registry=registry,
        )
        self._findings = Gauge(
            "stakehold_verification_last_findings", "What the last of them has found.", registry=registry
        )
        self._seen = Gauge(
            "stakehold_ledger_seen_timestamp_seconds",
            "When the ledger was looked at the last time, in Unix seconds; 0: never.",
            registry=registry,
        )

    def see(self, condition: LedgerCondition) -> None:
        for incident, count in condition.incidents.items():
            self._incidents[incident].set(count)
        for review, count in condition.reviews.items():
            self._reviews[review].set(count)
        self._quarantined.set(condition.quarantined_records)
        if (last := condition.last_verification) is not None:
            self._runs.set(last.count)
            self._last.set(last.ended_s)
            self._findings.set(last.finding_count)
        self._seen.set(self._now_s())


async def watch_ledger(
    postgres_url: str, metrics: LedgerMetrics, stop: asyncio.Event, *, every_s: float = _EVERY_S
) -> None:
    """Looks until told to stop. Whatever fails, it is tried again."""
    while not stop.is_set():
        try:
            await _watch_connected(postgres_url, metrics, stop, every_s)
        except StakeholdError as error:
            _log.warning("ledger_unseen", error=str(error))
        except Exception:
            _log.exception("ledger_unseen")
        await any_set(stop, timeout_s=_RETRY_S)


async def _watch_connected(
    postgres_url: str, metrics: LedgerMetrics, stop: asyncio.Event, every_s: float
) -> None:
    async with ledger_connection(
        postgres_url,
        role=LedgerRole.READER,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application="stakehold ledger watch",
    ) as connection:
        while not stop.is_set():
            metrics.see(await read_condition(connection))
            await any_set(stop, timeout_s=every_s)
