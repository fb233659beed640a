"""Kafka: batches, keyed by player; of each of its partitions one batch under way for each of the ledger's."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import DefaultPartitioner

from service.publishing.cloud_events import CloudEvent
from service.publishing.publish_settings import PublishSettings
from service.publishing.sinks import Delivery, SinkUnavailable

_log = structlog.get_logger(__name__)

_FAILURES = (KafkaError, OSError, TimeoutError)
_BATCH_BYTES = 500_000
"""Below what brokers take by default."""


class KafkaSink:
    """Waits for all in-sync replicas. The client tries a batch again by itself, in its place, until the
    timeout; it is over then, sent or not, and nothing is left that could be sent later.
    """

    def __init__(self, producer: AIOKafkaProducer, settings: PublishSettings) -> None:
        self._producer = producer
        self._settings = settings
        self._partitioner = DefaultPartitioner()

    async def deliver(self, events: Sequence[CloudEvent]) -> Delivery:
        try:
            partitions = sorted(await self._producer.partitions_for(self._settings.topic))
        except _FAILURES as error:
            return Delivery(0, f"the topic {self._settings.topic}: {_said(error)}")
        numbers: defaultdict[int, list[int]] = defaultdict(list)
        for number, event in enumerate(events):
            numbers[self._partitioner(event.player_id.encode(), partitions, partitions)].append(number)
        latest_s = asyncio.get_running_loop().time() + self._settings.timeout_s
        deliveries = await asyncio.gather(
            *(self._send(partition, own, events, latest_s) for partition, own in numbers.items())
        )
        return min(deliveries, key=lambda delivery: (delivery.confirmed, not delivery.problem))

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._producer.stop(), 2 * self._settings.timeout_s)
        except _FAILURES as error:
            _log.warning("sink_not_closed", error=_said(error))

    async def _send(
        self, partition: int, numbers: Sequence[int], events: Sequence[CloudEvent], latest_s: float
    ) -> Delivery:
        """Sends one partition's, batch after batch; all before the first that is not confirmed may be."""
        sent = 0
        while sent < len(numbers):
            batch = self._producer.create_batch()
            taken = 0
            for number in numbers[sent:]:
                event = events[number]
                appended = batch.append(
                    key=event.player_id.encode(),
                    value=event.body,
                    timestamp=int(event.recorded_s * 1000),
                    headers=[(name, text.encode()) for name, text in _headers(event).items()],
                )
                if appended is None:
                    break
                taken += 1
            first = events[numbers[sent]]
            if not taken:
                return Delivery(numbers[sent], f"event {first.event_id}: {MessageSizeTooLargeError.__name__}")
            batch.close()
            try:
                confirmed = await self._producer.send_batch(batch, self._settings.topic, partition=partition)
                await confirmed
            except _FAILURES as error:
                return Delivery(numbers[sent], f"from event {first.event_id} on: {_said(error)}")
            sent += taken
            if sent < len(numbers) and asyncio.get_running_loop().time() > latest_s:
                return Delivery(numbers[sent])  # the lease has to be renewed; the rest is for the next page
        return Delivery(len(events))


def _headers(event: CloudEvent) -> Mapping[str, str]:
    attributes = {f"ce_{name}": text for name, text in event.headers.items()}
    return {"content-type": event.content_type, "event-id": event.event_id, **attributes}


async def open_kafka(settings: PublishSettings) -> KafkaSink:
    """A producer, and the topic. Raises SinkUnavailable."""
    try:
        options = _connection(settings)
        await asyncio.wait_for(_require_topic(settings, options), 4 * settings.timeout_s)
        producer = AIOKafkaProducer(
            **options,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=2 * _BATCH_BYTES,
            metadata_max_age_ms=60_000,
        )
        try:
            await asyncio.wait_for(producer.start(), 2 * settings.timeout_s)
        except BaseException:
            await producer.stop()
            raise
    except _FAILURES as error:
        raise SinkUnavailable(f"Kafka cannot be reached: {_said(error)}") from error
    return KafkaSink(producer, settings)


def _connection(settings: PublishSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.server_list(),
        "client_id": "stakehold-publish",
        "request_timeout_ms": int(settings.timeout_s * 1000),
    }
    if settings.tls:
        cafile = str(settings.ca_file) if settings.ca_file else None
        options["ssl_context"] = ssl.create_default_context(cafile=cafile)
    if settings.username:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.read_password(),
        }
    protocol = "SASL_" if settings.username else ""
    options["security_protocol"] = protocol + ("SSL" if settings.tls else "PLAINTEXT")
    return options


async def _require_topic(settings: PublishSettings, options: Mapping[str, Any]) -> None:
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    try:
        if settings.topic in await admin.list_topics():
            return
        if not settings.create:
            raise SinkUnavailable(f"there is no topic {settings.topic}: make it")
        topic = NewTopic(settings.topic, settings.topic_partitions, settings.replicas)
        answer = await admin.create_topics([topic])
        for _, code, *_ in answer.topic_errors:
            if code not in {0, TopicAlreadyExistsError.errno}:
                raise for_code(code)(f"the topic {settings.topic} cannot be made")
        _log.info("topic_created", topic=settings.topic, partitions=settings.topic_partitions)
    finally:
        await admin.close()


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
