"""What was answered and cut off is booked again, what slipped in is undone: each once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.adoption import Adoption, adopt_partitions, adoption
from persistence.adoption_plan import TakeOver
from persistence.calls import Source, UnknownBetPolicy
from persistence.errors import LedgerUnavailable, RefusalReason, Refused
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.salvage import Salvage
from persistence.transactions import PlayerId, SourceId, TransactionKind, partition_of
from persistence.valkey.engine import deadline_after
from persistence.valkey.hydration import Hydration
from persistence.valkey.keys import player_keys
from persistence.valkey.outbox_reader import OutboxReader
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, Wallets, movement, wallets
from tests.forgetful import Oblivion, oblivion

DATABASE = 11
"""Of the shared server; the service's own data are in database 0."""
PLAYER = PlayerId("player-1")
PARTITION = partition_of(PLAYER, PARTITION_COUNT)
LENIENT = Source(SourceId("lenient"), unknown_bet=UnknownBetPolicy.ACCEPT)

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
        [wallet] = view.balances
        assert memory.wallets["EUR"].split("\x1f")[2] == str(wallet.buckets.cash)
        return wallet.buckets.cash

    async def require_memory_of_the_ledger(self) -> None:
        """The store remembers of ids and rounds what the ledger would tell it, to the letter."""
        [memory] = await self.oblivion.memory.players([PLAYER], since_ms=0, most_ids=1000, most_older=1000)
        keys = player_keys(PARTITION, PLAYER)
        assert await self._texts(keys.ids) == memory.ids
        assert await self._texts(keys.rounds) == memory.rounds

    async def refusal(self, step: object, **where: str) -> RefusalReason:
        with pytest.raises(Refused) as caught:
            await self.wallets.move(PLAYER, step, **where)  # type: ignore[arg-type]
        return caught.value.details.reason

    async def stories(self, kind: str) -> list[str]:
        rows = await self.ledger.fetch(
            "SELECT description FROM ledger.incidents WHERE kind = $1 ORDER BY incident_id", kind
        )
        return [row["description"] for row in rows]

    async def _texts(self, key: str) -> dict[str, str]:
        texts = cast("dict[bytes, bytes]", await self.store.hgetall(key))
        return {name.decode(): text.decode() for name, text in texts.items()}


@pytest_asyncio.fixture
async def evening(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Evening]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with (
            wallets(url, ledger_dsn, sources={"lenient": LENIENT}) as hot,
            oblivion(url, ledger_dsn) as forgetting,
            ledger_connection(ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S) as sql,
        ):
            repairing = Repairing(hot.engine, AdoptingLedger(sql), RepairList(sql), forgetting.forgetter)
            await hot.open(PLAYER)
            await hot.move(PLAYER, deposit("start", 100), source="cashier")
            await hot.drain()
            yield Evening(hot, repairing, forgetting, sql, store)


@pytest.fixture
def ledger_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody can ask the ledger about an id, until it is undone."""

    async def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(Hydration, "_ask_ledger", away)
    return monkeypatch


async def test_what_is_kept_is_not_taken_for_known_by_the_store_that_is_about_to_be_cut_off(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    abandon = Adoption.abandon

    async def abandon_after_a_repair(self: Adoption, number: int, why: str) -> TakeOver:
        await evening.repairing.run_once()
        return await abandon(self, number, why)

    monkeypatch.setattr(Adoption, "abandon", abandon_after_a_repair)

    await evening.cut_off()
    await evening.repair()

    assert await evening.cash() == 90
    [story] = await evening.stories("history_forked")
    assert story.endswith("it was booked again under its id")


@pytest.mark.parametrize("step", ["take_over", "trim"])
async def test_a_crash_while_an_outbox_is_cut_off_loses_nothing(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))

    async def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(OutboxReader, step, crash)
    with pytest.raises(Crash):
        await evening.cut_off()
    monkeypatch.undo()
    await evening.wallets.move(PLAYER, bet("b2", 5))

    adopted = await adopt_partitions(
        postgres_url=evening.wallets.ledger_dsn, valkey_url=evening.wallets.valkey_url
    )
    adopted.require_all()
    await evening.repairing.run_once()
    await evening.cut_off()
    await evening.repair()

    assert await evening.cash() == 85
    [replay] = await evening.wallets.move(PLAYER, bet("b1", 10))
    assert replay.replayed
