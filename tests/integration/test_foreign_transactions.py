"""Amounts in another currency than the wallet's: which wallet, which rate, and what reaches the ledger."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import cast

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from fx.conversions import RateOrigin
from fx.currencies import CurrencyStatus
from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from persistence.calls import ForeignCurrencyPolicy, Source, Step, StepResult, UnknownBetPolicy
from persistence.errors import RefusalReason, Refused
from persistence.transactions import (
    CurrencyCode,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    partition_of,
)
from persistence.valkey.engine import deadline_after
from persistence.valkey.keys import player_keys
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import EUR, PARTITION_COUNT, USD, Wallets, movement, rollback, wallets
from tests.market import Market
from tests.wallet_api import new_name

DATABASE = 13
BRL, ETH, JPY = (CurrencyCode(code) for code in ("BRL", "ETH", "JPY"))
BET, WIN, DEPOSIT = TransactionKind.BET, TransactionKind.WIN, TransactionKind.DEPOSIT
CONVERTS = Source(SourceId("games"), foreign_currency=ForeignCurrencyPolicy.CONVERT)
SOURCES = {
    "games": CONVERTS,
    "strict": Source(SourceId("strict")),
    "trusting": replace(CONVERTS, source_id=SourceId("trusting"), unknown_bet=UnknownBetPolicy.ACCEPT),
}


@dataclass(slots=True)
class Player:
    """One player in a house where games count in other currencies."""

    house: Wallets
    market: Market
    store: Redis
    name: str = field(default_factory=lambda: new_name("player"))

    async def with_wallets(self, *currencies: CurrencyCode, start: int = 10_000) -> "Player":
        for currency in currencies:
            await self.house.open(self.name, currency)
            if start:
                await self.play(movement(DEPOSIT, f"start-{currency}", start, currency))
        return self

    async def play(self, *steps: Step, source: str = "games") -> tuple[StepResult, ...]:
        return await self.house.move(self.name, *steps, source=source)

    async def one(self, step: Step, source: str = "games") -> StepResult:
        [result] = await self.play(step, source=source)
        return result

    async def refused(self, *steps: Step, source: str = "games") -> RefusalReason:
        with pytest.raises(Refused) as caught:
            await self.play(*steps, source=source)
        return caught.value.details.reason

    async def cash(self, currency: CurrencyCode = EUR) -> int:
        view = await self.house.engine.read_player(PlayerId(self.name), deadline=deadline_after(5.0))
        return {balance.currency: balance.buckets.cash for balance in view.balances}[currency]

    async def legs(self, transaction_id: str) -> dict[tuple[str, str], int]:
        """A transaction's postings, by bucket and currency, once it is in the ledger."""
        await self.house.drain()
        connection = await asyncpg.connect(self.house.ledger_dsn)
        try:
            rows = await connection.fetch(
                "SELECT bucket, postings.currency, postings.amount FROM ledger.entries "
                "JOIN ledger.postings USING (partition, epoch, sequence, entry_index) "
                "JOIN ledger.accounts USING (account_id) WHERE player_id = $1 AND transaction_id = $2",
                self.name,
                transaction_id,
            )
        finally:
            await connection.close()
        return {(row["bucket"], row["currency"]): int(row["amount"]) for row in rows}

    async def memory(self) -> list[dict[bytes, bytes]]:
        """What the store remembers of the player's ids and rounds."""
        _, _, _, ids, rounds, *_ = player_keys(self.partition, PlayerId(self.name))
        return [cast("dict[bytes, bytes]", await self.store.hgetall(key)) for key in (ids, rounds)]

    async def forget(self) -> None:
        """The store forgets the player, who is in the ledger."""
        await self.house.drain()
        _, _, *mine = player_keys(self.partition, PlayerId(self.name))
        await self.store.delete(*mine)

    @property
    def partition(self) -> int:
        return partition_of(PlayerId(self.name), PARTITION_COUNT)


@pytest_asyncio.fixture
async def player(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Player]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    market = Market({("USD", "EUR"): "0.9200", ("JPY", "EUR"): "0.006", ("JPY", "ETH"): "0.0000025"})
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with wallets(url, ledger_dsn, sources=SOURCES, rates=market) as house:
            yield Player(house, market, store)


