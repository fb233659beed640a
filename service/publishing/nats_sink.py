"""NATS JetStream: one message at a time for each partition, so that none can overtake another."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from service.publishing.cloud_events import CloudEvent
from service.publishing.publish_settings import PublishSettings
from service.publishing.sinks import Delivery, SinkUnavailable

_log = structlog.get_logger(__name__)

_FAILURES = (nats.errors.Error, OSError, TimeoutError, ValueError)


class NatsSink:
    """JetStream drops what it had already, by the event's id, within the stream's duplicate window."""

    def __init__(self, client: Client, settings: PublishSettings) -> None:
        self._client = client
        self._jetstream: JetStreamContext = client.jetstream(timeout=settings.timeout_s)
        self._settings = settings

    async def deliver(self, events: Sequence[CloudEvent]) -> Delivery:
        settings = self._settings
        loop = asyncio.get_running_loop()
        latest = loop.time() + settings.timeout_s
        for number, event in enumerate(events):
            try:
                await self._jetstream.publish(
                    f"{settings.subject}.{event.partition}.{event.kind}",
                    event.body,
                    timeout=settings.timeout_s,
                    stream=settings.stream,
                    headers={
                        "Nats-Msg-Id": event.event_id,
                        "content-type": event.content_type,
                        **{f"ce-{name}": text for name, text in event.headers.items()},
                    },
                )
            except _FAILURES as error:
                return Delivery(number, f"event {event.event_id}: {_said(error)}")
            if loop.time() > latest:  # so that the lease is renewed; the rest comes with the next page
                return Delivery(number + 1)
        return Delivery(len(events))

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._client.close(), self._settings.timeout_s)
        except _FAILURES as error:
            _log.warning("sink_not_closed", error=_said(error))


async def open_nats(settings: PublishSettings) -> NatsSink:
    """A connection, and the stream. Raises SinkUnavailable."""
    try:
        client = await asyncio.wait_for(_connect(settings), 2 * settings.timeout_s)
    except _FAILURES as error:
        raise SinkUnavailable(f"NATS cannot be reached: {_said(error)}") from error
    sink = NatsSink(client, settings)
    try:
        await _require_stream(client.jetstream(timeout=settings.timeout_s), settings)
    except BaseException:
        await sink.close()
        raise
    return sink


async def _connect(settings: PublishSettings) -> Client:
    options: dict[str, Any] = {}
    if settings.username:
        options |= {"user": settings.username, "password": settings.read_password()}
    if settings.ca_file is not None:
        options["tls"] = _tls(settings.ca_file)
    return await nats.connect(
        settings.server_list(),
        name="stakehold publish",
        # A connection that breaks is over, and with it all that it had not sent: nothing comes late.
        allow_reconnect=False,
        connect_timeout=settings.timeout_s,
        ping_interval=max(1, int(settings.timeout_s)),
        max_outstanding_pings=2,
        error_cb=_told,
        **options,
    )


async def _require_stream(jetstream: JetStreamContext, settings: PublishSettings) -> None:
    subjects = f"{settings.subject}.>"
    try:
        found = await jetstream.stream_info(settings.stream)
    except nats.js.errors.NotFoundError:
        if not settings.create:
            raise SinkUnavailable(
                f"there is no stream {settings.stream}: make it, with subjects {subjects}"
            ) from None
        await _create_stream(jetstream, settings, subjects)
        return
    except _FAILURES as error:
        raise SinkUnavailable(f"JetStream does not answer: {_said(error)}") from error
    if subjects not in (found.config.subjects or []):
        _log.warning("stream_has_other_subjects", stream=settings.stream, wanted=subjects)


async def _create_stream(jetstream: JetStreamContext, settings: PublishSettings, subjects: str) -> None:
    config = StreamConfig(name=settings.stream, subjects=[subjects], num_replicas=settings.replicas)
    try:
        await jetstream.add_stream(config)
    except _FAILURES as error:
        raise SinkUnavailable(f"the stream {settings.stream} cannot be made: {_said(error)}") from error
    _log.info("stream_created", stream=settings.stream, subjects=subjects)


async def _told(error: Exception) -> None:
    _log.debug("nats_error", error=_said(error))


def _tls(ca_file: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file))


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
