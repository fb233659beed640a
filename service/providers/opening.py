"""Opens what takes callbacks. What it does in the background ends with the stack."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from persistence.postgres.callbacks import CallbackTable
from persistence.postgres.database import Pool
from persistence.postgres.sessions import SessionTable
from persistence.valkey.engine import Engine
from service.providers.applying import Applying
from service.providers.book import ProviderBook
from service.providers.callbacks import Callbacks
from service.providers.metrics import ProviderMetrics
from service.providers.noting import AnswerNotes
from service.providers.sessions import Sessions
from service.rate_limits import RateLimits
from service.registry import Registry


async def open_callbacks(
    stack: AsyncExitStack,
    pool: Pool,
    engine: Engine,
    registry: Registry,
    metrics: ProviderMetrics,
    rate_limits: RateLimits,
    *,
    providers_file: Path | None,
) -> tuple[Callbacks, Sessions, ProviderBook]:
    """The pool's connections need LedgerRole.CALLBACKS. Raises SetupRefused where the file cannot be used."""
    book = ProviderBook(providers_file, metrics)
    await book.open()
    table, sessions = CallbackTable(pool), Sessions(SessionTable(pool))
    notes = AnswerNotes(table, metrics)
    stack.push_async_callback(notes.close)
    _keep_running(stack, asyncio.create_task(notes.run(), name="answer-notes"))
    _keep_running(stack, asyncio.create_task(book.keep_fresh(), name="providers-file"))
    callbacks = Callbacks(book, table, Applying(engine, registry, sessions), notes, metrics, rate_limits)
    return callbacks, sessions, book


def _keep_running(stack: AsyncExitStack, task: "asyncio.Task[None]") -> None:
    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
