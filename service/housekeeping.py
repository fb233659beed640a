"""What goes on beside the drain: repairs, and keeping the store's memory to what is in use."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from persistence.acknowledged import AcknowledgedTail
from persistence.drainer import wall_clock_ms
from persistence.errors import NotDone, OutcomeUnknown
from persistence.forgetting import FORGETTING_SCRIPTS, Forgetter, Pace
from persistence.partition_guard import GuardSettings, PartitionGuard
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import LedgerRole, ledger_connection, ledger_pool
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.reading.memory import LedgerMemory
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.valkey.engine import SCRIPTS, Engine
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.hydration import Hydration
from persistence.valkey.store import open_store
from service.settings import Settings

_log = structlog.get_logger(__name__)

_POOL_SIZE = 2
_STATEMENT_TIMEOUT_S = 30.0
_MOST_WAITING = 10_000
_REPAIR_EVERY_S = 1.0
_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class House:
    """What is needed to keep it."""

    ledger: AdoptingLedger
    repairs: RepairList
    repairing: Repairing
    forgetter: Forgetter


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    """Connected to the store and the ledger. Raises SetupRefused, LedgerUnavailable and StoreUnavailable."""
    postgres_url = settings.postgres_url.get_secret_value()
    valkey_url = settings.valkey_url.get_secret_value()
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            ledger_connection(
                postgres_url,
                role=LedgerRole.WRITER,
                statement_timeout_s=_STATEMENT_TIMEOUT_S,
                application="stakehold housekeeping",
            )
        )
        ledger = await read_settings(connection)
        pool = await stack.enter_async_context(
            ledger_pool(
                postgres_url,
                role=LedgerRole.READER,
                size=_POOL_SIZE,
                statement_timeout_s=_STATEMENT_TIMEOUT_S,
                application="stakehold housekeeping",
            )
        )
        store = await stack.enter_async_context(
            open_store(
                valkey_url,
                scripts=(*SCRIPTS, *FORGETTING_SCRIPTS),
                timeout_s=settings.store_timeout_s,
                max_waiting=_MOST_WAITING,
                replicas=settings.confirming_replicas(),
            )
        )
        players = await stack.enter_async_context(
            hot_wallets(
                valkey_url, partition_count=ledger.partition_count, timeout_s=settings.store_timeout_s
            )
        )
        memory = LedgerMemory(pool)
        hydration = await stack.enter_async_context(
            Hydration(store, memory, window_s=settings.window_s, now_ms=wall_clock_ms)
        )
        guard = PartitionGuard(
            GuardSettings(
                postgres_url,
                valkey_url,
                ledger.ledger_id,
                uuid.uuid4().hex,
                recovery=settings.recovery.value,
            ),
            AcknowledgedTail(),
        )
        await guard.start()
        engine = Engine(store, partition_count=ledger.partition_count, adoptions=guard, hydration=hydration)
        adopting, repairs = AdoptingLedger(connection), RepairList(connection)
        forgetter = Forgetter(store, players, adopting, memory, ledger_id=ledger.ledger_id)
        yield House(adopting, repairs, Repairing(engine, adopting, repairs, forgetter), forgetter)


async def keep_house(settings: Settings, stop: asyncio.Event) -> None:
    """Repairs every second and forgets every so often, as long as no other program does."""
    while not stop.is_set():
        try:
            async with open_house(settings) as house:
                if await house.ledger.try_to_keep_house():
                    await _keep(house, settings, stop)
        except (NotDone, OutcomeUnknown) as error:
            _log.warning("housekeeping_interrupted", error=str(error))
        except Exception:
            # What is owed stands in the ledger: nothing is lost by trying again, and the drain must go on.
            _log.exception("housekeeping_failed")
        await _pause(stop, _RETRY_S)


async def _keep(house: House, settings: Settings, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    sweep_time = 0.0
    while not stop.is_set():
        await house.repairing.run_once()
        if loop.time() >= sweep_time:
            await house.forgetter.sweep(wall_clock_ms, Pace(settings.window_s))
            sweep_time = loop.time() + settings.forget_every_s
        await _pause(stop, _REPAIR_EVERY_S)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
