"""Channels to the service: the one place that makes them for our own commands."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import structlog

from persistence.errors import SetupRefused
from service.transport.client_settings import ClientSettings

Options = Sequence[tuple[str, Any]]

MAX_FILE_BYTES = 1 << 20
_MOST_TOKEN_BYTES = 8192
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=-]+")
_LAST_CALLS_S = 60.0

_log = structlog.get_logger(__name__)


class TokenFile(grpc.AuthMetadataPlugin):
    """Bears the token that the file holds now. gRPC asks on a thread of its own, and over TLS only."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """What is wrong is told without what was in the file."""
        try:
            token = self.read()
        except SetupRefused as refused:
            callback((), refused)
        else:
            callback((("authorization", f"Bearer {token}"),), None)

    def read(self) -> str:
        """Raises SetupRefused."""
        token = _read(str(self._path), "STAKEHOLD_TOKEN_FILE").strip()
        if len(token) > _MOST_TOKEN_BYTES or not _TOKEN.fullmatch(token):
            raise SetupRefused(f"{self._path} does not hold a token: STAKEHOLD_TOKEN_FILE names the file")
        return token.decode("ascii")


def _read(path: str, setting: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise SetupRefused(f"{path} cannot be read: {error.strerror}; {setting} names the file") from error


def credentials_to(settings: ClientSettings, address: str) -> grpc.ChannelCredentials | None:
    """None: without TLS. Blocks to read the files. Raises SetupRefused."""
    if bool(settings.cert_file) != bool(settings.key_file):
        raise SetupRefused("STAKEHOLD_CERT_FILE and STAKEHOLD_KEY_FILE are of use together only")
    if settings.is_plain(address):
        if settings.token_file:
            raise SetupRefused(
                "STAKEHOLD_TOKEN_FILE is set, and a token is sent over TLS only: set STAKEHOLD_CA_FILE too"
            )
        return None
    credentials = grpc.ssl_channel_credentials(
        _read(settings.ca_file, "STAKEHOLD_CA_FILE") if settings.ca_file else None,
        _read(settings.key_file, "STAKEHOLD_KEY_FILE") if settings.key_file else None,
        _read(settings.cert_file, "STAKEHOLD_CERT_FILE") if settings.cert_file else None,
    )
    if not settings.token_file:
        return credentials
    plugin = TokenFile(settings.token_file)
    plugin.read()
    return grpc.composite_channel_credentials(credentials, grpc.metadata_call_credentials(plugin))


def open_blocking_channel(settings: ClientSettings, address: str, options: Options = ()) -> grpc.Channel:
    """For a command that asks and ends. Raises SetupRefused."""
    credentials = credentials_to(settings, address)
    if credentials is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, credentials, options=options)


class RenewedChannel:
    """For who goes on calling: a channel that is made anew when a file of certificates or keys has changed.

    gRPC reads them once for each channel. Calls that are under way end over the channel that they began with.
    """

    def __init__(self, settings: ClientSettings, address: str, options: Options = ()) -> None:
        self._settings = settings
        self._address = address
        self._options = options
        self._digest = self._digest_of_files()
        self._channel = self._make(credentials_to(settings, address))
        self._closing: set[asyncio.Task[None]] = set()

    async def current(self) -> grpc.aio.Channel:
        """The one to begin calls with now. New files that cannot be used are told, and wait to be."""
        if self._settings.is_plain(self._address):
            return self._channel
        try:
            digest, credentials = await asyncio.to_thread(self._look_again)
        except SetupRefused as refused:
            _log.error("client_certificates_unusable", reason=str(refused))
            return self._channel
        if credentials is not None:
            old, self._channel, self._digest = self._channel, self._make(credentials), digest
            self._close_later(old)
            _log.info("client_certificates_changed")
        return self._channel

    async def close(self) -> None:
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close()

    def _look_again(self) -> tuple[bytes, grpc.ChannelCredentials | None]:
        """None: nothing has changed. Raises SetupRefused."""
        digest = self._digest_of_files()
        return digest, None if digest == self._digest else credentials_to(self._settings, self._address)

    def _digest_of_files(self) -> bytes:
        settings = self._settings
        files = {
            "STAKEHOLD_CA_FILE": settings.ca_file,
            "STAKEHOLD_CERT_FILE": settings.cert_file,
            "STAKEHOLD_KEY_FILE": settings.key_file,
        }
        read = (_read(path, setting) if path else b"" for setting, path in files.items())
        return hashlib.sha256(b"\0".join(read)).digest()

    def _make(self, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(self._address, options=self._options)
        return grpc.aio.secure_channel(self._address, credentials, options=self._options)

    def _close_later(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(channel.close(grace=_LAST_CALLS_S), name="last-calls")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


@asynccontextmanager
async def renewed_channel(
    settings: ClientSettings, address: str, options: Options = ()
) -> AsyncIterator[RenewedChannel]:
    """Raises SetupRefused."""
    channel = RenewedChannel(settings, address, options)
    try:
        yield channel
    finally:
        await channel.close()
