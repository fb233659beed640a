"""Currencies, denominations and sources as the service knows them: from the ledger's registry, in memory.

A read costs no I/O. The registry is read again every second or so, and at once after this server changed it,
so that every server knows a change within seconds. Should Postgres be away, what is known stays in use.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog

from fx.currencies import Currency
from fx.denominations import Denomination
from persistence.calls import RateLimit, Source
from persistence.errors import CurrencyUnknown, LedgerUnavailable, OutcomeUnknown, SourceNotFound

_log = structlog.get_logger(__name__)

_RENEWED_EVERY_S = 0.2
"""At most so often the registry is read for who did not find something."""


class CurrencyScales(Protocol):
    """Knows how many decimals a currency has."""

    def scale_of(self, code: str) -> int: ...


class RegistryStore(Protocol):
    """Where all of it is kept: persistence.postgres.registry."""

    async def read(
        self,
    ) -> tuple[Mapping[str, Currency], Mapping[str, Denomination], Mapping[str, Source]]: ...
    async def put_currency(self, currency: Currency) -> bool: ...
    async def put_denomination(self, denomination: Denomination) -> bool: ...
    async def put_source(self, source: Source) -> bool: ...


class Registry:
    """All currencies, denominations and sources."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._currencies: Mapping[str, Currency] = {}
        self._denominations: Mapping[str, Denomination] = {}
        self._sources: Mapping[str, Source] = {}
        self._reading = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._read_at = self._renewed_at = -math.inf
        """When the newest read began, and the newest that somebody asked for; the event loop's time."""

    def currency(self, code: str, field: str) -> Currency:
        """Raises CurrencyUnknown, naming the request's field."""
        currency = self._currencies.get(code)
        if currency is None:
            raise CurrencyUnknown(field, code)
        return currency

    def currencies(self) -> list[Currency]:
        """All currencies, by code."""
        return sorted(self._currencies.values(), key=lambda currency: currency.code)

    def denomination(self, code: str) -> Denomination | None:
        """The denomination of that code, if it is one. Its currency is always known."""
        return self._denominations.get(code)

    def denominations(self) -> list[Denomination]:
        """All denominations, by code."""
        return sorted(self._denominations.values(), key=lambda denomination: denomination.code)

    def scale_of(self, code: str) -> int:
        """The number of decimals of a currency that a wallet is in. Such currencies are never removed."""
        return self._currencies[code].scale

    def source(self, source_id: str) -> Source:
        """Raises SourceNotFound."""
        source = self._sources.get(source_id)
        if source is None:
            raise SourceNotFound(source_id)
        return source

    def rate_limit_of(self, source_id: str, default: RateLimit | None) -> RateLimit | None:
        """The source's own, or else ``default``. None for sources that are not known."""
        source = self._sources.get(source_id)
        return None if source is None else source.rate_limit or default

    def sources(self) -> list[Source]:
        """All sources."""
        return list(self._sources.values())

    async def put_currency(self, currency: Currency) -> bool:
        """Stores a currency and returns whether it is new. Raises CurrencyImmutable and LedgerUnavailable."""
        created = await self._store.put_currency(currency)
        await self.refresh()
        return created

    async def put_denomination(self, denomination: Denomination) -> bool:
        """As put_currency; none is ever changed. Raises CurrencyImmutable and LedgerUnavailable."""
        created = await self._store.put_denomination(denomination)
        await self.refresh()
        return created

    async def put_source(self, source: Source) -> bool:
        """Stores a source and returns whether it is new. Raises LedgerUnavailable."""
        created = await self._store.put_source(source)
        await self.refresh()
        return created

    def knows(self, codes: Iterable[str]) -> bool:
        """Whether ``learn`` has nothing to do."""
        return all(code in self._currencies for code in codes)

    async def learn(self, codes: Iterable[str]) -> None:
        """Reads the registry now where a wallet is in a currency that another server put a moment ago.

        For after a call was applied: raises OutcomeUnknown where the registry cannot be read, as the answer
        cannot be written then; a retry gets it.
        """
        if self.knows(codes):
            return
        try:
            await self.refresh()
        except LedgerUnavailable as error:
            raise OutcomeUnknown("the wallet's currency could not be read") from error

    async def know(self, codes: Iterable[str]) -> None:
        """As learn, for what is only read. Raises LedgerUnavailable, also where one is missing."""
        codes = set(codes)
        if codes <= self._currencies.keys():
            return
        await self.refresh()
        if missing := codes - self._currencies.keys():
            raise LedgerUnavailable(f"the registry does not have {', '.join(sorted(missing))} yet")

    async def refresh(self) -> None:
        """Reads everything again. Raises LedgerUnavailable.

        One read at a time: an older one that took longer must not undo what a newer one found.
        """
        async with self._reading:
            began = asyncio.get_running_loop().time()
            self._currencies, self._denominations, self._sources = await self._store.read()
            self._read_at = began

    async def renew(self) -> None:
        """Everything as it is now or later, for who did not find something that another server may have put.

        One read is for all who wait for it, and the next one has to wait a moment: who asks for what is not
        there costs little. Raises LedgerUnavailable.
        """
        now_s = asyncio.get_running_loop().time
        asked_at = now_s()
        async with self._renewing:
            if self._read_at <= asked_at:
                await asyncio.sleep(self._renewed_at + _RENEWED_EVERY_S - now_s())
            if self._read_at <= asked_at:
                self._renewed_at = now_s()
                await self.refresh()

    async def keep_fresh(self, every_s: float) -> None:
        """Refreshes for ever."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.refresh()
            except LedgerUnavailable as error:
                _log.warning("registry_not_refreshed", error=str(error))
            except Exception:
                _log.exception("registry_not_refreshed")
