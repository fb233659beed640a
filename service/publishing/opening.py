"""Opens what the settings ask for: the ledger, and the sink."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from persistence.postgres.database import LedgerRole, ledger_connection, ledger_pool
from persistence.postgres.migrating import require_migrated
from persistence.postgres.publications import PUBLISHER_SETTINGS, Publications
from persistence.postgres.reading.chains import ChainReader
from persistence.postgres.registry import PostgresRegistry
from service.publishing.publish_settings import PublishSettings, SinkKind
from service.publishing.publisher import LedgerSide
from service.publishing.sinks import Sink
from service.registry import Registry

_APPLICATION = "stakehold publish"
_POOL_SIZE = 2
_STATEMENT_TIMEOUT_S = 10.0


async def open_ledger_side(settings: PublishSettings, stack: AsyncExitStack) -> LedgerSide:
    """Raises SetupRefused where the ledger is not migrated, and LedgerUnavailable."""
    url = settings.postgres_url.get_secret_value()
    pool = await stack.enter_async_context(
        ledger_pool(
            url,
            role=LedgerRole.READER,
            size=_POOL_SIZE,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
            application=_APPLICATION,
        )
    )
    async with pool.acquire() as connection:
        await require_migrated(connection)
    reader = ChainReader(pool, timeout_s=_STATEMENT_TIMEOUT_S)
    registry = Registry(PostgresRegistry(pool))
    await registry.refresh()
    publisher_id = uuid.uuid4().hex

    @asynccontextmanager
    async def open_publications() -> AsyncIterator[Publications]:
        async with ledger_connection(
            url,
            role=LedgerRole.PUBLISHER,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
            application=_APPLICATION,
            settings=PUBLISHER_SETTINGS,
        ) as connection:
            yield Publications(
                connection, sink=settings.sink_name(), publisher_id=publisher_id, lease_s=settings.lease_s
            )

    return LedgerSide((await reader.settings()).ledger_id, reader, registry, open_publications)


async def open_sink(settings: PublishSettings) -> Sink:
    """Only the library of the sink that is asked for is loaded. Raises SinkUnavailable."""
    if settings.kind is SinkKind.NATS:
        from service.publishing.nats_sink import open_nats  # noqa: PLC0415

        return await open_nats(settings)
    from service.publishing.kafka_sink import open_kafka  # noqa: PLC0415

    return await open_kafka(settings)
