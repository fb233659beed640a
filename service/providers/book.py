"""The providers of now: read again whenever their file says something else.

A file that cannot be used changes nothing: what was read last stays in use, and it is told in the log and by
a metric until the file is mended. The same holds for a key's file that is being replaced.
"""

import asyncio
from pathlib import Path

import structlog

from persistence.errors import ProviderNotFound, SetupRefused
from service.providers.metrics import ProviderMetrics
from service.providers.provider import Provider
from service.providers.providers_file import ProvidersInvalid, read_providers

_log = structlog.get_logger(__name__)

_EVERY_S = 2.0


class ProviderBook:
    """All providers by id. Without a file there are none."""

    def __init__(self, path: Path | None, metrics: ProviderMetrics) -> None:
        self._path = path
        self._metrics = metrics
        self._providers: dict[str, Provider] = {}
        self._told = ""

    def provider(self, provider_id: str) -> Provider:
        """Raises ProviderNotFound."""
        provider = self._providers.get(provider_id)
        if provider is None:
            raise ProviderNotFound(provider_id)
        return provider

    def has(self, provider_id: str) -> bool:
        return provider_id in self._providers

    async def open(self) -> None:
        """Reads the file for the first time. Raises SetupRefused."""
        if self._path is None:
            return
        try:
            self._providers = await asyncio.to_thread(read_providers, self._path)
        except ProvidersInvalid as error:
            raise SetupRefused(f"STAKEHOLD_PROVIDERS_FILE: {error}") from error
        self._metrics.note_file(is_usable=True)

    async def refresh(self) -> None:
        """Reads the file again, with all keys that it names."""
        if self._path is None:
            return
        try:
            self._providers = await asyncio.to_thread(read_providers, self._path)
        except ProvidersInvalid as error:
            self._metrics.note_file(is_usable=False)
            if str(error) != self._told:
                self._told = str(error)
                _log.error("providers_file_unusable", error=str(error), in_use="what was read before")
            return
        self._metrics.note_file(is_usable=True)
        if self._told:
            _log.info("providers_file_usable_again", path=str(self._path))
        self._told = ""

    async def keep_fresh(self) -> None:
        """Refreshes for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.refresh()
            except Exception:
                self._metrics.note_file(is_usable=False)
                _log.exception("providers_file_unusable", in_use="what was read before")