def bet(name: str, amount: int, currency: CurrencyCode = USD, **more: str) -> Step:
    return movement(BET, name, amount, currency, **more)  # type: ignore[arg-type]


def win(name: str, amount: int, currency: CurrencyCode = USD, *, of: str = "", round_id: str = "") -> Step:
    return replace(movement(WIN, name, amount, currency, round_id=round_id), reference=of)


def on(wallet: CurrencyCode, step: Step) -> Step:
    return replace(step, wallet_currency=wallet)


async def test_a_win_and_a_rollback_use_the_rate_of_their_bet_wherever_the_market_is(player: Player) -> None:
    await player.with_wallets(EUR)

    taken = await player.one(bet("b1", 1000))
    player.market.rates["USD", "EUR"] = "0.9500"
    won = await player.one(win("w1", 2500, of="b1"))
    other = await player.one(bet("b2", 1000))

    assert taken.balance_after is not None
    assert taken.balance_after.buckets.cash == 10_000 - 920
    assert taken.conversion is not None
    assert (taken.conversion.amount, taken.converted, taken.conversion.origin) == (
        1000,
        920,
        RateOrigin.CURRENT,
    )
    assert won.conversion is not None
    assert (won.converted, won.conversion.origin) == (2300, RateOrigin.REFERENCE)
    assert won.conversion.lock == taken.conversion.lock
    assert other.converted == 950
    await player.play(rollback("x1", "w1"), rollback("x2", "b1"), rollback("x3", "b2"))
    assert await player.cash() == 10_000


async def test_a_round_keeps_the_rate_of_its_first_bet(player: Player) -> None:
    await player.with_wallets(EUR)

    await player.one(bet("b1", 1000, round_id="r1"))
    player.market.rates["USD", "EUR"] = "0.5000"
    second = await player.one(bet("b2", 1000, round_id="r1"))
    of_round = await player.one(win("w1", 1000, round_id="r1"))
    elsewhere = await player.one(bet("b3", 1000, round_id="r2"))

    assert [result.converted for result in (second, of_round, elsewhere)] == [920, 920, 500]
    assert second.conversion is not None
    assert second.conversion.origin is RateOrigin.ROUND


async def test_what_is_open_settles_on_its_rate_when_there_is_none_any_more(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1000, round_id="r1"))

    player.market.rates["USD", "EUR"] = RefusalReason.RATE_STALE

    assert await player.refused(bet("b2", 1000)) is RefusalReason.RATE_STALE
    assert (await player.one(win("w1", 500, of="b1"))).converted == 460
    assert (await player.one(win("w2", 500, round_id="r1"))).converted == 460
    player.market.rates["USD", "EUR"] = "0.9000"
    assert (await player.one(bet("b2", 1000))).converted == 900


@pytest.mark.parametrize(
    "reason",
    [
        RefusalReason.RATE_UNKNOWN,
        RefusalReason.RATE_STALE,
        RefusalReason.RATE_HELD,
        RefusalReason.CURRENCY_DEPEGGED,
    ],
)
async def test_without_a_rate_nothing_is_converted_and_nothing_is_remembered(
    player: Player, reason: RefusalReason
) -> None:
    await player.with_wallets(EUR)
    rate = player.market.rates["USD", "EUR"]
    player.market.rates["USD", "EUR"] = reason

    assert await player.refused(bet("b1", 1000)) is reason

    player.market.rates["USD", "EUR"] = rate
    assert (await player.one(bet("b1", 1000))).replayed is False


async def test_a_replay_after_the_market_moved_is_the_first_answer(player: Player) -> None:
    await player.with_wallets(EUR)
    first = await player.one(bet("b1", 1000))

    player.market.rates["USD", "EUR"] = RefusalReason.RATE_STALE
    replayed = await player.one(bet("b1", 1000))

    assert replayed == replace(first, replayed=True)


