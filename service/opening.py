"""Opens what every process that decides calls needs beside the hot path: the registry, the rates, the quotes.

Each keeps itself fresh in a background task that ends with the stack.
"""

import asyncio
from contextlib import AsyncExitStack

from fx.currencies import initial_currencies
from fx.denominations import CRYPTO_DENOMINATIONS
from persistence.cashier.desk import CashDesk
from persistence.cashier.finishing import Finisher
from persistence.postgres.cases import CaseTable
from persistence.postgres.database import LedgerRole, Pool, ledger_pool
from persistence.postgres.quote_keys import read_quote_keys
from persistence.postgres.rates import PostgresRates
from persistence.postgres.registry import PostgresRegistry
from persistence.valkey.engine import Engine
from service.quotes import QuoteLimits, Quotes
from service.rates import Rates, system_now_ms
from service.registry import Registry
from service.settings import Settings

_REGISTRAR_POOL_SIZE = 4
_LEDGER_POOL_SIZE = 8
_INBOX_POOL_SIZE = 6
_INBOX_STATEMENT_TIMEOUT_S = 30.0
_CASHIER_POOL_SIZE = 4
_RECORDER_POOL_SIZE = 3
"""One for what is written in the background, and some for administrative calls."""
_CALLBACKS_POOL_SIZE = 8
_PRUNER_POOL_SIZE = 1


async def open_registrar_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May change the registry and the rates."""
    return await _open_pool(settings, stack, LedgerRole.REGISTRAR, _REGISTRAR_POOL_SIZE, application)


async def open_reading_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May read everything but secrets."""
    return await _open_pool(settings, stack, LedgerRole.READER, _LEDGER_POOL_SIZE, application)


async def open_inbox_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May change the inbox. What it does is longer than a call."""
    return await _open_pool(
        settings,
        stack,
        LedgerRole.INBOX,
        _INBOX_POOL_SIZE,
        application,
        statement_timeout_s=_INBOX_STATEMENT_TIMEOUT_S,
    )


async def open_cashier_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May change the cashier's cases."""
    return await _open_pool(settings, stack, LedgerRole.CASHIER, _CASHIER_POOL_SIZE, application)


async def open_recorder_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May add to the access log."""
    return await _open_pool(settings, stack, LedgerRole.RECORDER, _RECORDER_POOL_SIZE, application)


async def open_callbacks_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May record callbacks, erase what they contained, and change sessions."""
    return await _open_pool(settings, stack, LedgerRole.CALLBACKS, _CALLBACKS_POOL_SIZE, application)


async def open_pruner_pool(settings: Settings, stack: AsyncExitStack, *, application: str) -> Pool:
    """May take away contents of old submitted commands and raw records; nothing of an entry or a case."""
    return await _open_pool(settings, stack, LedgerRole.PRUNER, _PRUNER_POOL_SIZE, application)


def cash_desk(pool: Pool, engine: Engine, registry: Registry) -> tuple[CashDesk, CaseTable, Finisher]:
    """Where messages about cases come in, what keeps them, and what carries them out."""
    table = CaseTable(pool)
    finisher = Finisher(
        engine,
        table,
        source=registry.source,
        currency_status=lambda code: registry.currency(code, "amount.currency_code").status,
    )
    return CashDesk(engine, table, finisher), table, finisher


async def open_registry(settings: Settings, stack: AsyncExitStack, pool: Pool) -> Registry:
    """The registry, with the currencies and denominations that every ledger has."""
    store = PostgresRegistry(pool)
    await store.plant_currencies(initial_currencies())
    await store.plant_denominations(CRYPTO_DENOMINATIONS)
    registry = Registry(store)
    await registry.refresh()
    refresher = asyncio.create_task(registry.keep_fresh(settings.registry_refresh_s), name="registry")
    stack.push_async_callback(_cancel, refresher)
    return registry


async def open_rates(settings: Settings, stack: AsyncExitStack, pool: Pool, registry: Registry) -> Rates:
    """The rates of now."""
    rates = Rates(PostgresRates(pool), registry, read_timeout_s=settings.call_timeout_s)
    await rates.refresh()
    refresher = asyncio.create_task(rates.keep_fresh(settings.registry_refresh_s), name="rates")
    stack.push_async_callback(_cancel, refresher)
    return rates


async def open_quotes(
    settings: Settings, stack: AsyncExitStack, pool: Pool, registry: Registry, rates: Rates
) -> Quotes:
    """Gives quotes, and reads those that were given."""
    limits = QuoteLimits(
        longest_ms=int(settings.quote_longest_s * 1000), grace_ms=int(settings.quote_grace_s * 1000)
    )
    quotes = Quotes(rates, registry, keys=lambda: read_quote_keys(pool), limits=limits, now_ms=system_now_ms)
    await quotes.refresh()
    refresher = asyncio.create_task(quotes.keep_fresh(), name="quote-keys")
    stack.push_async_callback(_cancel, refresher)
    return quotes


async def _open_pool(
    settings: Settings,
    stack: AsyncExitStack,
    role: LedgerRole,
    size: int,
    application: str,
    *,
    statement_timeout_s: float | None = None,
) -> Pool:
    return await stack.enter_async_context(
        ledger_pool(
            settings.postgres_url.get_secret_value(),
            role=role,
            size=size,
            statement_timeout_s=statement_timeout_s or settings.call_timeout_s,
            application=application,
        )
    )


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
