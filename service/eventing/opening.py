"""Opens what a server needs to tell events."""

from contextlib import AsyncExitStack

from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.reading.chains import ChainReader
from service.eventing.metrics import EventMetrics
from service.eventing.subscriptions import SubscriptionLimits, Subscriptions
from service.eventing.tail import Tail
from service.settings import Settings

_POOL_SIZE = 3
"""A pool of its own, so that whoever catches up takes no connection from calls that wait for the ledger."""


async def open_subscriptions(
    settings: Settings, stack: AsyncExitStack, metrics: EventMetrics, *, application: str
) -> Subscriptions:
    """Nothing is read before somebody subscribes."""
    pool = await stack.enter_async_context(
        ledger_pool(
            settings.postgres_url.get_secret_value(),
            role=LedgerRole.READER,
            size=_POOL_SIZE,
            statement_timeout_s=settings.call_timeout_s,
            application=application,
        )
    )
    reader = ChainReader(pool, timeout_s=settings.call_timeout_s)
    tail = Tail(reader, keep=settings.event_tail_entries, poll_s=settings.event_poll_s)
    limits = SubscriptionLimits(settings.event_heartbeat_s, settings.max_subscribers)
    return Subscriptions(reader, tail, await reader.settings(), limits, metrics)
