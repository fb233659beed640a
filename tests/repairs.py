"""One player and whoever repairs, for tests of what is booked again and what is undone."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

import pytest
from redis.asyncio import Redis

from persistence.adoption import adoption
from persistence.calls import Step
from persistence.errors import RefusalReason, Refused
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.salvage import Salvage
from persistence.transactions import PlayerId, TransactionKind, WalletStatus, partition_of
from persistence.valkey.engine import deadline_after
from persistence.valkey.keys import player_keys
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, USD, Wallets, movement, wallets
from tests.forgetful import Oblivion, oblivion
from tests.mixed_play import SOURCES, some_step
from tests.slip_steps import SlipDealer

DATABASE = 11
"""Of the shared server; the service's own data are in database 0."""
PLAYER = PlayerId("player-1")
PARTITION = partition_of(PLAYER, PARTITION_COUNT)
CALLS, NO_LIMIT = 300, 1_000_000

bet = partial(movement, TransactionKind.BET, game="g")
win = partial(movement, TransactionKind.WIN)
deposit = partial(movement, TransactionKind.DEPOSIT)


class Crash(Exception):
    """The program ends here."""


@dataclass(frozen=True, slots=True)
class Evening:
    """One player with 100 cents, and whoever repairs."""

    wallets: Wallets
    repairing: Repairing
    oblivion: Oblivion
    ledger: Connection
    store: Redis

    async def repair(self) -> None:
        """Until nothing is left to do."""
        for _ in range(3):
            await self.repairing.run_once()
            await self.wallets.drain()

    async def cut_off(self) -> None:
        """As an operator does where the ledger cannot follow the store."""
        postgres_url, valkey_url = self.wallets.ledger_dsn, self.wallets.valkey_url
        async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as adopting:
            await Salvage(postgres_url, valkey_url, adopting).cut_off(PARTITION, dry_run=False)

    async def forget(self) -> None:
        """As after a day."""
        await self.wallets.drain()
        await self.oblivion.forget_fields([PLAYER])

    async def cash(self) -> int:
        """In the store, and in the ledger, which has everything by now."""
        view = await self.wallets.engine.read_player(PLAYER, deadline=deadline_after(TIMEOUT_S))
        await self.wallets.drain()
        [memory] = await self.oblivion.memory.players([PLAYER], since_ms=0, most_ids=1000, most_older=1000)
        wallet = view.balances[0]
        assert memory.wallets["EUR"].split("\x1f")[2] == str(wallet.buckets.cash)
        return wallet.buckets.cash

    async def require_memory_of_the_ledger(self, *, complete: bool = True) -> None:
        """The store remembers of ids and rounds what the ledger would tell it, to the letter: all of it, or
        what it has not forgotten.
        """
        [memory] = await self.oblivion.memory.players([PLAYER], since_ms=0, most_ids=NO_LIMIT, most_older=0)
        keys = player_keys(PARTITION, PLAYER)
        for key, told in ((keys.ids, memory.ids), (keys.rounds, memory.rounds)):
            remembered = await self.texts(key)
            assert remembered == (told if complete else {name: told[name] for name in remembered})

    async def play_at_random(self, dice: random.Random, *, calls: int = CALLS) -> None:
        """Calls of all sources, some of them refused, that leave something of everything behind."""
        asked: defaultdict[str, list[Step]] = defaultdict(list)
        slips = {source: SlipDealer(dice) for source in SOURCES}
        for number in range(calls):
            source = dice.choice(tuple(SOURCES))
            steps = [some_step(dice, asked[source]) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
            if number % 3 == 0:
                steps = slips[source].some_steps()
            with suppress(Refused):
                await self.wallets.move(PLAYER, *steps, source=source)
            if dice.random() < 0.02:
                await self.wallets.set_status(PLAYER, dice.choice((*WalletStatus, WalletStatus.ACTIVE)), USD)

    async def eur_cash(self) -> int:
        """In the store alone, which may be ahead of the ledger."""
        view = await self.wallets.engine.read_player(PLAYER, deadline=deadline_after(TIMEOUT_S))
        [wallet] = [balance for balance in view.balances if balance.currency == "EUR"]
        return wallet.buckets.cash

    async def balances(self) -> object:
        return await self.balances_of(PLAYER)

    async def balances_of(self, player: PlayerId) -> object:
        return (await self.wallets.engine.read_player(player, deadline=deadline_after(TIMEOUT_S))).balances

    async def refusal(self, step: object, **where: str) -> RefusalReason:
        with pytest.raises(Refused) as caught:
            await self.wallets.move(PLAYER, step, **where)  # type: ignore[arg-type]
        return caught.value.details.reason

    async def open_incidents(self) -> list[str]:
        """Of what went wrong with transactions."""
        rows = await self.ledger.fetch(
            "SELECT description FROM ledger.incidents WHERE resolved_time IS NULL AND kind <> 'memory_lost' "
            "ORDER BY incident_id"
        )
        return [row["description"] for row in rows]

    async def waiting_records(self) -> int:
        count = await self.ledger.fetchval("SELECT count(*) FROM ledger.salvaged WHERE restored_time IS NULL")
        return int(count)

    async def stories(self, kind: str) -> list[str]:
        rows = await self.ledger.fetch(
            "SELECT description FROM ledger.incidents WHERE kind = $1 ORDER BY incident_id", kind
        )
        return [row["description"] for row in rows]

    async def texts(self, key: str) -> dict[str, str]:
        """A hash of the store."""
        texts = cast("dict[bytes, bytes]", await self.store.hgetall(key))
        return {name.decode(): text.decode() for name, text in texts.items()}


@asynccontextmanager
async def repaired_evening(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Evening]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with (
            wallets(url, ledger_dsn, sources=SOURCES) as hot,
            oblivion(url, ledger_dsn) as forgetting,
            ledger_connection(ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S) as sql,
        ):
            repairing = Repairing(hot.engine, AdoptingLedger(sql), RepairList(sql), forgetting.forgetter)
            await hot.open(PLAYER)
            await hot.move(PLAYER, deposit("start", 100), source="cashier")
            await hot.drain()
            yield Evening(hot, repairing, forgetting, sql, store)
