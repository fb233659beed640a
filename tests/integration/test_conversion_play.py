"""Play in many currencies, at random, beside a model that counts in fractions."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from itertools import count
from math import ceil, floor
from random import Random

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from fx.currencies import CurrencyStatus
from fx.quotes import new_quote
from fx.rate_locks import Side
from persistence.calls import Step, StepResult
from persistence.drainer import wall_clock_ms
from persistence.errors import RefusalReason
from persistence.exchanges import exchange_steps
from persistence.transactions import CurrencyCode, TransactionId, TransactionKind
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import movement, rollback, wallets
from tests.integration.test_foreign_transactions import DATABASE, SOURCES, Player
from tests.market import SCALES, Market

BET, WIN = TransactionKind.BET, TransactionKind.WIN
CURRENCIES = [CurrencyCode(code) for code in SCALES]
WALLETS = CURRENCIES[:4]
START = 10**9
STEPS = 250


def to_18_digits(exact: Fraction, rounding: str) -> Fraction:
    context = Context(prec=18, rounding=rounding)
    return Fraction(context.divide(Decimal(exact.numerator), Decimal(exact.denominator)))


@dataclass(slots=True)
class Bet:
    """What the model knows of one: its rate is None where nothing was converted."""

    name: str
    currency: CurrencyCode
    wallet: CurrencyCode
    rate: Fraction | None
    amount: int
    taken: int
    is_settled: bool = False
    is_undone: bool = False

    def worth(self, amount: int) -> int:
        return amount if self.rate is None else floor(amount * self.rate)


@dataclass(slots=True)
class Model:
    """Balances, as somebody would work them out who knows nothing of the scripts."""

    random: Random
    market: Market
    balances: dict[CurrencyCode, int] = field(default_factory=dict)
    bets: list[Bet] = field(default_factory=list)
    rounds: dict[tuple[str, CurrencyCode, CurrencyCode], Fraction] = field(default_factory=dict)
    names: "count[int]" = field(default_factory=lambda: count(1))

    def name(self) -> str:
        return f"t{next(self.names)}"

    def move_market(self) -> None:
        for currency in CURRENCIES:
            for wallet in WALLETS:
                if currency != wallet:
                    top, bottom = self.random.randint(1, 10**6), self.random.randint(1, 10**6)
                    self.market.rates[currency, wallet] = f"{top}/{bottom}"
        self.market.spread_bps = self.random.choice([0, 0, 1, 150, 2500])

    def rate(self, currency: CurrencyCode, wallet: CurrencyCode, side: Side) -> Fraction:
        mid = Fraction(str(self.market.rates[currency, wallet]))
        minor = mid * Fraction(10) ** (SCALES[wallet] - SCALES[currency])
        if side is Side.PAID:
            return to_18_digits(minor * (10_000 + self.market.spread_bps) / 10_000, ROUND_CEILING)
        return to_18_digits(minor * (10_000 - self.market.spread_bps) / 10_000, ROUND_FLOOR)


@dataclass(slots=True)
class Table:
    """One player, and what was sent for them."""

    player: Player
    model: Model
    sent: list[tuple[tuple[Step, ...], tuple[StepResult, ...]]] = field(default_factory=list)

    async def send(self, *steps: Step) -> tuple[StepResult, ...]:
        results = await self.player.play(*steps)
        self.sent.append((steps, results))
        return results

    async def bet(self) -> None:
        model = self.model
        currency, wallet = model.random.choice(CURRENCIES), model.random.choice(WALLETS)
        round_id = model.random.choice(["", "", "r1", "r2", "r3"])
        amount = model.random.randint(0, 10 ** model.random.randint(0, 6))
        rate = None
        if currency != wallet:
            rate = model.rounds.get((round_id, currency, wallet)) if round_id else None
            rate = rate or model.rate(currency, wallet, Side.PAID)
        taken = amount if rate is None else ceil(amount * rate)
        step = replace(
            movement(BET, model.name(), amount, currency, round_id=round_id), wallet_currency=wallet
        )
        if taken > model.balances[wallet]:
            assert await self.player.refused(step) is RefusalReason.INSUFFICIENT_FUNDS
            return
        await self.send(step)
        if rate is not None and round_id:
            model.rounds.setdefault((round_id, currency, wallet), rate)
        model.balances[wallet] -= taken
        model.bets.append(Bet(step.transaction_id, currency, wallet, rate, amount, taken))

    async def win(self) -> None:
        live = [bet for bet in self.model.bets if not bet.is_undone]
        if not live:
            return
        bet = self.model.random.choice(live)
        amount = self.model.random.randint(0, 2 * bet.amount)
        won = bet.worth(amount)
        step = replace(
            movement(WIN, self.model.name(), amount, bet.currency),
            reference=bet.name,
            wallet_currency=bet.wallet,
        )
        if amount and not won:
            assert await self.player.refused(step) is RefusalReason.AMOUNT_TOO_SMALL
            return
        await self.send(step)
        bet.is_settled = True
        self.model.balances[bet.wallet] += won

    async def undo(self) -> None:
        open_bets = [bet for bet in self.model.bets if not bet.is_settled and not bet.is_undone]
        if open_bets:
            bet = self.model.random.choice(open_bets)
            await self.send(rollback(self.model.name(), bet.name))
            bet.is_undone = True
            self.model.balances[bet.wallet] += bet.taken

    async def exchange(self) -> None:
        model = self.model
        sell, buy = model.random.sample(WALLETS, 2)
        amount = model.random.randint(1, 10 ** model.random.randint(1, 6))
        bought = floor(amount * model.rate(sell, buy, Side.RECEIVED))
        quote = new_quote(
            source_id="games",
            player_id=self.player.name,
            lock=model.market.lock(sell, buy, Side.RECEIVED),
            sell_amount=amount,
            expires_ms=wall_clock_ms() + 60_000,
        )
        steps = exchange_steps(
            TransactionId(model.name()),
            quote,
            sell_status=CurrencyStatus.ENABLED,
            buy_status=CurrencyStatus.ENABLED,
            grace_ms=0,
        )
        if amount > model.balances[sell]:
            assert await self.player.refused(*steps) is RefusalReason.INSUFFICIENT_FUNDS
        elif not bought:
            assert await self.player.refused(*steps) is RefusalReason.AMOUNT_TOO_SMALL
        else:
            await self.send(*steps)
            model.balances[sell] -= amount
            model.balances[buy] += bought

    async def again(self) -> None:
        """A replay is the first answer, but for what the wallets are now."""
        undone = {bet.name for bet in self.model.bets if bet.is_undone}
        steps, first = self.model.random.choice(self.sent)
        if steps[0].transaction_id in undone:
            assert await self.player.refused(*steps) is RefusalReason.TRANSACTION_ROLLED_BACK
            return
        replayed = await self.player.play(*steps)
        for one, other in zip(first, replayed, strict=True):
            kept = replace(one, replayed=True, balance_now=None)
            assert replace(other, balance_now=None, outcome=one.outcome) == kept

    async def move_market(self) -> None:
        self.model.move_market()

    async def cash(self) -> dict[CurrencyCode, int]:
        return {wallet: await self.player.cash(wallet) for wallet in WALLETS}


@pytest_asyncio.fixture
async def player(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Player]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    market = Market()
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with wallets(url, ledger_dsn, sources=SOURCES, rates=market) as house:
            yield await Player(house, market, store).with_wallets(*WALLETS, start=START)


@pytest.mark.parametrize("seed", range(3))
async def test_every_amount_is_the_models_and_every_currency_sums_to_zero(player: Player, seed: int) -> None:
    model = Model(Random(seed), player.market, dict.fromkeys(WALLETS, START))
    model.move_market()
    table = Table(player, model)
    moves = [table.bet] * 6 + [table.win] * 4 + [table.undo, table.exchange, table.exchange, table.again]
    await table.bet()

    for _ in range(STEPS):
        await model.random.choice([*moves, table.move_market])()

    assert await table.cash() == model.balances
    assert await sums_by_currency(player) == dict.fromkeys(await currencies_posted(player), 0)


async def test_what_is_undone_in_turn_leaves_no_trace_in_any_account(player: Player) -> None:
    model = Model(Random(7), player.market, dict.fromkeys(WALLETS, START))
    model.move_market()
    table = Table(player, model)
    for _ in range(30):
        await table.bet()
        model.move_market()

    while any(not bet.is_undone for bet in model.bets):
        await table.undo()

    assert await table.cash() == dict.fromkeys(WALLETS, START)
    house = await house_balances(player)
    assert {
        bucket: amount for bucket, amount in house.items() if bucket[0].startswith("fx_") and amount
    } == {}


async def house_balances(player: Player) -> dict[tuple[str, str], int]:
    await player.house.drain()
    rows = await _asked(
        player,
        "SELECT bucket, currency, sum(balance) AS balance FROM ledger.balances "
        "JOIN ledger.accounts USING (account_id) WHERE owner_kind = 'house' GROUP BY bucket, currency",
    )
    return {(row["bucket"], row["currency"]): int(row["balance"]) for row in rows}


async def sums_by_currency(player: Player) -> dict[str, int]:
    await player.house.drain()
    rows = await _asked(player, "SELECT currency, amount FROM ledger.postings")
    sums: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        sums[row["currency"]] += int(row["amount"])
    return dict(sums)


async def currencies_posted(player: Player) -> set[str]:
    rows = await _asked(player, "SELECT DISTINCT currency FROM ledger.accounts")
    return {row["currency"] for row in rows}


async def _asked(player: Player, question: str) -> list[asyncpg.Record]:
    async with asyncio.timeout(10.0):
        connection = await asyncpg.connect(player.house.ledger_dsn)
        try:
            return list(await connection.fetch(question))
        finally:
            await connection.close()
