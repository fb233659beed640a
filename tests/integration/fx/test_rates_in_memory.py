"""The book of rates in memory: read again and again, and used no longer than its rates hold."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from fx.currencies import Currency, CurrencyKind, CurrencyStatus
from fx.rate_book import RateBook
from fx.rate_locks import RateLock, Side
from fx.rates import Pair, Rate, RateState, Spread
from persistence.errors import CurrencyDepegged, LedgerUnavailable, RateHeld, RateStale, RateUnknown
from persistence.postgres.rate_rows import RecordedRate
from persistence.postgres.rates import Decision, PushedRate, PushResult
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from service.rates import Rates
from service.registry import Registry
from stakehold.v1 import fx_service_pb2 as pb
from tests.answers import Refused
from tests.fx_api import MINUTE_MS, PairApi, fx_api, now_ms, refusal
from tests.hot_path import a_few_turns
from tests.integration.test_registry import Store as RegistryStore
from tests.ledgers import Ledgers
from tests.serving import grounds
from tests.waiting import until

NOW_MS = 1_700_000_000_000
PAIR = Pair("EUR", "USD", stale_after_s=60, jump_bps=100, two_person_bps=500)
STABLE = Pair(
    "USDT", "USD", stale_after_s=60, jump_bps=100, two_person_bps=500, peg=Decimal(1), peg_band_bps=50
)


def rate(mid: str, *, rate_id: int = 1, base: str = "EUR", age_s: int = 0) -> Rate:
    published_ms = NOW_MS - age_s * 1000
    return Rate(rate_id, "feed", base, "USD", Decimal(mid), published_ms, published_ms)


class Store:
    """Rates in memory that fail, or take their time, as a test wants them to."""

    def __init__(self, *rates: Rate) -> None:
        self.rates = list(rates)
        self.failures: list[Exception] = []
        self.slow_read: asyncio.Event | None = None

    async def book(self, *, deadline: float) -> RateBook:
        rates = tuple(self.rates)
        slow_read, self.slow_read = self.slow_read, None
        if slow_read:
            await slow_read.wait()
        if self.failures:
            raise self.failures.pop(0)
        scales = {"EUR": 2, "USD": 2, "USDT": 6, "XYZ": 2}
        return RateBook(rates=rates, pairs=[PAIR, STABLE], spreads=(), pivots=(), scales=scales)

    async def push(
        self, source: str, rates: Sequence[PushedRate], *, pushed_by: str, deadline: float
    ) -> Sequence[PushResult]:
        self.rates = [rate(str(pushed.mid), rate_id=2) for pushed in rates]
        return []

    async def decide(
        self, rate_id: int, decision: Decision, *, by: str, reason: str, deadline: float
    ) -> RecordedRate:
        raise LedgerUnavailable("away")

    async def put_pair(self, pair: Pair, *, deadline: float) -> bool:
        raise LedgerUnavailable("away")

    async def put_spread(self, spread: Spread, *, deadline: float) -> bool:
        raise LedgerUnavailable("away")

    async def remove_spread(self, spread: Spread, *, deadline: float) -> bool:
        raise LedgerUnavailable("away")

    async def put_pivots(self, codes: Sequence[str], *, deadline: float) -> None:
        raise LedgerUnavailable("away")


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


async def rates_of(store: Store, clock: Clock | None = None) -> Rates:
    currencies = RegistryStore()
    currencies.currencies["USD"] = Currency(
        "USD", "Dollar", 2, CurrencyKind.FIAT, CurrencyStatus.NO_NEW_DEBITS
    )
    registry = Registry(currencies)
    await registry.refresh()
    rates = Rates(store, registry, read_timeout_s=1.0, now_ms=clock or Clock())
    await rates.refresh()
    return rates


async def push(rates: Rates, mid: str) -> None:
    pushed = PushedRate("EUR", "USD", Decimal(mid), NOW_MS)
    await rates.push("feed", [pushed], pushed_by="", deadline=deadline_after(1.0))


def locked(rates: Rates) -> RateLock:
    return rates.lock("EUR", "USD", side=Side.PAID)


async def test_a_lock_is_of_the_rate_that_was_read_last() -> None:
    store = Store(rate("1.1"))
    rates = await rates_of(store)
    store.rates = [rate("1.2", rate_id=2)]
    assert locked(rates).rate_id == "1"

    await rates.refresh()

    assert locked(rates).rate_id == "2"


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), ValueError("a word of a newer version")])
async def test_what_is_known_stays_in_use_and_is_read_again_after_any_failure(error: Exception) -> None:
    store = Store(rate("1.1"))
    rates = await rates_of(store)
    store.failures = [error, error]
    store.rates = [rate("1.2", rate_id=2)]
    refresher = asyncio.create_task(rates.keep_fresh(0.001))

    async def is_fresh() -> bool:
        return locked(rates).rate_id == "2"

    await until(is_fresh, what="rates are read again")
    refresher.cancel()
    await asyncio.gather(refresher, return_exceptions=True)
    assert store.failures == []


async def test_with_postgres_away_a_rate_is_used_until_it_is_stale() -> None:
    store, clock = Store(rate("1.1")), Clock()
    rates = await rates_of(store, clock)
    store.failures = [LedgerUnavailable("away")] * 2
    clock.now_ms += MINUTE_MS
    with pytest.raises(LedgerUnavailable):
        await rates.refresh()
    assert locked(rates).rate_id == "1"

    clock.now_ms += 1

    with pytest.raises(RateStale) as refused:
        locked(rates)
    assert (refused.value.currency, refused.value.wallet_currency) == ("EUR", "USD")


async def test_a_push_counts_although_the_book_cannot_be_read_right_after_it() -> None:
    store = Store(rate("1.1"))
    rates = await rates_of(store)
    store.failures = [LedgerUnavailable("away")]

    await push(rates, "1.2")

    assert locked(rates).rate_id == "1"
    await rates.refresh()
    assert locked(rates).rate_id == "2"


async def test_a_slow_read_from_before_a_push_does_not_undo_it() -> None:
    store = Store(rate("1.1"))
    rates = await rates_of(store)
    slow_read = store.slow_read = asyncio.Event()
    slow = asyncio.create_task(rates.refresh())
    await a_few_turns()

    change = asyncio.create_task(push(rates, "1.2"))
    await a_few_turns()
    slow_read.set()
    await asyncio.gather(slow, change)

    assert locked(rates).rate_id == "2"


async def test_an_offer_has_the_wallets_currency_its_status_and_the_lock() -> None:
    rates = await rates_of(Store(rate("1.1")))

    offer = rates.offer("EUR", "USD", side=Side.PAID, player_group="")

    currency, status, lock = offer.split(";")
    assert (currency, status, RateLock.parse(lock)) == ("USD", "no_new_debits", locked(rates))


@pytest.mark.parametrize(
    ("currency", "rates", "kind", "word"),
    [
        ("XYZ", [], RateUnknown, "RATE_UNKNOWN"),
        ("EUR", [rate("1", age_s=61)], RateStale, "RATE_STALE"),
        (
            "EUR",
            [
                rate("1", age_s=61),
                Rate(2, "feed", "EUR", "USD", Decimal(2), NOW_MS, NOW_MS, RateState.HELD),
            ],
            RateHeld,
            "RATE_HELD",
        ),
        ("USDT", [rate("0.98", base="USDT")], CurrencyDepegged, "CURRENCY_DEPEGGED"),
    ],
)
async def test_an_offer_of_no_rate_says_why_in_the_words_of_the_api(
    currency: str, rates: list[Rate], kind: type[Exception], word: str
) -> None:
    known = await rates_of(Store(*rates))

    with pytest.raises(kind):
        known.lock(currency, "USD", side=Side.PAID)
    offer = known.offer(currency, "USD", side=Side.PAID, player_group="")
    assert offer == f"USD;no_new_debits;!{word}"


async def test_for_a_currency_that_is_not_known_yet_there_is_no_rate() -> None:
    rates = await rates_of(Store(rate("1.1")))

    assert rates.offer("EUR", "NEW", side=Side.PAID, player_group="") == "NEW;enabled;!RATE_UNKNOWN"


async def test_a_server_without_postgres_converts_on_until_its_rates_are_stale(
    ledgers: Ledgers, valkey: EmbeddedValkey
) -> None:
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(registry_refresh_s=0.05, call_timeout_s=1.0) as server,
        fx_api(server.address) as api,
    ):
        pair, lasting = await api.pair(stale_after_s=3), await api.pair()
        await pair.accepted("1.5")
        await lasting.accepted("2.5")
        await ledgers.cut_off(ground.ledger_dsn)
        try:
            assert (await pair.mid(), await lasting.mid()) == ("1.5", "2.5")
            assert (await refusal(pair.push("1.5", now_ms()))).reason == "LEDGER_UNAVAILABLE"

            async def is_stale() -> bool:
                try:
                    return await pair.mid() != "1.5"
                except Refused as refused:
                    return refused.reason == "RATE_STALE"

            await until(is_stale, what="the rate is stale")
            assert await lasting.mid() == "2.5"
        finally:
            await ledgers.let_in_again(ground.ledger_dsn)

        async def is_back() -> bool:
            try:
                return (await pair.push("1.5", now_ms())).outcome == pb.PUSH_OUTCOME_ACCEPTED
            except Refused:
                return False

        await until(is_back, what="rates are taken again")
        assert await PairApi(api, pair.base, pair.quote).mid() == "1.5"
