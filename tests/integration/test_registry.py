"""Currencies and sources: what one server is told, every server knows within seconds."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from fx.currencies import Currency, CurrencyKind
from fx.denominations import CRYPTO_DENOMINATIONS, Denomination
from persistence.calls import Source
from persistence.errors import CurrencyUnknown, LedgerUnavailable, SourceNotFound
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.registry import PostgresRegistry
from persistence.transactions import SourceId
from service.embedded import EmbeddedValkey
from service.registry import Registry
from stakehold.v1 import admin_service_pb2 as pb
from tests import reference
from tests.answers import Refused
from tests.hot_path import a_few_turns
from tests.ledgers import Ledgers
from tests.serving import grounds
from tests.steps import bet, deposit
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, WalletApi, new_name, wallet_api

EUR = Currency("EUR", "Euro", 2, CurrencyKind.FIAT)
GEM = Currency("GEM", "Gem", 1, CurrencyKind.CRYPTO)


class Store:
    """A registry in memory that fails, or takes its time, as a test wants it to."""

    def __init__(self) -> None:
        self.currencies = {"EUR": EUR}
        self.failures: list[Exception] = []
        self.reads = 0
        self.slow_read: asyncio.Event | None = None

    async def read(self) -> tuple[Mapping[str, Currency], Mapping[str, Denomination], Mapping[str, Source]]:
        self.reads += 1
        currencies = dict(self.currencies)
        slow_read, self.slow_read = self.slow_read, None
        if slow_read:
            await slow_read.wait()
        if self.failures:
            raise self.failures.pop(0)
        return currencies, {}, {"games": Source(SourceId("games"))}

    async def put_currency(self, currency: Currency) -> bool:
        self.currencies[currency.code] = currency
        return True

    async def put_denomination(self, denomination: Denomination) -> bool:
        raise LedgerUnavailable("away")

    async def put_source(self, source: Source) -> bool:
        raise LedgerUnavailable("away")


@pytest_asyncio.fixture(scope="module")
async def servers(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[tuple[WalletApi, WalletApi]]:
    """Two servers of one deployment."""
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(registry_refresh_s=0.05) as one,
        ground.serving(registry_refresh_s=0.05) as other,
        wallet_api(one.address) as one_api,
        wallet_api(other.address) as other_api,
    ):
        yield one_api, other_api


async def test_a_source_that_one_server_put_is_soon_known_to_the_other(
    servers: tuple[WalletApi, WalletApi],
) -> None:
    one, other = servers
    source_id, player_id = new_name("source"), new_name("player")
    await one.open_wallet(player_id, "EUR")
    with pytest.raises(Refused, match="SOURCE_NOT_FOUND"):
        await other.transact(source_id, player_id, [deposit("d1", "5")])
    await one.put_source(source_id)

    async def is_known() -> bool:
        try:
            await other.transact(source_id, player_id, [deposit("d1", "5")])
        except Refused as refusal:
            assert refusal.reason == "SOURCE_NOT_FOUND"  # noqa: PT017
            return False
        return True

    await until(is_known, what="the other server knows the source")


async def test_a_policy_that_one_server_changed_soon_holds_at_the_other(
    servers: tuple[WalletApi, WalletApi],
) -> None:
    one, other = servers
    source_id, player_id = new_name("source"), new_name("player")
    await one.put_source(source_id)
    await one.open_wallet(player_id, "EUR")
    await one.put_source(source_id, reference.Policies(status="DISABLED"))

    async def is_refused() -> bool:
        try:
            await other.transact(source_id, player_id, [bet(new_name("b"), "0")])
        except Refused as refusal:
            return refusal.reason == "SOURCE_DISABLED"
        return False

    await until(is_refused, what="the other server refuses the source")


async def test_a_currency_is_known_at_once_where_it_was_put_and_soon_elsewhere(
    servers: tuple[WalletApi, WalletApi],
) -> None:
    one, other = servers
    gem = reference.Currency(1)
    assert (await one.put_currency("GEM", gem)).created
    assert not (await one.put_currency("GEM", gem)).created

    await one.open_wallet(new_name("player"), "GEM")

    async def is_listed() -> bool:
        listed = await other.admin.ListCurrencies(pb.ListCurrenciesRequest(), timeout=TIMEOUT_S)
        return any((currency.currency_code, currency.scale) == ("GEM", 1) for currency in listed.currencies)

    await until(is_listed, what="the other server lists the currency")
    await other.open_wallet(new_name("player"), "GEM")


async def test_a_denomination_is_known_at_once_where_it_was_put_and_soon_elsewhere(
    servers: tuple[WalletApi, WalletApi],
) -> None:
    one, other = servers
    source_id, player_id = new_name("source"), new_name("player")
    await one.put_source(source_id)
    await one.open_wallet(player_id, "EUR")
    assert (await one.put_denomination("EUR-soon", "EUR", -5)).created
    assert not (await one.put_denomination("EUR-soon", "EUR", -5)).created

    (first,) = await one.transact(source_id, player_id, [deposit("d1", "150000", "EUR-soon")])

    async def is_known() -> bool:
        try:
            (replay,) = await other.transact(source_id, player_id, [deposit("d1", "150000", "EUR-soon")])
        except Refused as refusal:
            assert refusal.reason in {"CURRENCY_UNKNOWN", "SOURCE_NOT_FOUND"}  # noqa: PT017
            return False
        return replay.replayed and replay.after == first.after

    await until(is_known, what="the other server knows the denomination")


async def test_what_operators_put_is_left_as_it_is_by_what_is_planted(ledger_dsn: str) -> None:
    async with ledger_pool(
        ledger_dsn, role=LedgerRole.REGISTRAR, size=1, statement_timeout_s=TIMEOUT_S
    ) as pool:
        registry = PostgresRegistry(pool)
        await registry.plant_denominations(CRYPTO_DENOMINATIONS)
        _, of_nothing, _ = await registry.read()
        await registry.put_currency(Currency("BTC", "Bitcoin", 8, CurrencyKind.CRYPTO))
        await registry.put_denomination(Denomination("mBTC", "BTC", -2))
        await registry.put_denomination(Denomination("GEM", "BTC", -4))

        await registry.plant_currencies([EUR, GEM])
        await registry.plant_denominations(CRYPTO_DENOMINATIONS)

        currencies, denominations, _ = await registry.read()
    assert of_nothing == {}
    assert set(currencies) == {"BTC", "EUR"}
    assert {code: unit.exponent for code, unit in denominations.items()} == {
        "mBTC": -2,
        "uBTC": -6,
        "satoshi": -8,
        "GEM": -4,
    }


async def test_what_a_denomination_is_never_changes(servers: tuple[WalletApi, WalletApi]) -> None:
    one, other = servers
    await one.put_denomination("EUR-kept", "EUR", -5)
    kept = pb.Denomination(denomination_code="EUR-kept", currency_code="EUR", exponent=-5)

    for server in (one, other):
        for currency, exponent in (("EUR", -4), ("USD", -5)):
            with pytest.raises(Refused, match="CURRENCY_IMMUTABLE"):
                await server.put_denomination("EUR-kept", currency, exponent)
        listed = await one.admin.ListDenominations(pb.ListDenominationsRequest(), timeout=TIMEOUT_S)
        assert kept in listed.denominations


async def test_a_code_is_a_currency_or_a_denomination_whichever_came_first(
    servers: tuple[WalletApi, WalletApi],
) -> None:
    one, other = servers
    await one.put_denomination("MBTC", "BTC", -3)

    for server in (one, other):
        with pytest.raises(Refused, match="CURRENCY_IMMUTABLE"):
            await server.put_denomination("USD", "EUR", 0)
        with pytest.raises(Refused, match="CURRENCY_IMMUTABLE"):
            await server.put_currency("MBTC", reference.Currency(5))


async def test_of_a_currency_and_a_denomination_that_are_put_at_once_with_one_code_one_is_refused(
    servers: tuple[WalletApi, WalletApi],
) -> None:
    one, other = servers
    for number in range(20):
        code = f"TWICE{number}"

        answers = await asyncio.gather(
            one.put_currency(code, reference.Currency(2)),
            other.put_denomination(code, "EUR", -2),
            return_exceptions=True,
        )

        [refusal] = [answer for answer in answers if isinstance(answer, BaseException)]
        assert isinstance(refusal, Refused)
        assert refusal.reason == "CURRENCY_IMMUTABLE"


@pytest.mark.parametrize("code", ["EUR", "ETH"])
async def test_what_amounts_of_a_currency_mean_never_changes(
    servers: tuple[WalletApi, WalletApi], code: str
) -> None:
    for server in servers:
        with pytest.raises(Refused, match="CURRENCY_IMMUTABLE"):
            await server.put_currency(code, reference.Currency(3))
        listed = await server.admin.ListCurrencies(pb.ListCurrenciesRequest(), timeout=TIMEOUT_S)
        assert {"EUR": 2, "ETH": 18}.items() <= {c.currency_code: c.scale for c in listed.currencies}.items()


async def test_an_unknown_currency_or_source_is_told_by_name() -> None:
    registry = Registry(Store())
    await registry.refresh()

    with pytest.raises(CurrencyUnknown) as currency:
        registry.currency("XYZ", "amount.currency_code")
    with pytest.raises(SourceNotFound, match="nobody"):
        registry.source("nobody")
    assert (currency.value.field, currency.value.currency) == ("amount.currency_code", "XYZ")


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), ValueError("a word of a newer version")])
async def test_what_is_known_stays_in_use_and_is_read_again_after_any_failure(error: Exception) -> None:
    store = Store()
    registry = Registry(store)
    await registry.refresh()
    store.failures = [error, error]
    store.currencies["GEM"] = GEM
    refresher = asyncio.create_task(registry.keep_fresh(0.001))

    async def is_fresh() -> bool:
        assert registry.currency("EUR", "") == EUR
        return GEM in registry.currencies()

    await until(is_fresh, what="the registry is read again")
    refresher.cancel()
    await asyncio.gather(refresher, return_exceptions=True)
    assert store.failures == []


async def test_a_slow_read_from_before_a_change_does_not_undo_it() -> None:
    store = Store()
    registry = Registry(store)
    await registry.refresh()
    slow_read = store.slow_read = asyncio.Event()
    slow = asyncio.create_task(registry.refresh())
    await a_few_turns()

    change = asyncio.create_task(registry.put_currency(GEM))
    await a_few_turns()
    slow_read.set()
    await asyncio.gather(slow, change)

    assert registry.currency("GEM", "") == GEM


async def test_one_read_is_for_all_who_did_not_find_something() -> None:
    store = Store()
    registry = Registry(store)
    await registry.refresh()
    slow_read = store.slow_read = asyncio.Event()
    first = asyncio.create_task(registry.renew())
    await a_few_turns()

    store.currencies["GEM"] = GEM
    later = [asyncio.create_task(registry.renew()) for _ in range(50)]
    await a_few_turns()
    slow_read.set()
    await asyncio.gather(first, *later)

    assert registry.currency("GEM", "") == GEM
    assert store.reads == 3


async def test_who_did_not_find_something_is_told_that_it_could_not_be_looked_up() -> None:
    store = Store()
    registry = Registry(store)
    store.failures = [LedgerUnavailable("away")]

    with pytest.raises(LedgerUnavailable):
        await registry.renew()
    await registry.renew()

    assert registry.currency("EUR", "") == EUR
