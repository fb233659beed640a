"""An address for probes: grpc.health.v1 in plain text, and nothing else.

Kubernetes' gRPC probes speak no TLS and show no certificate, so they cannot ask where the API is served. What
is told here is told to anybody: one word. It answers from before the start until after the end.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health_pb2_grpc

from persistence.errors import SetupRefused
from service.readiness import Readiness
from service.servicers.probes import ProbeServicer

_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 10),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 8),
)


@asynccontextmanager
async def served_health(listen: str, readiness: Readiness) -> AsyncIterator[str]:
    """Answers probes until the context is left; gives the address with the port that was bound.

    Where ``listen`` is empty, nobody is answered. Raises SetupRefused where it is taken or no address.
    """
    if not listen:
        yield ""
        return
    server = grpc.aio.server(options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(ProbeServicer(readiness), server)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise SetupRefused(
            f"probes cannot be answered at {listen}: {error}; set STAKEHOLD_HEALTH_LISTEN to a free one"
        ) from error
    await server.start()
    try:
        yield f"{listen.rpartition(':')[0]}:{port}"
    finally:
        readiness.stopping()
        await server.stop(None)