async def test_an_amount_goes_to_the_wallet_in_its_currency_where_there_is_one(player: Player) -> None:
    await player.with_wallets(EUR, USD)

    plain = await player.one(bet("b1", 1000))

    assert (plain.conversion, await player.cash(USD), await player.cash(EUR)) == (None, 9000, 10_000)


async def test_the_call_may_name_the_wallet(player: Player) -> None:
    await player.with_wallets(EUR, USD)

    converted = await player.one(on(EUR, bet("b1", 1000)), source="strict")
    plain = await player.one(on(USD, bet("b2", 1000)), source="strict")
    won = await player.one(win("w1", 1000, of="b1"), source="strict")

    assert (converted.converted, plain.conversion, won.converted) == (920, None, 920)
    assert (await player.cash(EUR), await player.cash(USD)) == (10_000, 9_000)


async def test_nothing_is_converted_silently(player: Player) -> None:
    await player.with_wallets(EUR)

    assert await player.refused(bet("b1", 1000), source="strict") is RefusalReason.WALLET_NOT_FOUND
    assert await player.refused(on(BRL, bet("b1", 1000))) is RefusalReason.WALLET_NOT_FOUND
    assert player.market.offered <= 1


async def test_with_several_wallets_the_call_has_to_name_one(player: Player) -> None:
    await player.with_wallets(EUR, BRL)

    assert await player.refused(bet("b1", 1000)) is RefusalReason.WALLET_AMBIGUOUS
    assert (await player.one(on(EUR, bet("b1", 1000)))).converted == 920


async def test_a_bet_cannot_be_settled_in_another_currency_or_wallet(player: Player) -> None:
    await player.with_wallets(EUR, BRL)
    player.market.rates["USD", "BRL"] = "5"
    await player.one(on(EUR, bet("b1", 1000)))

    mismatch = RefusalReason.REFERENCE_MISMATCH
    assert await player.refused(win("w1", 1000, EUR, of="b1")) is mismatch
    assert await player.refused(on(BRL, win("w2", 1000, of="b1"))) is mismatch
    assert (await player.one(win("w3", 1000, of="b1"))).converted == 920


async def test_a_rollback_names_the_amount_that_was_asked_for(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1000))

    undo = rollback("x1", "b1")
    other = replace(undo, amount=920, currency=EUR)
    assert await player.refused(other) is RefusalReason.AMOUNT_MISMATCH
    right = replace(undo, transaction_id=TransactionId("x2"), amount=1000, currency=USD)
    assert (await player.one(right)).outcome is Outcome.APPLIED
    assert await player.cash() == 10_000


async def test_debits_are_rounded_up_and_credits_down(player: Player) -> None:
    await player.with_wallets(EUR)
    player.market.rates["USD", "EUR"] = "0.33333"

    taken = await player.one(bet("b1", 100))
    won = await player.one(win("w1", 100, of="b1"))

    assert (taken.converted, won.converted) == (34, 33)


async def test_what_would_be_nothing_is_refused_for_now_and_a_zero_is_not(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1, JPY))

    assert await player.refused(win("w1", 1, JPY, of="b1")) is RefusalReason.AMOUNT_TOO_SMALL
    assert (await player.one(win("w2", 0, JPY, of="b1"))).converted == 0
    assert (await player.one(win("w1", 2, JPY, of="b1"))).converted == 1
    assert await player.cash() == 10_000


async def test_eighteen_decimals_are_exact(player: Player) -> None:
    await player.with_wallets(ETH, start=10**18)

    taken = await player.one(bet("b1", 399_999, JPY))

    assert taken.converted == 999_997_500_000_000_000
    assert await player.cash(ETH) == 10**18 - 999_997_500_000_000_000


async def test_a_refusal_is_remembered_with_what_the_amount_would_have_been(player: Player) -> None:
    await player.with_wallets(EUR, start=900)

    assert await player.refused(bet("b1", 1000)) is RefusalReason.INSUFFICIENT_FUNDS
    player.market.rates["USD", "EUR"] = "0.1000"
    assert await player.refused(bet("b1", 1000)) is RefusalReason.INSUFFICIENT_FUNDS
    view = await player.house.engine.read_player(
        PlayerId(player.name),
        transaction=(SourceId("games"), TransactionId("b1")),
        deadline=deadline_after(5.0),
    )
    assert view.transaction is not None
    assert (view.transaction.currency, view.transaction.amount) == (EUR, 920)
    assert view.transaction.conversion is not None


