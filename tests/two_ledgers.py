"""A store, the ledger that it belongs to, and an older copy of that ledger."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from persistence.adoption import adoption
from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.restored_ledger import Followed, RestoredLedger
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.keys import player_keys
from persistence.valkey.outbox_reader import outbox_reader
from persistence.valkey.records import decode_round, transaction_fields
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, USD, wallets
from tests.forgetful import oblivion
from tests.ledgers import Ledgers
from tests.mixed_play import SOURCES
from tests.repairs import NO_LIMIT, PARTITION, PLAYER, Evening, deposit

_LASTING = ("state", "fingerprint", "amount", "cash_change", "held_change")


@asynccontextmanager
async def evening(store_url: str, dsn: str) -> AsyncIterator[Evening]:
    """As it is found."""
    async with (
        Redis.from_url(store_url) as store,
        wallets(store_url, dsn, sources=SOURCES) as hot,
        oblivion(store_url, dsn) as forgetting,
        ledger_connection(dsn, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S) as sql,
    ):
        repairing = Repairing(hot.engine, AdoptingLedger(sql), RepairList(sql), forgetting.forgetter)
        yield Evening(hot, repairing, forgetting, sql, store)


@dataclass(frozen=True, slots=True)
class TwoLedgers:
    """One store; the ledger that it belongs to, and a copy of that which stayed behind."""

    store_url: str
    newer: str
    older: str

    async def follow(self) -> list[Followed]:
        async with AsyncExitStack() as stack:
            adopting = await stack.enter_async_context(
                adoption(postgres_url=self.older, valkey_url=self.store_url)
            )
            connection = await stack.enter_async_context(
                ledger_connection(self.older, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S)
            )
            store = await stack.enter_async_context(outbox_reader(self.store_url, timeout_s=TIMEOUT_S))
            players = await stack.enter_async_context(
                hot_wallets(self.store_url, partition_count=PARTITION_COUNT, timeout_s=TIMEOUT_S)
            )
            restored = RestoredLedger(connection, store, players, adopting)
            return [one async for one in restored.follow(await adopting.behind_stores())]

    async def findings(self) -> list[Finding]:
        audit = Audit(self.older, valkey_url=self.store_url)
        return [event async for event in audit.run() if isinstance(event, Finding)]

    async def answers(self) -> dict[str, tuple[str, ...]]:
        """What each id would be answered with again."""
        async with Redis.from_url(self.store_url, decode_responses=True) as store:
            texts = await store.hgetall(player_keys(PARTITION, PLAYER).ids)
        known = {str(field): transaction_fields(str(text)) for field, text in texts.items()}
        return {
            field: tuple(of[name] for name in _LASTING)
            for field, of in known.items()
            if of["state"] != "awaited"
        }


@asynccontextmanager
async def two_ledgers(
    ledgers: Ledgers, store_url: str, dice: random.Random, *, calls: int
) -> AsyncIterator[TwoLedgers]:
    """Played before the copy was made, after it, and with something left in the outbox."""
    async with ledgers.fresh() as newer:
        async with evening(store_url, newer) as before:
            await before.wallets.open(PLAYER)
            await before.wallets.open(PLAYER, USD)
            await before.wallets.move(PLAYER, deposit("start", 300), source="cashier")
            await before.play_at_random(dice, calls=calls)
            await before.wallets.drain()
        async with ledgers.fresh(template=newer.rpartition("/")[2]) as older:
            async with evening(store_url, newer) as after:
                await after.play_at_random(dice, calls=calls)
                await after.wallets.drain()
                for number in range(3):
                    await after.wallets.move(PLAYER, deposit(f"waiting-{number}", 5), source="cashier")
            yield TwoLedgers(store_url, newer, older)


def purse(balances: object) -> list[tuple[object, ...]]:
    return [(b.currency, b.status, b.buckets) for b in balances]  # type: ignore[attr-defined]


async def require_all_back(found: TwoLedgers, answers: dict[str, tuple[str, ...]], had: object) -> None:
    """The player has what they had, and every id is answered as before; the books agree."""
    async with evening(found.store_url, found.older) as again:
        await again.repair()
        assert purse(await again.balances()) == had
        told = [*await again.stories("history_forked"), *await again.stories("memory_lost")]
        assert not [story for story in told if "could not" in story or "had cash" in story]
        assert await again.waiting_records() == 0
        await require_memory(again)
        await again.wallets.move(PLAYER, deposit("afterwards", 1), source="cashier")
        await again.wallets.drain()
    now = await found.answers()
    assert {field: now.get(field) for field in answers} == answers
    assert await found.findings() == []


async def require_memory(again: Evening) -> None:
    """The store remembers what the ledger would tell it, but for when a round was used last."""
    [memory] = await again.oblivion.memory.players([PLAYER], since_ms=0, most_ids=NO_LIMIT, most_older=0)
    keys = player_keys(PARTITION, PLAYER)
    ids, rounds = await again.texts(keys.ids), await again.texts(keys.rounds)
    assert ids == {name: memory.ids[name] for name in ids}
    unused = {name: replace(decode_round(name, text), used_ms=0) for name, text in rounds.items()}
    assert unused == {name: replace(decode_round(name, memory.rounds[name]), used_ms=0) for name in rounds}


async def before_the_loss(found: TwoLedgers) -> tuple[dict[str, tuple[str, ...]], object]:
    async with evening(found.store_url, found.newer) as last:
        return await found.answers(), purse(await last.balances())
