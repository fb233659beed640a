"""While Postgres is away: plain play goes on whatever it names, and no bet locks a rate a second time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from fx.conversions import RateOrigin
from persistence.errors import LedgerUnavailable
from persistence.transactions import Outcome, TransactionKind
from persistence.valkey.hydration import Hydration
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import EUR, movement, wallets
from tests.forgetful import Oblivion, oblivion
from tests.integration.test_foreign_transactions import DATABASE, SOURCES, Player, bet, on, win
from tests.market import Market


@dataclass(frozen=True, slots=True)
class Evening:
    """A player whose older ids the store can be made to forget, and whose ledger can be away."""

    player: Player
    oblivion: Oblivion
    monkeypatch: pytest.MonkeyPatch

    async def forget(self) -> None:
        await self.player.house.drain()
        await self.oblivion.forget_fields([self.player.name])

    @contextmanager
    def without_a_ledger(self) -> Iterator[None]:
        async def away(*_: object) -> None:
            raise LedgerUnavailable("away")

        with self.monkeypatch.context() as patched:
            patched.setattr(Hydration, "_ask_ledger", away)
            yield


@pytest_asyncio.fixture
async def evening(
    valkey: EmbeddedValkey, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Evening]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    market = Market({("USD", "EUR"): "0.9200"})
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with (
            wallets(url, ledger_dsn, sources=SOURCES, rates=market) as house,
            oblivion(url, ledger_dsn) as forgetting,
        ):
            player = await Player(house, market, store).with_wallets(EUR)
            yield Evening(player, forgetting, monkeypatch)


@pytest.mark.parametrize(
    "kind",
    [
        TransactionKind.BET,
        TransactionKind.TIP,
        TransactionKind.JACKPOT_WIN,
        TransactionKind.PROMOTIONAL_WIN,
    ],
)
async def test_plain_play_that_names_an_old_transaction_goes_on(
    evening: Evening, kind: TransactionKind
) -> None:
    player = evening.player
    await player.one(bet("b1", 10, EUR), source="strict")
    await evening.forget()

    with evening.without_a_ledger():
        step = replace(movement(kind, "x1", 10), reference="b1")
        done = await player.one(step, source="strict")

    assert done.outcome is Outcome.APPLIED


async def test_a_bet_in_an_old_round_waits_for_the_rate_that_it_has_locked(evening: Evening) -> None:
    player = evening.player
    await player.one(on(EUR, bet("b1", 1000, round_id="r")))
    await evening.forget()
    player.market.rates["USD", "EUR"] = "0.5000"

    with evening.without_a_ledger(), pytest.raises(LedgerUnavailable):
        await player.one(on(EUR, bet("b2", 1000, round_id="r")))

    second = await player.one(on(EUR, bet("b2", 1000, round_id="r")))
    won = await player.one(win("w1", 1000, round_id="r"))
    assert second.conversion is not None
    assert (second.converted, second.conversion.origin, won.converted) == (920, RateOrigin.ROUND, 920)