async def test_a_currency_that_is_disabled_takes_part_on_neither_side(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1000))
    player.market.statuses["EUR"] = CurrencyStatus.NO_NEW_DEBITS

    assert await player.refused(bet("b2", 1000)) is RefusalReason.CURRENCY_DISABLED
    disabled = replace(bet("b3", 1000), currency_status="disabled")
    assert await player.refused(disabled) is RefusalReason.CURRENCY_DISABLED
    assert (await player.one(replace(win("w1", 1000, of="b1"), currency_status="disabled"))).converted == 920


async def test_a_win_that_names_no_bet_uses_the_rate_of_now_and_says_so(player: Player) -> None:
    await player.with_wallets(EUR)
    player.market.spread_bps = 100

    won = await player.one(win("w1", 1000, of="b9"), source="trusting")

    assert won.conversion is not None
    assert (won.converted, won.conversion.origin) == (910, RateOrigin.CURRENT)


async def test_the_steps_of_one_call_share_the_rate_of_its_round(player: Player) -> None:
    await player.with_wallets(EUR)

    results = await player.play(
        bet("b1", 1000, round_id="r1"), bet("b2", 500, round_id="r1"), win("w1", 3000, round_id="r1")
    )

    assert [result.converted for result in results] == [920, 460, 2760]
    assert await player.cash() == 10_000 + 2760 - 920 - 460


async def test_a_converted_bet_and_its_rollback_are_balanced_in_every_currency(player: Player) -> None:
    await player.with_wallets(EUR)
    player.market.rates["USD", "EUR"], player.market.spread_bps = "0.33333", 150

    await player.one(bet("b1", 1001))
    await player.one(win("w1", 2003, of="b1"))
    await player.play(rollback("x1", "w1"), rollback("x2", "b1"))

    taken, won = await player.legs("b1"), await player.legs("w1")
    assert taken == {
        ("cash", "EUR"): -339,
        ("fx_position", "EUR"): 334,
        ("fx_spread", "EUR"): 5,
        ("fx_position", "USD"): -1001,
        ("settlement", "USD"): 1001,
    }
    assert won == {
        ("cash", "EUR"): 677,
        ("fx_position", "EUR"): -668,
        ("fx_spread", "EUR"): -10,
        ("fx_rounding", "EUR"): 1,
        ("fx_position", "USD"): 2003,
        ("settlement", "USD"): -2003,
    }
    assert await player.legs("x2") == {account: -amount for account, amount in taken.items()}
    assert await player.legs("x1") == {account: -amount for account, amount in won.items()}
    audit = Audit(player.house.ledger_dsn, valkey_url=player.house.valkey_url)
    findings = [found async for found in audit.run() if isinstance(found, Finding)]
    assert findings == []


async def test_what_the_ledger_tells_of_a_player_is_what_the_store_remembered(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1000, round_id="r1"))
    player.market.rates["USD", "EUR"] = "0.5"
    await player.play(bet("b2", 200, round_id="r1"), bet("b3", 700, JPY, round_id="r1"))
    await player.play(rollback("x1", "b2"))
    await player.one(win("w1", 100, round_id="r1"))
    await player.refused(bet("b4", 10**9))
    before = await player.memory()

    await player.forget()
    won = await player.one(win("w2", 1000, of="b1"))
    again = await player.one(bet("b5", 1000, round_id="r1"))

    assert (won.converted, again.converted) == (920, 920)
    after = await player.memory()
    ids = {key: text for key, text in after[0].items() if key in before[0]}
    changed = {b"games\x1fb1"}  # counts another win
    assert {key: text for key, text in ids.items() if key not in changed} == {
        key: text for key, text in before[0].items() if key not in changed
    }
    [round_before], [round_after] = before[1].values(), after[1].values()
    assert round_after.split(b"\x1f")[6] == round_before.split(b"\x1f")[6]


