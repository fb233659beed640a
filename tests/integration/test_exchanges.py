"""An exchange: two steps of one call, at a rate that was promised, once and in time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from fx.conversions import RateOrigin
from fx.currencies import CurrencyStatus
from fx.quotes import Quote, least_sale, new_quote
from fx.rate_locks import Side
from persistence.calls import RestoreOutcome, Step
from persistence.drainer import wall_clock_ms
from persistence.errors import RefusalReason, Refused
from persistence.exchanges import exchange_steps
from persistence.outbox import decode_record
from persistence.transactions import OutboxPosition, PlayerId, TransactionId, WalletStatus
from persistence.valkey.engine import deadline_after
from persistence.valkey.outbox_reader import outbox_reader
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import EUR, USD, rollback, wallets
from tests.integration.test_foreign_transactions import DATABASE, SOURCES, Player
from tests.market import Market

ENABLED = CurrencyStatus.ENABLED
THERE, BACK = ("EUR", "USD"), ("USD", "EUR")


@pytest_asyncio.fixture
async def player(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Player]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    market = Market({("EUR", "USD"): "1.10", ("USD", "EUR"): "0.90"}, spread_bps=100)
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with wallets(url, ledger_dsn, sources=SOURCES, rates=market) as house:
            yield await Player(house, market, store).with_wallets(EUR, USD)


def quoted(
    player: Player, *, sell: int = 1000, valid_ms: int = 30_000, way: tuple[str, str] = THERE
) -> Quote:
    return new_quote(
        source_id="games",
        player_id=player.name,
        lock=player.market.lock(*way, Side.RECEIVED),
        sell_amount=sell,
        expires_ms=wall_clock_ms() + valid_ms,
    )


def exchange(name: str, quote: Quote, *, buy_status: CurrencyStatus = ENABLED) -> tuple[Step, ...]:
    return exchange_steps(
        TransactionId(name),
        quote,
        sell_status=ENABLED,
        buy_status=buy_status,
        grace_ms=0,
    )


async def balances(player: Player) -> tuple[int, int]:
    return await player.cash(EUR), await player.cash(USD)


async def test_both_sides_move_at_the_rate_that_was_promised(player: Player) -> None:
    quote = quoted(player)
    player.market.rates["EUR", "USD"] = "1.50"

    sold, bought = await player.play(*exchange("e1", quote))

    assert await balances(player) == (9000, 11_089)
    assert sold.conversion is None
    assert bought.conversion is not None
    assert (bought.converted, bought.conversion.origin) == (1089, RateOrigin.QUOTE)
    assert bought.conversion.lock == quote.lock


async def test_what_the_player_does_not_get_is_the_houses_in_balance(
    player: Player,
) -> None:
    quote = quoted(player, sell=1009)

    await player.play(*exchange("e1", quote))

    assert await player.legs("e1") == {("cash", "EUR"): -1009, ("exchanges", "EUR"): 1009}
    assert await player.legs(quote.transaction_id) == {
        ("cash", "USD"): 1098,
        ("fx_position", "USD"): -1110,
        ("fx_spread", "USD"): 11,
        ("fx_rounding", "USD"): 1,
        ("fx_position", "EUR"): 1009,
        ("exchanges", "EUR"): -1009,
    }


async def test_a_quote_is_used_once(player: Player) -> None:
    quote = quoted(player)
    await player.play(*exchange("e1", quote))

    assert await player.refused(*exchange("e2", quote)) is RefusalReason.QUOTE_USED
    assert await balances(player) == (9000, 11_089)


async def test_a_quote_that_many_use_at_once_is_used_once(player: Player) -> None:
    quote = quoted(player)

    async def attempt(number: int) -> str:
        try:
            await player.play(*exchange(f"e{number}", quote))
        except Refused as refused:
            return refused.details.reason
        return "OK"

    outcomes = Counter(await asyncio.gather(*map(attempt, range(20))))

    assert outcomes == {"OK": 1, "QUOTE_USED": 19}
    assert await balances(player) == (9000, 11_089)


async def test_a_quote_that_is_over_is_refused_and_its_replay_still_replays(player: Player) -> None:
    used, late = quoted(player, valid_ms=500), quoted(player, valid_ms=-1)
    first = await player.play(*exchange("e1", used))
    await asyncio.sleep(0.6)

    assert await player.refused(*exchange("e2", late)) is RefusalReason.QUOTE_EXPIRED
    assert await player.refused(*exchange("e2", late)) is RefusalReason.QUOTE_EXPIRED
    again = await player.play(*exchange("e1", used))

    assert again == tuple(replace(result, replayed=True) for result in first)
    assert await balances(player) == (9000, 11_089)


async def test_who_cannot_pay_gets_nothing_and_the_quote_is_gone(player: Player) -> None:
    quote = quoted(player, sell=10_001)

    assert await player.refused(*exchange("e1", quote)) is RefusalReason.INSUFFICIENT_FUNDS
    assert await player.refused(*exchange("e1", quote)) is RefusalReason.INSUFFICIENT_FUNDS
    assert await player.refused(*exchange("e2", quote)) is RefusalReason.QUOTE_USED
    assert await balances(player) == (10_000, 10_000)


async def test_neither_side_of_an_exchange_can_be_rolled_back(player: Player) -> None:
    quote = quoted(player)
    await player.play(*exchange("e1", quote))

    for number, original in enumerate(("e1", quote.transaction_id)):
        refused = await player.refused(rollback(f"x{number}", original))
        assert refused is RefusalReason.NOT_REVERSIBLE


async def test_a_wallet_that_is_closed_and_a_currency_that_is_disabled_buy_nothing(player: Player) -> None:
    await player.house.set_status(player.name, WalletStatus.CLOSED, USD)
    disabled = exchange("e2", quoted(player), buy_status=CurrencyStatus.DISABLED)

    assert await player.refused(*exchange("e1", quoted(player))) is RefusalReason.WALLET_CLOSED
    assert await player.refused(*disabled) is RefusalReason.CURRENCY_DISABLED
    assert await balances(player) == (10_000, 10_000)


async def test_a_used_quote_is_remembered_by_the_ledger(player: Player) -> None:
    quote = quoted(player)
    first = await player.play(*exchange("e1", quote))

    await player.forget()

    assert await player.refused(*exchange("e2", quote)) is RefusalReason.QUOTE_USED
    again = await player.play(*exchange("e1", quote))
    assert [(result.entry_id, result.converted) for result in again] == [
        (result.entry_id, result.converted) for result in first
    ]


async def test_there_is_nothing_to_gain_by_going_there_and_back(player: Player) -> None:
    player.market.spread_bps = 0
    player.market.rates["USD", "EUR"] = "10/11"

    for amount in (3, 10, 11, 99, 1000, 7_999):
        before = await balances(player)
        there = quoted(player, sell=amount)
        await player.play(*exchange(f"there-{amount}", there))
        back = quoted(player, sell=there.buy_amount, way=BACK)
        await player.play(*exchange(f"back-{amount}", back))
        after = await balances(player)
        assert after[0] <= before[0]
        assert after[1] == before[1]


async def test_what_would_buy_nothing_is_refused(player: Player) -> None:
    refused = await player.refused(*exchange("e1", quoted(player, sell=1, way=BACK)))

    assert refused is RefusalReason.AMOUNT_TOO_SMALL
    assert await balances(player) == (10_000, 10_000)


async def test_a_thousand_exchanges_in_both_directions_at_once_lose_nothing(player: Player) -> None:
    quotes = {
        way: [quoted(player, sell=7 + number % 5, way=way) for number in range(500)] for way in (THERE, BACK)
    }
    calls = [
        player.play(*exchange(f"{way[0]}-{number}", quotes[way][number]))
        for number in range(500)
        for way in (THERE, BACK)
    ]

    await asyncio.gather(*calls)

    sold = {way: sum(quote.sell_amount for quote in given) for way, given in quotes.items()}
    bought = {way: sum(quote.buy_amount for quote in given) for way, given in quotes.items()}
    assert await balances(player) == (
        10_000 - sold[THERE] + bought[BACK],
        10_000 - sold[BACK] + bought[THERE],
    )


async def test_what_is_bought_may_be_named_instead(player: Player) -> None:
    lock = player.market.lock("EUR", "USD", Side.RECEIVED)

    await player.play(*exchange("e1", quoted(player, sell=least_sale(lock, 10_000))))

    assert await balances(player) == (10_000 - 9183, 20_000)


async def test_who_has_no_wallet_to_sell_from_is_told_so(player: Player) -> None:
    poor = await Player(player.house, player.market, player.store).with_wallets(EUR)

    refused = await poor.refused(*exchange("e1", quoted(poor, way=BACK)))

    assert refused is RefusalReason.WALLET_NOT_FOUND
    assert await poor.cash(EUR) == 10_000


@pytest.mark.parametrize("changed", [{"transaction_id": "e1"}, {"quote": "another"}])
async def test_half_an_exchange_is_never_booked_again(player: Player, changed: dict[str, str]) -> None:
    quote = quoted(player)
    await player.play(*exchange("e2", quote))
    async with outbox_reader(player.house.valkey_url, timeout_s=5.0) as reader:
        raw = (await reader.read_all(player.partition, OutboxPosition(1, -1)))[-1]
    sale, purchase = decode_record(raw.stream_id, raw.fields).entries
    if "transaction_id" in changed:
        other = TransactionId(changed["transaction_id"])
        halves = [replace(sale, transaction_id=other), replace(purchase, reference=other)]
    else:
        other = TransactionId(changed["quote"])
        halves = [replace(sale, reference=other), replace(purchase, transaction_id=other)]

    outcomes = [
        await player.house.engine.restore(PlayerId(player.name), half, deadline=deadline_after(5.0))
        for half in halves
    ]

    assert set(outcomes) == {RestoreOutcome.KNOWN, RestoreOutcome.OTHER_EXCHANGE}
    assert await balances(player) == (9000, 11_089)


async def test_a_whole_exchange_that_was_cut_off_is_booked_again(player: Player) -> None:
    quote = quoted(player)
    await player.play(*exchange("e1", quote))
    async with outbox_reader(player.house.valkey_url, timeout_s=5.0) as reader:
        raw = (await reader.read_all(player.partition, OutboxPosition(1, -1)))[-1]
    entries = decode_record(raw.stream_id, raw.fields).entries
    renamed = {"e1": "f1", quote.transaction_id: "quote-f"}

    outcomes = [
        await player.house.engine.restore(
            PlayerId(player.name),
            replace(
                entry,
                transaction_id=TransactionId(renamed[entry.transaction_id]),
                reference=renamed[entry.reference],
            ),
            deadline=deadline_after(5.0),
        )
        for entry in entries
    ]

    assert outcomes == [RestoreOutcome.BOOKED, RestoreOutcome.BOOKED]
    assert await balances(player) == (8000, 12_178)
