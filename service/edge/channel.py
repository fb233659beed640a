"""The line from the edge to the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from persistence.errors import SetupRefused
from service.edge.edge_settings import EdgeSettings

_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 20),
    # The service's name may stand for many: calls go to all of them in turn.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.keepalive_time_ms", 30_000),
    # Nobody but the provider sends a callback again.
    ("grpc.enable_retries", 0),
)


@asynccontextmanager
async def open_channel(settings: EdgeSettings) -> AsyncIterator[grpc.aio.Channel]:
    """Made when it is needed, and again when it is lost. Raises SetupRefused where a file cannot be read."""
    target = settings.address if "://" in settings.address else f"dns:///{settings.address}"
    if settings.ca_file is None:
        async with grpc.aio.insecure_channel(target, options=_OPTIONS) as channel:
            yield channel
        return
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(settings.ca_file),
        private_key=_read(settings.key_file) if settings.key_file else None,
        certificate_chain=_read(settings.cert_file) if settings.cert_file else None,
    )
    if settings.token_file is not None:
        token = grpc.metadata_call_credentials(_TokenFile(settings.token_file))
        credentials = grpc.composite_channel_credentials(credentials, token)
    async with grpc.aio.secure_channel(target, credentials, options=_OPTIONS) as channel:
        yield channel


class _TokenFile(grpc.AuthMetadataPlugin):
    """Shows what is in the file now: tokens are replaced while they are in use."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, context: Any, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            token = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            callback((), error)
            return
        callback((("authorization", f"Bearer {token}"),), None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupRefused(f"{path} cannot be read: {error.strerror}") from error
