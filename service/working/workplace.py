"""What jobs work with: the same engine and registry as a server's, in a process of their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from persistence.postgres.database import Pool
from service.hot_path import HotPath, open_hot_path
from service.metrics import CallMetrics
from service.opening import (
    open_cashier_pool,
    open_inbox_pool,
    open_quotes,
    open_rates,
    open_reading_pool,
    open_registrar_pool,
    open_registry,
)
from service.quotes import Quotes
from service.registry import Registry
from service.settings import Settings
from service.telemetry.opening import open_traces
from service.telemetry.traces import Traces

APPLICATION = "stakehold work"


@dataclass(frozen=True, slots=True)
class Workplace:
    """``metrics`` is the process's registry: a job makes its metrics when it is made, not when it is run."""

    settings: Settings
    hot_path: HotPath
    registry: Registry
    quotes: Quotes
    reading_pool: Pool
    inbox_pool: Pool
    cashier_pool: Pool
    metrics: CollectorRegistry
    traces: Traces


@asynccontextmanager
async def open_workplace(settings: Settings, metrics: CollectorRegistry) -> AsyncIterator[Workplace]:
    """Raises SetupRefused, with what to change, where the ledger or the store is not fit to work with."""
    async with AsyncExitStack() as stack:
        traces = await stack.enter_async_context(open_traces(settings, metrics, role="work"))
        registrar_pool = await open_registrar_pool(settings, stack, application=APPLICATION)
        registry = await open_registry(settings, stack, registrar_pool)
        rates = await open_rates(settings, stack, registrar_pool, registry)
        reading_pool = await open_reading_pool(settings, stack, application=APPLICATION)
        inbox_pool = await open_inbox_pool(settings, stack, application=APPLICATION)
        cashier_pool = await open_cashier_pool(settings, stack, application=APPLICATION)
        quotes = await open_quotes(settings, stack, registrar_pool, registry, rates)
        hot_path = await open_hot_path(
            settings, stack, CallMetrics(metrics), reading_pool, rates, application=APPLICATION
        )
        yield Workplace(
            settings, hot_path, registry, quotes, reading_pool, inbox_pool, cashier_pool, metrics, traces
        )
