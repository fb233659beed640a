"""Makes the hot path of a process: the way to the store, the guard over the partitions, and the engine."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog

from persistence.acknowledged import AcknowledgedTail
from persistence.drainer import wall_clock_ms
from persistence.outbox_pressure import Marks, OutboxPressure, OutboxWatch
from persistence.partition_guard import GuardSettings, PartitionGuard
from persistence.postgres.database import LedgerRole, Pool, ledger_connection
from persistence.postgres.ledger_settings import LedgerSettings, read_settings
from persistence.postgres.migrating import require_migrated
from persistence.postgres.reading.memory import LedgerMemory
from persistence.store_reach import StoreReach
from persistence.valkey.engine import SCRIPTS, Engine
from persistence.valkey.hydration import Hydration
from persistence.valkey.outbox_reader import OutboxSurvey
from persistence.valkey.requests import RateOffers
from persistence.valkey.store import open_store
from service.metrics import CallMetrics
from service.settings import Settings

_log = structlog.get_logger(__name__)

_WATCH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class HotPath:
    """The engine, and what it sees of how full everything is."""

    engine: Engine
    pressure: OutboxPressure
    partition_count: int
    is_usable: Callable[[], bool]
    """Whether any partition takes calls, as far as is known: it is not fenced, and its store answered lately.
    One is enough: where a shard of a Cluster is down, all servers miss it, and none of them is better.
    """


async def open_hot_path(
    settings: Settings,
    stack: AsyncExitStack,
    metrics: CallMetrics,
    reading_pool: Pool,
    rates: RateOffers,
    *,
    application: str,
) -> HotPath:
    """Checks that the store is safe and is the ledger's, takes over what has to be, and leaves out the rest.

    Raises SetupRefused, with what to change, where the ledger or the store is not fit to serve.
    """
    ledger = await _read_ledger(settings, application)
    store = await stack.enter_async_context(
        open_store(
            settings.valkey_url.get_secret_value(),
            scripts=SCRIPTS,
            timeout_s=settings.store_timeout_s,
            max_waiting=settings.max_waiting_calls,
            replicas=settings.confirming_replicas(),
        )
    )
    await store.connect()
    store.on_batch = metrics.observe_batch
    store.on_unconfirmed = metrics.count_unconfirmed
    store.on_stage = metrics.observe_stage
    metrics.set_durability(settings.durability.value, settings.confirming_replicas())
    metrics.watch_waiting(lambda: store.waiting_count)

    acknowledged = AcknowledgedTail()
    guard = await _start_guard(settings, stack, ledger, acknowledged)
    hydration = await stack.enter_async_context(
        Hydration(store, LedgerMemory(reading_pool), window_s=settings.window_s, now_ms=wall_clock_ms)
    )
    reach = StoreReach(lasting_s=_WATCH_EVERY_S + 2 * settings.store_timeout_s)
    pressure = await _start_watch(settings, stack, ledger, reach)
    metrics.watch_guard(lambda: guard.view)
    metrics.watch_pressure(pressure.counts)
    metrics.watch_store(waiting_records=pressure.waiting_records, memory_share=pressure.memory_share)
    metrics.watch_hydration(lambda: hydration.counts)
    engine = Engine(
        store,
        partition_count=ledger.partition_count,
        adoptions=guard,
        hydration=hydration,
        rates=rates,
        acknowledged=acknowledged,
        room=pressure,
        on_call_end=metrics.transactions.count,
    )
    return HotPath(engine, pressure, ledger.partition_count, partial(_is_usable, guard, reach, ledger))


async def _read_ledger(settings: Settings, application: str) -> LedgerSettings:
    async with ledger_connection(
        settings.postgres_url.get_secret_value(),
        role=LedgerRole.READER,
        statement_timeout_s=settings.call_timeout_s,
        application=application,
    ) as connection:
        await require_migrated(connection)
        return await read_settings(connection, expected_partition_count=settings.partitions)


async def _start_guard(
    settings: Settings, stack: AsyncExitStack, ledger: LedgerSettings, acknowledged: AcknowledgedTail
) -> PartitionGuard:
    guard = PartitionGuard(
        GuardSettings(
            settings.postgres_url.get_secret_value(),
            settings.valkey_url.get_secret_value(),
            ledger_id=ledger.ledger_id,
            server_id=uuid.uuid4().hex,
            recovery=settings.recovery.value,
            timeout_s=settings.store_timeout_s + 1.0,
        ),
        acknowledged,
    )
    await guard.start()
    stack.push_async_callback(guard.withdraw)
    watching = asyncio.create_task(guard.run(), name="partition-guard")
    stack.push_async_callback(_cancel, watching)
    return guard


def _is_usable(guard: PartitionGuard, reach: StoreReach, ledger: LedgerSettings) -> bool:
    return any(
        reach.reaches(partition) and guard.witness(partition) is not None
        for partition in range(ledger.partition_count)
    )


async def _start_watch(
    settings: Settings, stack: AsyncExitStack, ledger: LedgerSettings, reach: StoreReach
) -> OutboxPressure:
    """Returns after the first look."""
    pressure = OutboxPressure(
        Marks(high_records=settings.outbox_high_records, hard_records=settings.outbox_hard_records)
    )

    def look(surveys: Mapping[int, OutboxSurvey]) -> None:
        pressure.look(surveys)
        reach.look(surveys)

    watch = OutboxWatch(
        look,
        valkey_url=settings.valkey_url.get_secret_value(),
        partition_count=ledger.partition_count,
        timeout_s=settings.store_timeout_s,
        every_s=_WATCH_EVERY_S,
    )
    watching = asyncio.create_task(watch.run(), name="outbox-watch")
    stack.push_async_callback(_cancel, watching)
    await watch.looked.wait()
    return pressure


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
