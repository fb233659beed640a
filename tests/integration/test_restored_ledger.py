"""A ledger that is older than its store goes on with all that the store still knows, whatever was played, and
wherever the repair was broken off.

The older ledger is a copy that was made in the middle of the play.
"""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.adoption import adopt_partitions, adoption
from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.restored_ledger import Followed, RestoredLedger
from persistence.valkey.hot_wallets import hot_wallets
from persistence.valkey.keys import epoch_key, player_keys
from persistence.valkey.outbox_reader import OutboxReader, outbox_reader
from persistence.valkey.records import decode_round, transaction_fields
from persistence.witness import Witness
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, USD, wallets
from tests.forgetful import oblivion
from tests.ledgers import Ledgers
from tests.mixed_play import SOURCES
from tests.repairs import NO_LIMIT, PARTITION, PLAYER, Crash, Evening, bet, deposit

DATABASE = 14
_LASTING = ("state", "fingerprint", "amount", "cash_change", "held_change")
STEPS = {
    "the outbox is kept": (RepairList, "salvage"),
    "the epoch starts": (AdoptingLedger, "start_epoch"),
    "the store is taken over": (OutboxReader, "take_over"),
    "the epoch is open": (AdoptingLedger, "open"),
    "the outbox is cut": (OutboxReader, "trim"),
    "the quarantine is left": (RepairList, "leave_quarantine"),
    "the drain goes on": (AdoptingLedger, "redrive"),
}


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


@pytest_asyncio.fixture
async def store_url(valkey: EmbeddedValkey) -> AsyncIterator[str]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    async with Redis.from_url(url) as store:
        await store.flushdb()
        yield url
        await store.flushdb()


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


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_was_played_comes_back(ledgers: Ledgers, store_url: str, seed: int) -> None:
    async with two_ledgers(ledgers, store_url, random.Random(seed), calls=300) as found:
        answers, had = await before_the_loss(found)
        adopted = await adopt_partitions(postgres_url=found.older, valkey_url=found.store_url)
        assert list(adopted.fenced) == [PARTITION]

        [followed] = await found.follow()

        assert (followed.waiting, followed.unlike, followed.may_be_forgotten) == (3, 0, False)
        assert followed.remembered > 20
        await require_all_back(found, answers, had)
        assert await found.follow() == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
async def test_it_may_be_broken_off_anywhere_and_said_again(
    ledgers: Ledgers, store_url: str, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool
) -> None:
    owner, name = STEPS[step]
    async with two_ledgers(ledgers, store_url, random.Random(7), calls=40) as found:
        answers, had = await before_the_loss(found)
        really = getattr(owner, name)

        async def crash(*words: object, **named: object) -> object:
            if is_done:
                await really(*words, **named)
            raise Crash

        with monkeypatch.context() as broken:
            broken.setattr(owner, name, crash)
            with pytest.raises(Crash):
                await found.follow()
        await found.follow()

        await require_all_back(found, answers, had)


async def promote(store_url: str, dsn: str) -> None:
    """The player's partition says that another primary was taken over than the one that it is."""
    async with (
        Redis.from_url(store_url, decode_responses=True) as store,
        ledger_connection(dsn, role=None, statement_timeout_s=TIMEOUT_S) as sql,
    ):
        witness = Witness.parse(str(await store.get(epoch_key(PARTITION))))
        await store.set(epoch_key(PARTITION), str(replace(witness, incarnation="0" * 40)))
        await sql.execute(
            "UPDATE ledger.epochs SET incarnation = $2 WHERE (partition, epoch) = ($1, $3)",
            *(PARTITION, "0" * 40, witness.epoch),
        )


async def test_a_store_that_was_taken_over_since_the_backup_gives_back_what_it_knows(
    ledgers: Ledgers, store_url: str
) -> None:
    async with two_ledgers(ledgers, store_url, random.Random(3), calls=40) as found:
        await promote(store_url, found.newer)
        async with evening(store_url, found.newer) as later:
            await later.wallets.move(PLAYER, deposit("in epoch 2", 7), source="cashier")
            await later.wallets.drain()
            await later.wallets.move(PLAYER, deposit("waits in epoch 2", 8), source="cashier")
        answers, had = await before_the_loss(found)
        adopted = await adopt_partitions(postgres_url=found.older, valkey_url=store_url)
        assert "it may be an old copy" in adopted.fenced[PARTITION]

        [followed] = await found.follow()

        assert (followed.epoch, followed.waiting, followed.unlike) == (3, 1, 0)
        await require_all_back(found, answers, had)


async def test_what_the_store_let_go_of_is_told(ledgers: Ledgers, store_url: str) -> None:
    """Who was idle for the window has left the store, and only the newer ledger knows of the last bet."""
    async with ledgers.fresh() as newer:
        async with evening(store_url, newer) as before:
            await before.wallets.open(PLAYER)
            await before.wallets.move(PLAYER, deposit("start", 300), source="cashier")
            await before.wallets.drain()
        async with ledgers.fresh(template=newer.rpartition("/")[2]) as older:
            async with evening(store_url, newer) as after:
                await after.wallets.move(PLAYER, bet("gone", 100))
                await after.wallets.drain()
                await after.oblivion.forget_players([PLAYER])
            found = TwoLedgers(store_url, newer, older)

            [followed] = await found.follow()

            assert (followed.remembered, followed.may_be_forgotten) == (0, True)
            async with evening(store_url, older) as again:
                assert await again.cash() == 300
