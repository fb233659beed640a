"""An address on which some of the API's services are served, with health and reflection beside them."""

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from service.api import Service
from service.reflection import add_reflection
from service.servicers.health import HealthServicer
from service.transport.doors import Door

MAX_MESSAGE_BYTES = 1 << 20
MAX_METADATA_BYTES = 16 << 10

_PENDING_CALLS = 512
"""That are not read yet. A longer queue would be no kindness: what comes out of it is out of time."""

STREAMS_PER_CONNECTION = 100
"""Calls beyond that wait with the caller, until its own deadline, and cost nothing here."""

_HANDSHAKE_MS = 10_000
"""For a connection to become one that calls can be made on."""

_AGE_GRACE_MS = 60_000
"""For calls to end on a connection that is asked to; new ones are made on another."""

_OPTIONS = (
    # What is compressed counts as it is when it is not: gRPC stops unpacking there.
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
    ("grpc.http2.settings_timeout", _HANDSHAKE_MS),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
    # It refuses streams that a client may well open, while calls that ended are still being cleared away.
    ("grpc.http.overload_protection", 0),
    # Beyond them gRPC drops calls as CANCELLED, without a word, for a tenth of what a refusal costs here.
    ("grpc.server.max_pending_requests", _PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class Listener:
    """A gRPC server. ``setting`` is the variable that names its address.

    Connections beyond ``max_connections`` are closed at once; those older than ``connection_age_s`` are asked
    to end, unless that is zero.
    """

    def __init__(
        self,
        listen: str,
        services: Sequence[Service],
        interceptors: Sequence[grpc.aio.ServerInterceptor],
        *,
        door: Door,
        setting: str,
        max_connections: int,
        connection_age_s: float = 0.0,
        extra_handlers: Sequence[grpc.GenericRpcHandler] = (),
    ) -> None:
        names = [service.name for service in services]
        options = [*_OPTIONS, ("grpc.max_allowed_incoming_connections", max_connections)]
        if connection_age_s:
            options += [
                ("grpc.max_connection_age_ms", int(connection_age_s * 1000)),
                ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
            ]
        self._server = grpc.aio.server(interceptors=list(interceptors), options=options)
        for service in services:
            service.add_to(self._server)
        self._server.add_generic_rpc_handlers(tuple(extra_handlers))
        self._health = HealthServicer(["", *names])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection(self._server, [*names, health.SERVICE_NAME])
        port = door.open(self._server, listen, setting=setting)
        self.address = f"{listen.rpartition(':')[0]}:{port}"

    async def start(self) -> None:
        """Calls are read from now on; that it serves, nobody is told yet."""
        await self._server.start()

    def serve(self) -> None:
        """Says that calls are taken."""
        self._health.serve()

    def announce_end(self) -> None:
        """Says that no calls are taken any more."""
        self._health.announce_end()

    async def stop(self, grace_s: float) -> None:
        """Ends what watches its health, and closes; who is not done then is cut off."""
        self._health.end()
        await self._server.stop(grace_s)
