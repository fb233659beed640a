"""The composition root of `stakehold serve`: everything is made here, in order, and unmade in reverse."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1 import health, health_pb2_grpc
from prometheus_client import CollectorRegistry

from persistence.audit.audit import Audit
from persistence.errors import SetupRefused
from persistence.postgres.inbox.accepting import Accepting
from persistence.postgres.inbox.reading import InboxReader
from persistence.postgres.rate_reader import RateReader
from persistence.postgres.reading.ledger_reader import LedgerReader
from persistence.postgres.reading.positions import PositionReader
from persistence.postgres.reading.rounds import RoundLedger
from persistence.postgres.reading.slips import SlipReader
from persistence.postgres.reviews import Reviews
from persistence.rounds import Rounds
from service.admission import Admission
from service.approval_limits import ApprovalLimits
from service.eventing.metrics import EventMetrics
from service.eventing.opening import open_subscriptions
from service.eventing.subscriptions import Subscriptions
from service.flow import Roads
from service.hot_path import open_hot_path
from service.interceptors.answers import AnswerInterceptor
from service.metrics import CallMetrics, served_metrics
from service.opening import (
    cash_desk,
    open_cashier_pool,
    open_inbox_pool,
    open_quotes,
    open_rates,
    open_reading_pool,
    open_registrar_pool,
    open_registry,
)
from service.rates import system_now_ms
from service.reflection import add_reflection
from service.servicers.admin import AdminServicer
from service.servicers.bulk import SERVICE_NAME as BULK_SERVICE_NAME
from service.servicers.bulk import BulkServicer, add_bulk_service
from service.servicers.cashier import CashierServicer
from service.servicers.deadlines import Deadlines
from service.servicers.events import EventServicer
from service.servicers.fx import FxServicer
from service.servicers.health import HealthServicer
from service.servicers.ledger import LedgerServicer
from service.servicers.rounds import RoundServicer
from service.servicers.sportsbook import SportsbookServicer
from service.servicers.submission import SubmissionServicer
from service.servicers.wallet import WalletServicer
from service.settings import Settings
from stakehold.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    cashier_service_pb2,
    cashier_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    fx_service_pb2,
    fx_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    round_service_pb2,
    round_service_pb2_grpc,
    sportsbook_service_pb2,
    sportsbook_service_pb2_grpc,
    submission_service_pb2,
    submission_service_pb2_grpc,
    wallet_service_pb2,
    wallet_service_pb2_grpc,
)

_log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 1 << 20
_COLLECT_EVERY = 20_000
_QUIET_S = 0.1
_MOST_REFUSING_S = 2.0
"""Once gRPC itself closes, calls that are on their way end as CANCELLED: so nobody should call any more."""
_LAST_GRACE_S = 0.5
"""For answers to leave once all calls are done. Whoever still holds a reflection's stream is cut off then."""
_APPLICATION = "stakehold serve"

SERVICE_NAMES = (
    wallet_service_pb2.DESCRIPTOR.services_by_name["WalletService"].full_name,
    ledger_service_pb2.DESCRIPTOR.services_by_name["LedgerService"].full_name,
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
    fx_service_pb2.DESCRIPTOR.services_by_name["FxService"].full_name,
    submission_service_pb2.DESCRIPTOR.services_by_name["SubmissionService"].full_name,
    BULK_SERVICE_NAME,
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    round_service_pb2.DESCRIPTOR.services_by_name["RoundService"].full_name,
    sportsbook_service_pb2.DESCRIPTOR.services_by_name["SportsbookService"].full_name,
    cashier_service_pb2.DESCRIPTOR.services_by_name["CashierService"].full_name,
)

_PENDING_CALLS = 512
"""That are not read yet. A longer queue would be no kindness: what comes out of it is out of time."""

