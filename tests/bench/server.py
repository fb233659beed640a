"""``python -m tests.bench.server``: `stakehold serve` with an echo beside its services.

With BENCH_PROFILE set to a file, the event loop's thread runs under cProfile and leaves its statistics there.
"""

import asyncio
import cProfile
import os
import signal
from typing import Any

import grpc
import uvloop

from service.logs import configure_logs
from service.server import running_server
from service.settings import Settings
from stakehold.v1 import wallet_service_pb2
from tests.bench.workload import ECHO_METHOD


async def _echo(request: wallet_service_pb2.DebitRequest, _: Any) -> wallet_service_pb2.DebitRequest:
    return request


def echo_handler() -> grpc.GenericRpcHandler:
    """Reads a DebitRequest and sends it back: all that a unary call costs before anything is done."""
    _, service, method = ECHO_METHOD.split("/")
    handler = grpc.unary_unary_rpc_method_handler(
        _echo,
        request_deserializer=wallet_service_pb2.DebitRequest.FromString,
        response_serializer=wallet_service_pb2.DebitRequest.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(service, {method: handler})


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with running_server(settings, extra_handlers=[echo_handler()]):
        await stopped.wait()


def main() -> None:
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)
    profile_file = os.environ.get("BENCH_PROFILE", "")
    if not profile_file:
        uvloop.run(_serve(settings))
        return
    profile = cProfile.Profile()
    profile.runcall(uvloop.run, _serve(settings))
    profile.dump_stats(profile_file)


if __name__ == "__main__":
    main()
