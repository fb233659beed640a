"""The composition root of `stakehold serve`: everything is made here, in order, and unmade in reverse."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from fx.currencies import initial_currencies
from persistence.audit.audit import Audit
from persistence.errors import SetupRefused
from persistence.postgres.database import LedgerRole, Pool, ledger_pool
from persistence.postgres.reading.ledger_reader import LedgerReader
from persistence.postgres.registry import PostgresRegistry
from service.hot_path import open_hot_path
from service.interceptors.answers import AnswerInterceptor
from service.metrics import CallMetrics, served_metrics
from service.reflection import add_reflection
from service.registry import Registry
from service.servicers.admin import AdminServicer
from service.servicers.deadlines import Deadlines
from service.servicers.ledger import LedgerServicer
from service.servicers.wallet import WalletServicer
from service.settings import Settings
from stakehold.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    wallet_service_pb2,
    wallet_service_pb2_grpc,
)

_log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 1 << 20
_COLLECT_EVERY = 20_000
_REGISTRY_POOL_SIZE = 2
_LEDGER_POOL_SIZE = 8

SERVICE_NAMES = (
    wallet_service_pb2.DESCRIPTOR.services_by_name["WalletService"].full_name,
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.so_reuseport", 0),
    # Beyond its own limits gRPC drops calls as CANCELLED, without a word; the service sheds before that.
    ("grpc.server.max_pending_requests", 1 << 16),
    ("grpc.server.max_pending_requests_hard_limit", 1 << 17),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that takes calls. ``address`` has the port that was bound."""

    address: str


@asynccontextmanager
async def running_server(
    settings: Settings, *, extra_handlers: Sequence[grpc.GenericRpcHandler] = ()
) -> AsyncIterator[RunningServer]:
    """Serves until the context is left; then answers what is in flight and stops.

    ``extra_handlers`` are served through the same interceptors, as the benchmark's echo is. Raises
    SetupRefused, with what to change, where the ledger or the store is not fit to serve.
    """
    async with AsyncExitStack() as stack:
        metrics_registry = CollectorRegistry()
        metrics = CallMetrics(metrics_registry)
        registry = await _open_registry(settings, stack)
        reading_pool = await _open_reading_pool(settings, stack)
        engine = await open_hot_path(settings, stack, metrics, reading_pool)
        reader = LedgerReader(reading_pool)
        audit = Audit(
            settings.postgres_url.get_secret_value(), valkey_url=settings.valkey_url.get_secret_value()
        )
        deadlines = Deadlines(settings.call_timeout_s)

        answers = AnswerInterceptor(registry, metrics, max_calls_in_flight=settings.max_calls_in_flight)
        server = grpc.aio.server(interceptors=[answers], options=_OPTIONS)
        wallet_service_pb2_grpc.add_WalletServiceServicer_to_server(
            WalletServicer(engine, registry, deadlines), server
        )
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(
            AdminServicer(engine, registry, deadlines), server
        )
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(
            LedgerServicer(reader, registry, audit, deadlines), server
        )
        server.add_generic_rpc_handlers(tuple(extra_handlers))
        health_servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        add_reflection(server, [*SERVICE_NAMES, health.SERVICE_NAME])

        port = _bind(server, settings.listen)
        await server.start()
        stack.push_async_callback(_stop, server, health_servicer, settings.shutdown_grace_s)
        if settings.metrics_listen:
            stack.enter_context(served_metrics(settings.metrics_listen, metrics_registry))
        for name in ("", *SERVICE_NAMES):
            await health_servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        address = f"{settings.listen.rpartition(':')[0]}:{port}"
        _keep_startup_objects_from_collection()
        _log.info(
            "serving",
            address=address,
            durability=settings.durability.value,
            replicas=settings.confirming_replicas(),
        )
        yield RunningServer(address)


async def _open_registry(settings: Settings, stack: AsyncExitStack) -> Registry:
    pool = await stack.enter_async_context(
        ledger_pool(
            settings.postgres_url.get_secret_value(),
            role=LedgerRole.REGISTRAR,
            size=_REGISTRY_POOL_SIZE,
            statement_timeout_s=settings.call_timeout_s,
            application="stakehold serve",
        )
    )
    store = PostgresRegistry(pool)
    await store.plant_currencies(initial_currencies())
    registry = Registry(store)
    await registry.refresh()
    refresher = asyncio.create_task(registry.keep_fresh(settings.registry_refresh_s), name="registry")
    stack.push_async_callback(_cancel, refresher)
    return registry


async def _open_reading_pool(settings: Settings, stack: AsyncExitStack) -> Pool:
    return await stack.enter_async_context(
        ledger_pool(
            settings.postgres_url.get_secret_value(),
            role=LedgerRole.READER,
            size=_LEDGER_POOL_SIZE,
            statement_timeout_s=settings.call_timeout_s,
            application="stakehold serve",
        )
    )


def _keep_startup_objects_from_collection() -> None:
    """What was made so far lives as long as the process: looking through it again and again costs stalls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def _bind(server: grpc.aio.Server, listen: str) -> int:
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise SetupRefused(
            f"cannot listen on {listen}: {error}; set STAKEHOLD_LISTEN to a free one"
        ) from error
    return int(port)


async def _stop(server: grpc.aio.Server, health_servicer: health.aio.HealthServicer, grace_s: float) -> None:
    """Says that it stops, answers what is in flight, and closes."""
    _log.info("stopping", grace_s=grace_s)
    await health_servicer.enter_graceful_shutdown()
    await server.stop(grace_s)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