_STREAMS_PER_CONNECTION = 100
"""Calls beyond that wait with the caller, until its own deadline, and cost nothing here."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
    # It refuses streams that a client may well open, while calls that ended are still being cleared away.
    ("grpc.http.overload_protection", 0),
    # Beyond them gRPC drops calls as CANCELLED, without a word, for a tenth of what a refusal costs here.
    ("grpc.server.max_pending_requests", _PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS),
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
        registrar_pool = await open_registrar_pool(settings, stack, application=_APPLICATION)
        registry = await open_registry(settings, stack, registrar_pool)
        rates = await open_rates(settings, stack, registrar_pool, registry)
        reading_pool = await open_reading_pool(settings, stack, application=_APPLICATION)
        inbox_pool = await open_inbox_pool(settings, stack, application=_APPLICATION)
        cashier_pool = await open_cashier_pool(settings, stack, application=_APPLICATION)
        quotes = await open_quotes(settings, stack, registrar_pool, registry, rates)
        hot_path = await open_hot_path(
            settings, stack, metrics, reading_pool, rates, application=_APPLICATION
        )
        engine = hot_path.engine
        reader = LedgerReader(reading_pool)
        audit = Audit(
            settings.postgres_url.get_secret_value(), valkey_url=settings.valkey_url.get_secret_value()
        )
        deadlines = Deadlines(settings.call_timeout_s)
        event_metrics = EventMetrics(metrics_registry)
        subscriptions = await open_subscriptions(settings, stack, event_metrics, application=_APPLICATION)

        admission = Admission(settings.max_calls_in_flight)
        bulk_admission = Admission(settings.max_bulk_calls)
        metrics.watch_in_flight(lambda: admission.in_flight)
        answers = AnswerInterceptor(registry, metrics, admission, bulk_admission)
        server = grpc.aio.server(interceptors=[answers], options=_OPTIONS)
        wallet_service_pb2_grpc.add_WalletServiceServicer_to_server(
            WalletServicer(engine, registry, quotes, deadlines), server
        )
        sportsbook_service_pb2_grpc.add_SportsbookServiceServicer_to_server(
            SportsbookServicer(engine, registry, SlipReader(reading_pool), deadlines), server
        )
        desk, cases, _ = cash_desk(cashier_pool, engine, registry)
        cashier_service_pb2_grpc.add_CashierServiceServicer_to_server(
            CashierServicer(
                desk,
                cases,
                registry,
                deadlines,
                limits=ApprovalLimits(settings.second_approval_above, registry),
                deposit_expiry_s=settings.deposit_expiry_s,
            ),
            server,
        )
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(
            AdminServicer(engine, registry, deadlines), server
        )
        ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server(
            LedgerServicer(reader, registry, audit, deadlines), server
        )
        round_service_pb2_grpc.add_RoundServiceServicer_to_server(
            RoundServicer(
                engine,
                Rounds(engine, RoundLedger(reading_pool)),
                Reviews(registrar_pool),
                registry,
                deadlines,
            ),
            server,
        )
        fx_service_pb2_grpc.add_FxServiceServicer_to_server(
            FxServicer(
                rates,
                RateReader(registrar_pool),
                PositionReader(reading_pool),
                registry,
                deadlines,
                now_ms=system_now_ms,
            ),
            server,
        )
        submission_service_pb2_grpc.add_SubmissionServiceServicer_to_server(
            SubmissionServicer(
                Accepting(inbox_pool),
                InboxReader(reading_pool),
                registry,
                quotes,
                deadlines,
                partition_count=hot_path.partition_count,
            ),
            server,
        )
        roads = Roads(engine, registry, quotes, admission, metrics, settings.max_commands_under_way)
        add_bulk_service(BulkServicer(roads, bulk_admission, deadlines), server)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(
            EventServicer(subscriptions, registry, event_metrics, patience_s=settings.event_patience_s),
            server,
        )
        server.add_generic_rpc_handlers(tuple(extra_handlers))
        health_servicer = HealthServicer(["", *SERVICE_NAMES])
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        add_reflection(server, [*SERVICE_NAMES, health.SERVICE_NAME])

        port = _bind(server, settings.listen)
        await server.start()
        stack.push_async_callback(
            _stop,
            server,
            health_servicer,
            admission,
            bulk_admission,
            subscriptions,
            grace_s=settings.shutdown_grace_s,
        )
        if settings.metrics_listen:
            stack.enter_context(served_metrics(settings.metrics_listen, metrics_registry))
        health_servicer.serve()
        address = f"{settings.listen.rpartition(':')[0]}:{port}"
        _keep_startup_objects_from_collection()
        _log.info(
            "serving",
            address=address,
            durability=settings.durability.value,
            replicas=settings.confirming_replicas(),
        )
        yield RunningServer(address)


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


async def _stop(
    server: grpc.aio.Server,
    health_servicer: HealthServicer,
    admission: Admission,
    bulk_admission: Admission,
    subscriptions: Subscriptions,
    *,
    grace_s: float,
) -> None:
    """Says that it stops, refuses what comes, answers what is in flight, and closes."""
    _log.info("stopping", grace_s=grace_s)
    health_servicer.announce_end()
    admission.stop()
    bulk_admission.stop()
    subscriptions.stop()
    loop = asyncio.get_running_loop()
    latest = loop.time() + grace_s
    with suppress(TimeoutError):
        async with asyncio.timeout_at(latest):
            await admission.until_idle()
            await bulk_admission.until_idle()
    with suppress(TimeoutError):
        async with asyncio.timeout_at(min(latest, loop.time() + _MOST_REFUSING_S)):
            await admission.until_quiet(_QUIET_S)
    health_servicer.end()
    await server.stop(min(_LAST_GRACE_S, max(0.0, latest - loop.time())))
