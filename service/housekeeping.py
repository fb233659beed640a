"""What goes on beside the drain: repairs, and keeping the store's memory to what is in use.

Neither waits for the other: with a million players a sweep takes minutes, and who is owed something has
waited long enough. So each has connections of its own, and goes on when the other cannot.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from persistence.acknowledged import AcknowledgedTail
from persistence.drainer import wall_clock_ms
from persistence.errors import NotDone, OutcomeUnknown
from persistence.forgetting import FORGETTING_SCRIPTS, Forgetter, Limits, Pace
from persistence.partition_guard import GuardSettings, PartitionGuard
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, LedgerRole, ledger_connection, ledger_pool
from persistence.postgres.ledger_settings import LedgerSettings, read_settings
from persistence.postgres.reading.memory import LedgerMemory
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.transactions import PlayerId
from persistence.valkey.engine import SCRIPTS, Engine
from persistence.valkey.hot_wallets import HotWallets, hot_wallets
from persistence.valkey.hydration import Hydration
from persistence.valkey.store import StoreRunner, open_store
from service.settings import Settings

_log = structlog.get_logger(__name__)

_APPLICATION = "stakehold housekeeping"
_POOL_SIZE = 2
_STATEMENT_TIMEOUT_S = 30.0
_MOST_WAITING = 10_000
_REPAIR_EVERY_S = 1.0
_LOOK_EVERY_S = 1.0
_CANCEL_EVERY_S = 1.0
_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class _Places:
    """Where one of the two works: a store and a ledger, on connections that nobody else uses."""

    connection: Connection
    ledger: LedgerSettings
    memory: LedgerMemory
    store: StoreRunner

    def forgetter(self, players: HotWallets) -> Forgetter:
        ledger = AdoptingLedger(self.connection)
        return Forgetter(self.store, players, ledger, self.memory, ledger_id=self.ledger.ledger_id)


@dataclass(frozen=True, slots=True)
class _SeldomForgetter:
    """Looks for the store's primaries each time: in between they may be others, and some of them down."""

    settings: Settings
    places: _Places

    async def forget(
        self, found: Iterable[tuple[int, PlayerId]], limits: Limits
    ) -> set[tuple[int, PlayerId]]:
        async with _hot_wallets(self.settings, self.places, must_all_answer=False) as players:
            return await self.places.forgetter(players).forget(found, limits)


@asynccontextmanager
async def open_repairing(settings: Settings) -> AsyncIterator[Repairing]:
    """Connected to the ledger, and to the store as far as it can be reached.

    Raises SetupRefused, LedgerUnavailable and StoreUnavailable.
    """
    postgres_url = settings.postgres_url.get_secret_value()
    valkey_url = settings.valkey_url.get_secret_value()
    async with _places(settings, LedgerRole.WRITER) as places:
        hydration = Hydration(places.store, places.memory, window_s=settings.window_s, now_ms=wall_clock_ms)
        guard = PartitionGuard(
            GuardSettings(
                postgres_url,
                valkey_url,
                places.ledger.ledger_id,
                uuid.uuid4().hex,
                recovery=settings.recovery.value,
            ),
            AcknowledgedTail(),
        )
        await guard.start()
        async with hydration:
            engine = Engine(
                places.store,
                partition_count=places.ledger.partition_count,
                adoptions=guard,
                hydration=hydration,
            )
            ledger, repairs = AdoptingLedger(places.connection), RepairList(places.connection)
            yield Repairing(engine, ledger, repairs, _SeldomForgetter(settings, places))


async def keep_house(settings: Settings, stop: asyncio.Event) -> None:
    """Repairs every second and forgets every so often, as long as no other program does."""
    await _again_and_again(lambda: _keep_alone(settings, stop), stop)


async def _keep_alone(settings: Settings, stop: asyncio.Event) -> None:
    """Holds the lock, which is the connection's, and has both done for as long as it does."""
    async with _ledger_connection(settings, LedgerRole.WRITER) as connection:
        ledger = AdoptingLedger(connection)
        if not await ledger.try_to_keep_house():
            return
        _log.info("keeping_house")
        works = [
            asyncio.create_task(_again_and_again(lambda: _repair(settings, stop), stop), name="repairs"),
            asyncio.create_task(_again_and_again(lambda: _sweep(settings, stop), stop), name="sweeps"),
        ]
        try:
            while not stop.is_set():
                await ledger.still_keep_house()
                await _pause(stop, _LOOK_EVERY_S)
        finally:
            await _end(works)


async def _end(works: Sequence["asyncio.Task[None]"]) -> None:
    """In the middle, if need be, as a crash would: neither does anything by halves.

    Again and again, for a driver that is about to get its answer may lose a cancellation.
    """
    pending = set(works)
    while pending:
        for work in pending:
            work.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_EVERY_S)


async def _repair(settings: Settings, stop: asyncio.Event) -> None:
    async with open_repairing(settings) as repairing:
        while not stop.is_set():
            await repairing.run_once()
            await _pause(stop, _REPAIR_EVERY_S)


async def _sweep(settings: Settings, stop: asyncio.Event) -> None:
    async with (
        _places(settings, LedgerRole.READER) as places,
        _hot_wallets(settings, places, must_all_answer=True) as players,
    ):
        forgetter = places.forgetter(players)
        while not stop.is_set():
            await forgetter.sweep(wall_clock_ms, Pace(settings.window_s))
            await _pause(stop, settings.forget_every_s)


async def _again_and_again(work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Until the stop, whatever ends it: nobody else would begin again."""
    while not stop.is_set():
        try:
            await work()
        except (NotDone, OutcomeUnknown) as error:
            _log.warning("housekeeping_interrupted", error=str(error))
        except Exception:
            # What is owed stands in the ledger: nothing is lost by trying again, and the drain must go on.
            _log.exception("housekeeping_failed")
        await _pause(stop, _RETRY_S)


@asynccontextmanager
async def _places(settings: Settings, role: LedgerRole) -> AsyncIterator[_Places]:
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_ledger_connection(settings, role))
        ledger = await read_settings(connection)
        pool = await stack.enter_async_context(
            ledger_pool(
                settings.postgres_url.get_secret_value(),
                role=LedgerRole.READER,
                size=_POOL_SIZE,
                statement_timeout_s=_STATEMENT_TIMEOUT_S,
                application=_APPLICATION,
            )
        )
        store = await stack.enter_async_context(
            open_store(
                settings.valkey_url.get_secret_value(),
                scripts=(*SCRIPTS, *FORGETTING_SCRIPTS),
                timeout_s=settings.store_timeout_s,
                max_waiting=_MOST_WAITING,
                replicas=settings.confirming_replicas(),
            )
        )
        yield _Places(connection, ledger, LedgerMemory(pool), store)


def _ledger_connection(settings: Settings, role: LedgerRole) -> AbstractAsyncContextManager[Connection]:
    return ledger_connection(
        settings.postgres_url.get_secret_value(),
        role=role,
        statement_timeout_s=_STATEMENT_TIMEOUT_S,
        application=_APPLICATION,
    )


def _hot_wallets(
    settings: Settings, places: _Places, *, must_all_answer: bool
) -> AbstractAsyncContextManager[HotWallets]:
    return hot_wallets(
        settings.valkey_url.get_secret_value(),
        partition_count=places.ledger.partition_count,
        timeout_s=settings.store_timeout_s,
        must_all_answer=must_all_answer,
    )


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