async def test_an_operation_that_needs_no_conversion_is_offered_no_rate(player: Player) -> None:
    await player.with_wallets(EUR)

    await player.play(bet("b1", 100, EUR, round_id="r1"), win("w1", 100, EUR, of="b1"))

    assert player.market.offered == 0
    assert (await player.one(rollback("x1", "w1"))).conversion is None


def referring(kind: TransactionKind, name: str, amount: int, *, to: str) -> Step:
    return replace(movement(kind, name, amount, USD), reference=to)


async def test_a_refused_bet_has_locked_nothing(player: Player) -> None:
    await player.with_wallets(EUR, start=900)
    assert await player.refused(bet("b1", 1000)) is RefusalReason.INSUFFICIENT_FUNDS
    player.market.rates["USD", "EUR"] = RefusalReason.RATE_STALE

    prize = referring(TransactionKind.PROMOTIONAL_WIN, "p1", 1000, to="b1")
    assert await player.refused(prize) is RefusalReason.RATE_STALE
    assert await player.refused(win("w1", 1000, of="b1")) is RefusalReason.BET_REFUSED


async def test_what_starts_anew_takes_the_rate_of_now_whatever_it_names(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1000))
    player.market.rates["USD", "EUR"] = "0.5000"

    deposit = await player.one(referring(DEPOSIT, "d1", 1000, to="b1"))
    again = await player.one(replace(bet("b2", 1000), reference="b1"))
    prize = await player.one(referring(TransactionKind.PROMOTIONAL_WIN, "p1", 1000, to="b1"))

    assert (deposit.converted, again.converted, prize.converted) == (500, 500, 920)


async def test_a_locked_round_keeps_nothing_from_the_wallet_in_its_own_currency(
    player: Player,
) -> None:
    await player.with_wallets(EUR, USD)
    await player.one(on(EUR, bet("b1", 1000, round_id="r1")), source="strict")

    plain = await player.one(bet("b2", 1000, round_id="r1"), source="strict")
    deposit = await player.one(referring(DEPOSIT, "d1", 500, to="b1"), source="strict")

    assert (plain.conversion, deposit.conversion) == (None, None)
    assert await player.cash(USD) == 9_500


async def test_a_win_of_a_round_that_is_locked_into_two_wallets_has_to_name_one(player: Player) -> None:
    await player.with_wallets(EUR, BRL)
    player.market.rates["USD", "BRL"] = "5"
    await player.play(on(EUR, bet("b1", 1000, round_id="r1")), on(BRL, bet("b2", 1000, round_id="r1")))

    assert await player.refused(win("w1", 100, round_id="r1")) is RefusalReason.WALLET_AMBIGUOUS
    assert (await player.one(on(BRL, win("w1", 100, round_id="r1")))).converted == 500
    assert (await player.one(win("w2", 100, of="b1"))).converted == 92


async def test_each_step_of_a_call_may_need_a_rate_of_its_own(player: Player) -> None:
    names = [EUR, BRL, JPY]
    await player.with_wallets(*names, start=10**6)
    player.market.rates |= {("USD", "BRL"): "5", ("USD", "JPY"): "150"}
    await player.play(*(on(code, bet(f"b{code}", 100, round_id=f"r{code}")) for code in names))

    results = await player.play(
        *(bet(f"c{number}", 100, round_id=f"r{names[number % 3]}") for number in range(16))
    )

    assert [result.converted for result in results[:3]] == [92, 500, 150]


async def test_a_rollback_that_names_another_currency_is_recorded_without_that_amount(player: Player) -> None:
    await player.with_wallets(EUR)
    await player.one(bet("b1", 1000))
    await player.one(rollback("x1", "b1"))

    again = replace(rollback("x2", "b1"), amount=1000, currency=USD)
    assert (await player.one(again)).outcome is Outcome.ALREADY_ROLLED_BACK

    view = await player.house.engine.read_player(
        PlayerId(player.name),
        transaction=(SourceId("games"), TransactionId("x2")),
        deadline=deadline_after(5.0),
    )
    assert view.transaction is not None
    assert view.transaction.amount is None
