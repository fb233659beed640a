"""The composition root of `stakehold serve`: everything is made here, in order, and unmade in reverse."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import structlog

from service.admission import Admission
from service.api import Service, open_api
from service.callers.gate_opening import open_gate
from service.callers.opening import open_entrance
from service.eventing.subscriptions import Subscriptions
from service.interceptors.answers import AnswerInterceptor
from service.interceptors.doors import Doors
from service.listener import Listener
from service.metrics import CallMetrics, served_metrics
from service.readiness import Readiness
from service.settings import Settings
from service.telemetry.opening import open_traces
from service.telemetry.process_metrics import Process, process_registry

_log = structlog.get_logger(__name__)

_APPLICATION = "stakehold serve"
_COLLECT_EVERY = 20_000
_QUIET_S = 0.1
_MOST_REFUSING_S = 2.0
"""Once gRPC itself closes, calls that are on their way end as CANCELLED: so nobody should call any more."""
_LAST_GRACE_S = 0.5
"""For answers to leave once all calls are done. Whoever still holds a reflection's stream is cut off then."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that takes calls. The addresses have the ports that were bound; ``admin_address`` is "" where
    the administrative services have none of their own.
    """

    address: str
    admin_address: str = ""


@asynccontextmanager
async def running_server(
    settings: Settings,
    *,
    extra_handlers: Sequence[grpc.GenericRpcHandler] = (),
    readiness: Readiness | None = None,
) -> AsyncIterator[RunningServer]:
    """Serves until the context is left; then answers what is in flight and stops.

    ``extra_handlers`` are served through the same interceptors, as the benchmark's echo is. ``readiness`` is
    told when calls are taken, and when they are taken no more. Raises SetupRefused, with what to change,
    where the ledger or the store is not fit to serve.
    """
    readiness = readiness or Readiness()
    async with AsyncExitStack() as stack:
        metrics_registry = process_registry(Process.SERVE)
        traces = await stack.enter_async_context(open_traces(settings, metrics_registry, role="serve"))
        identifier, door = await open_entrance(settings, stack, metrics_registry)
        metrics = CallMetrics(metrics_registry)
        admission = Admission(settings.max_calls_in_flight)
        bulk_admission = Admission(settings.max_bulk_calls)
        metrics.watch_in_flight(lambda: admission.in_flight)
        gate = await open_gate(settings, stack, metrics_registry, application=_APPLICATION)
        api = await open_api(
            settings,
            stack,
            metrics=metrics,
            metrics_registry=metrics_registry,
            gate=gate,
            admission=admission,
            bulk_admission=bulk_admission,
            traces=traces,
        )
        doors = Doors(api.rate_limits, admission, bulk_admission, is_provider=api.is_provider)

        def listener(
            listen: str,
            services: Sequence[Service],
            setting: str,
            handlers: Sequence[grpc.GenericRpcHandler] = (),
        ) -> Listener:
            answers = AnswerInterceptor(
                identifier,
                gate,
                api.registry,
                metrics,
                doors,
                recheck_s=settings.caller_recheck_s,
            )
            return Listener(
                listen,
                services,
                [*traces.interceptors(), answers],
                door=door,
                setting=setting,
                max_connections=settings.max_connections,
                connection_age_s=settings.connection_age_s,
                extra_handlers=handlers,
            )

        apart = [service for service in api.services if service.is_administrative and settings.admin_listen]
        beside = [service for service in api.services if service not in apart]
        listeners = [listener(settings.listen, beside, "STAKEHOLD_LISTEN", extra_handlers)]
        if apart:
            listeners.append(listener(settings.admin_listen, apart, "STAKEHOLD_ADMIN_LISTEN"))
        for each in listeners:
            await each.start()
        stack.push_async_callback(
            _stop,
            listeners,
            [admission, bulk_admission],
            api.subscriptions,
            readiness,
            notice_s=settings.stop_notice_s,
            grace_s=settings.shutdown_grace_s,
        )
        if settings.metrics_listen:
            stack.enter_context(
                served_metrics(settings.metrics_listen, metrics_registry, is_ready=lambda: readiness.is_ready)
            )
        for each in listeners:
            each.serve()
        readiness.started(api.is_usable)
        _keep_startup_objects_from_collection()
        _log.info(
            "serving",
            address=listeners[0].address,
            admin_address=listeners[1].address if apart else "",
            durability=settings.durability.value,
            replicas=settings.confirming_replicas(),
        )
        yield RunningServer(listeners[0].address, listeners[1].address if apart else "")


def _keep_startup_objects_from_collection() -> None:
    """What was made so far lives as long as the process: looking through it again and again costs stalls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


async def _stop(
    listeners: Sequence[Listener],
    admissions: Sequence[Admission],
    subscriptions: Subscriptions,
    readiness: Readiness,
    *,
    notice_s: float,
    grace_s: float,
) -> None:
    """Says that it stops; then refuses what comes, answers what is in flight, and closes."""
    _log.info("stopping", notice_s=notice_s, grace_s=grace_s)
    readiness.stopping()
    for listener in listeners:
        listener.announce_end()
    await asyncio.sleep(notice_s)
    for admission in admissions:
        admission.stop()
    subscriptions.stop()
    loop = asyncio.get_running_loop()
    latest = loop.time() + grace_s
    with suppress(TimeoutError):
        async with asyncio.timeout_at(latest):
            for admission in admissions:
                await admission.until_idle()
    with suppress(TimeoutError):
        async with asyncio.timeout_at(min(latest, loop.time() + _MOST_REFUSING_S)):
            await admissions[0].until_quiet(_QUIET_S)
    last_grace_s = min(_LAST_GRACE_S, max(0.0, latest - loop.time()))
    await asyncio.gather(*(listener.stop(last_grace_s) for listener in listeners))
