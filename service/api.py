"""The services of the API, each made of what it needs, ready to be served."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import grpc
from prometheus_client import CollectorRegistry

from persistence.audit.audit import Audit
from persistence.postgres.access_log import AccessReader
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
from service.callers.gate import Gate
from service.eventing.metrics import EventMetrics
from service.eventing.opening import open_subscriptions
from service.eventing.subscriptions import Subscriptions
from service.flow import Roads
from service.hot_path import open_hot_path
from service.metrics import CallMetrics
from service.opening import (
    cash_desk,
    open_callbacks_pool,
    open_cashier_pool,
    open_inbox_pool,
    open_quotes,
    open_rates,
    open_reading_pool,
    open_registrar_pool,
    open_registry,
)
from service.providers.metrics import ProviderMetrics
from service.providers.opening import open_callbacks
from service.rate_limits import RateLimits
from service.rates import system_now_ms
from service.registry import Registry
from service.servicers.access import AccessServicer
from service.servicers.admin import AdminServicer
from service.servicers.bulk import SERVICE_NAME as BULK_SERVICE_NAME
from service.servicers.bulk import BulkServicer, add_bulk_service
from service.servicers.cashier import CashierServicer
from service.servicers.deadlines import Deadlines
from service.servicers.events import EventServicer
from service.servicers.fx import FxServicer
from service.servicers.ledger import LedgerServicer
from service.servicers.providers import ProviderServicer
from service.servicers.rounds import RoundServicer
from service.servicers.sportsbook import SportsbookServicer
from service.servicers.submission import SubmissionServicer
from service.servicers.wallet import WalletServicer
from service.settings import Settings
from service.telemetry.rate_metrics import RateCollector
from service.telemetry.traces import Traces
from stakehold.v1.access_service_pb2_grpc import add_AccessServiceServicer_to_server
from stakehold.v1.admin_service_pb2_grpc import add_AdminServiceServicer_to_server
from stakehold.v1.cashier_service_pb2_grpc import add_CashierServiceServicer_to_server
from stakehold.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from stakehold.v1.fx_service_pb2_grpc import add_FxServiceServicer_to_server
from stakehold.v1.ledger_service_pb2_grpc import add_LedgerServiceServicer_to_server
from stakehold.v1.provider_service_pb2_grpc import add_ProviderServiceServicer_to_server
from stakehold.v1.round_service_pb2_grpc import add_RoundServiceServicer_to_server
from stakehold.v1.sportsbook_service_pb2_grpc import add_SportsbookServiceServicer_to_server
from stakehold.v1.submission_service_pb2_grpc import add_SubmissionServiceServicer_to_server
from stakehold.v1.wallet_service_pb2_grpc import add_WalletServiceServicer_to_server

_APPLICATION = "stakehold serve"


@dataclass(frozen=True, slots=True)
class Service:
    """``add_to`` has a server take its calls. What ``is_administrative`` may have an address of its own."""

    name: str
    add_to: Callable[[grpc.aio.Server], None]
    is_administrative: bool = False


@dataclass(frozen=True, slots=True)
class Api:
    """All services, and what those who serve them need to know of."""

    services: tuple[Service, ...]
    registry: Registry
    rate_limits: RateLimits
    subscriptions: Subscriptions
    is_usable: Callable[[], bool]
    is_provider: Callable[[str], bool]


async def open_api(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    metrics: CallMetrics,
    metrics_registry: CollectorRegistry,
    gate: Gate,
    admission: Admission,
    bulk_admission: Admission,
    traces: Traces,
) -> Api:
    """Opens the hot path, the ledger and what else the services work with; the stack closes it.

    Raises SetupRefused, with what to change, where the ledger or the store is not fit to serve.
    """
    registrar_pool = await open_registrar_pool(settings, stack, application=_APPLICATION)
    registry = await open_registry(settings, stack, registrar_pool)
    rates = await open_rates(settings, stack, registrar_pool, registry)
    RateCollector(metrics_registry, rates.conditions)
    reading_pool = await open_reading_pool(settings, stack, application=_APPLICATION)
    inbox_pool = await open_inbox_pool(settings, stack, application=_APPLICATION)
    cashier_pool = await open_cashier_pool(settings, stack, application=_APPLICATION)
    quotes = await open_quotes(settings, stack, registrar_pool, registry, rates)
    hot_path = await open_hot_path(settings, stack, metrics, reading_pool, rates, application=_APPLICATION)
    engine = hot_path.engine
    audit = Audit(settings.postgres_url.get_secret_value(), valkey_url=settings.valkey_url.get_secret_value())
    rate_limits = RateLimits(partial(registry.rate_limit_of, default=settings.default_rate_limit()))
    deadlines = Deadlines(settings.call_timeout_s)
    event_metrics = EventMetrics(metrics_registry)
    subscriptions = await open_subscriptions(settings, stack, event_metrics, application=_APPLICATION)
    desk, cases, _ = cash_desk(cashier_pool, engine, registry)

    wallets = WalletServicer(engine, registry, quotes, deadlines)
    ledger = LedgerServicer(LedgerReader(reading_pool), registry, audit, deadlines)
    admin = AdminServicer(engine, registry, deadlines)
    fx = FxServicer(
        rates,
        RateReader(registrar_pool),
        PositionReader(reading_pool),
        registry,
        deadlines,
        now_ms=system_now_ms,
    )
    submissions = SubmissionServicer(
        Accepting(inbox_pool),
        InboxReader(reading_pool),
        gate,
        registry,
        quotes,
        deadlines,
        partition_count=hot_path.partition_count,
    )
    roads = Roads(
        engine, registry, quotes, rate_limits, admission, metrics, settings.max_commands_under_way, traces
    )
    bulk = BulkServicer(roads, gate, bulk_admission, deadlines)
    events = EventServicer(subscriptions, registry, event_metrics, patience_s=settings.event_patience_s)
    rounds = RoundServicer(
        engine, Rounds(engine, RoundLedger(reading_pool)), Reviews(registrar_pool), registry, deadlines
    )
    sportsbook = SportsbookServicer(engine, registry, SlipReader(reading_pool), deadlines)
    cashier = CashierServicer(
        desk,
        cases,
        registry,
        deadlines,
        limits=ApprovalLimits(settings.second_approval_above, registry),
        deposit_expiry_s=settings.deposit_expiry_s,
    )
    access = AccessServicer(AccessReader(reading_pool), deadlines)
    callbacks_pool = await open_callbacks_pool(settings, stack, application=_APPLICATION)
    callbacks, sessions, book = await open_callbacks(
        stack,
        callbacks_pool,
        engine,
        registry,
        ProviderMetrics(metrics_registry),
        rate_limits,
        providers_file=settings.providers_file,
    )
    providers = ProviderServicer(callbacks, sessions, book, registry, deadlines)
    services = (
        Service(
            "stakehold.v1.WalletService",
            partial(add_WalletServiceServicer_to_server, wallets),
        ),
        Service(
            "stakehold.v1.LedgerService",
            partial(add_LedgerServiceServicer_to_server, ledger),
        ),
        Service(
            "stakehold.v1.AdminService",
            partial(add_AdminServiceServicer_to_server, admin),
            is_administrative=True,
        ),
        Service("stakehold.v1.FxService", partial(add_FxServiceServicer_to_server, fx)),
        Service(
            "stakehold.v1.SubmissionService",
            partial(add_SubmissionServiceServicer_to_server, submissions),
        ),
        Service(BULK_SERVICE_NAME, partial(add_bulk_service, bulk)),
        Service(
            "stakehold.v1.EventService",
            partial(add_EventServiceServicer_to_server, events),
        ),
        Service(
            "stakehold.v1.RoundService",
            partial(add_RoundServiceServicer_to_server, rounds),
        ),
        Service(
            "stakehold.v1.SportsbookService",
            partial(add_SportsbookServiceServicer_to_server, sportsbook),
        ),
        Service(
            "stakehold.v1.CashierService",
            partial(add_CashierServiceServicer_to_server, cashier),
        ),
        Service(
            "stakehold.v1.AccessService",
            partial(add_AccessServiceServicer_to_server, access),
            is_administrative=True,
        ),
        Service(
            "stakehold.v1.ProviderService",
            partial(add_ProviderServiceServicer_to_server, providers),
        ),
    )
    return Api(services, registry, rate_limits, subscriptions, hot_path.is_usable, book.has)
