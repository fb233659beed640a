"""Carries the ledger's entries to a sink: read, send, wait until it is confirmed, and only then note it.

Whatever ends it in between, the next one begins at the last note: what had been sent since is sent again, in
the same order. Nothing is skipped, however long the sink refuses it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from persistence.errors import LedgerUnavailable
from persistence.events import any_set
from persistence.postgres.publications import Publication, Publications
from persistence.postgres.reading.chains import ChainReader
from persistence.postgres.reading.entries import RecordedEntry
from service.conversions.ledger import currencies_of
from service.publishing.cloud_events import CloudEvent, cloud_event
from service.publishing.metrics import PublishMetrics
from service.publishing.publish_settings import PublishSettings, SinkStart
from service.publishing.sinks import Delivery, Sink, SinkUnavailable
from service.registry import Registry
from service.telemetry.traces import NoTraces, Traces

_log = structlog.get_logger(__name__)

_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 5.0

OpenSink = Callable[[], Awaitable[Sink]]
OpenPublications = Callable[[], AbstractAsyncContextManager[Publications]]
BetweenSteps = Callable[[str], Awaitable[None]]
"""Called with the name of the step that was just done. Tests end the publisher there."""


async def go_on(step: str) -> None:
    """Between steps nothing happens."""


@dataclass(frozen=True, slots=True)
class LedgerSide:
    """What a publisher needs of the ledger."""

    ledger_id: UUID
    reader: ChainReader
    registry: Registry
    open_publications: OpenPublications


class Publisher:
    """One process's share of one sink."""

    def __init__(
        self,
        settings: PublishSettings,
        ledger: LedgerSide,
        open_sink: OpenSink,
        *,
        metrics: PublishMetrics,
        between_steps: BetweenSteps = go_on,
        traces: Traces | None = None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._open_sink = open_sink
        self._metrics = metrics
        self._between_steps = between_steps
        self._traces = traces or NoTraces()
        self._failures = 0
        self._sink: Sink | None = None
        self._held: dict[int, Publication] = {}
        self._held_until_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes until told to stop. Raises CursorNotInLedger where the ledger lost what was published."""
        try:
            while not stop.is_set():
                try:
                    await self._run_connected(stop)
                except LedgerUnavailable as error:
                    await self._pause(stop, f"the ledger: {error}")
        finally:
            await self._close_sink()

    async def _run_connected(self, stop: asyncio.Event) -> None:
        """Until told to stop, on one connection of its own."""
        async with self._ledger.open_publications() as publications:
            self._held, self._held_until_s = {}, 0.0
            await publications.plant(at_end=self._settings.start is SinkStart.NOW)
            while not stop.is_set():
                await self._keep_leases(publications)
                try:
                    is_idle = await self._round(publications)
                except SinkUnavailable as error:
                    await self._pause(stop, str(error))
                    continue
                self._failures = 0
                self._metrics.is_ready = True
                if is_idle:
                    await any_set(stop, timeout_s=self._settings.poll_s)
            await publications.retire()

    async def _keep_leases(self, publications: Publications) -> None:
        """Every quarter of a lease, and before anything is sent: so it lasts until that is confirmed."""
        loop, lease_s = asyncio.get_running_loop(), self._settings.lease_s
        now_s = loop.time()
        if now_s < self._held_until_s - lease_s * 3 / 4:
            return
        held = await publications.hold()
        self._held_until_s = now_s + lease_s
        if held.keys() != self._held.keys():
            _log.info("partitions_held", sink=self._settings.sink_name(), partitions=sorted(held))
        self._held = held
        self._metrics.set_held(len(held))

    async def _round(self, publications: Publications) -> bool:
        """One page. Whether there was nothing to send. Raises SinkUnavailable, with what got there noted."""
        events = await self._read()
        sink = self._sink = self._sink or await self._open_sink()
        if not events:
            return True
        if asyncio.get_running_loop().time() > self._held_until_s - 2.5 * self._settings.timeout_s:
            return False  # reading or opening took so long that the leases have to be renewed first
        with self._traces.incoming("publish.page"):
            deliveries = await self._deliver(sink, events)
            await self._between_steps("confirmed")
            await self._note(publications, deliveries)
            await self._between_steps("noted")
        problems = [delivery.problem for delivery in deliveries.values() if delivery.problem]
        if problems:
            await self._close_sink()
            raise SinkUnavailable("; ".join(problems[:3]))
        return False

    async def _read(self) -> dict[int, list[CloudEvent]]:
        """The next page, by partition; and how far the sink is behind."""
        behind = await self._behind()
        if not behind:
            return {}
        share = max(1, self._settings.page_events // len(behind))
        page = await self._ledger.reader.read(behind, limit=share)
        self._metrics.set_oldest(min(entry.recorded_time.timestamp() for entry in page.entries))
        events = await self._encode(page.entries)
        await self._between_steps("read")
        return events

    async def _behind(self) -> dict[int, int]:
        """Where each partition begins that has entries which the sink has not."""
        ends = await self._ledger.reader.ends()
        waiting = {p: ends[p] - held.position for p, held in self._held.items() if ends[p] != held.position}
        self._metrics.set_lag(sum(waiting.values()))
        return {partition: self._held[partition].position for partition in waiting}

    async def _encode(self, entries: Sequence[RecordedEntry]) -> dict[int, list[CloudEvent]]:
        """By partition, in order."""
        registry, encoding = self._ledger.registry, self._settings.encoding
        await registry.know({code for entry in entries for code in currencies_of(entry)})
        events: defaultdict[int, list[CloudEvent]] = defaultdict(list)
        for entry in entries:
            event = cloud_event(entry, encoding, ledger_id=self._ledger.ledger_id, scales=registry)
            events[event.partition].append(event)
        return events

    async def _deliver(self, sink: Sink, events: Mapping[int, Sequence[CloudEvent]]) -> dict[int, Delivery]:
        deliveries = await asyncio.gather(*(sink.deliver(own) for own in events.values()))
        return dict(zip(events, deliveries, strict=True))

    async def _note(self, publications: Publications, deliveries: Mapping[int, Delivery]) -> None:
        beyond = {
            partition: self._held[partition].position + delivery.confirmed
            for partition, delivery in deliveries.items()
            if delivery.confirmed
        }
        if not beyond:
            return
        lost = await publications.advance(self._held, beyond)
        for partition in lost:
            # Another publisher has it, for this one was asleep for too long: it goes on from its own note.
            _log.warning("partition_lost", sink=self._settings.sink_name(), partition=partition)
            del self._held[partition]
        for partition in beyond.keys() - lost:
            self._held[partition] = replace(self._held[partition], position=beyond[partition])
        self._metrics.count_published(
            sum(delivery.confirmed for partition, delivery in deliveries.items() if partition not in lost)
        )

    async def _pause(self, stop: asyncio.Event, problem: str) -> None:
        delay_s = min(_FIRST_RETRY_S * 2 ** min(self._failures, 30), _LAST_RETRY_S)
        self._failures += 1
        self._metrics.count_failure()
        _log.warning(
            "publish_interrupted",
            sink=self._settings.sink_name(),
            problem=problem,
            failures=self._failures,
            next_s=delay_s,
        )
        await any_set(stop, timeout_s=delay_s)

    async def _close_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            await sink.close()
