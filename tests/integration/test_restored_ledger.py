"""A ledger that is older than its store goes on with all that the store still knows, whatever was played, and
wherever the repair was broken off.

The older ledger is a copy that was made in the middle of the play.
"""

import random
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from persistence.adoption import adopt_partitions
from persistence.errors import SetupRefused
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.transactions import PlayerId, WalletStatus, partition_of
from persistence.valkey.keys import epoch_key
from persistence.valkey.outbox_reader import OutboxReader, outbox_reader
from persistence.witness import Witness
from service.embedded import EmbeddedValkey
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S
from tests.ledgers import Ledgers
from tests.repairs import PARTITION, PLAYER, Crash, Evening, bet, deposit
from tests.two_ledgers import TwoLedgers, before_the_loss, evening, purse, require_all_back, two_ledgers

STEPS = {
    "the outbox is kept": (RepairList, "salvage"),
    "the epoch starts": (AdoptingLedger, "start_epoch"),
    "the store is taken over": (OutboxReader, "take_over"),
    "the epoch is open": (AdoptingLedger, "open"),
    "the outbox is cut": (OutboxReader, "trim"),
    "the quarantine is left": (RepairList, "leave_quarantine"),
    "the drain goes on": (AdoptingLedger, "redrive"),
}


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


async def vouched_for(evening: Evening, valkey: EmbeddedValkey) -> None:
    """As by a server that is at work on this store."""
    async with outbox_reader(valkey.url, timeout_s=TIMEOUT_S) as store:
        incarnation = (await store.survey([PARTITION]))[PARTITION].incarnation
    await AdoptingLedger(evening.ledger).vouch("on-ours", {PARTITION: incarnation})


async def test_what_two_stores_wrote_in_epochs_of_one_number_is_all_booked_once(
    ledgers: Ledgers, store_url: str, private_valkey: EmbeddedValkey
) -> None:
    """The restored ledger was served on an empty store before somebody thought of the one that it lost."""
    async with two_ledgers(ledgers, store_url, random.Random(4), calls=40) as found:
        await promote(store_url, found.newer)
        async with evening(store_url, found.newer) as theirs:
            for name in ("theirs-1", "theirs-2"):
                await theirs.wallets.move(PLAYER, deposit(name, 7), source="cashier")
            await theirs.wallets.drain()
            await theirs.wallets.move(PLAYER, deposit("theirs-3", 8), source="cashier")
            had = await theirs.eur_cash()
        async with evening(private_valkey.url, found.older) as ours:
            for name in ("ours-1", "ours-2", "ours-3", "ours-4"):
                await ours.wallets.move(PLAYER, deposit(name, 100), source="cashier")
            await ours.wallets.drain()
            await vouched_for(ours, private_valkey)
            with pytest.raises(SetupRefused, match="server on-ours reaches another store"):
                await found.follow()
            await AdoptingLedger(ours.ledger).vouch("on-ours", {})

        [followed] = await found.follow()

        assert (followed.epoch, followed.unlike) == (3, 1)
        async with evening(store_url, found.older) as again:
            await again.repair()
            assert await again.eur_cash() == had + 400
            rows = await again.ledger.fetch(
                "SELECT transaction_id FROM ledger.entries "
                "WHERE transaction_id ~ '^(ours|theirs|waiting)-' ORDER BY transaction_id"
            )
            assert [row["transaction_id"] for row in rows] == [
                *(f"ours-{number}" for number in range(1, 5)),
                *(f"theirs-{number}" for number in range(1, 4)),
                *(f"waiting-{number}" for number in range(3)),
            ]
            assert await again.waiting_records() == 0
            assert not [s for s in await again.stories("history_forked") if "could not" in s]
            await again.wallets.drain()
        assert await found.findings() == []


async def test_players_who_came_since_the_backup_are_opened_again(ledgers: Ledgers, store_url: str) -> None:
    newcomers = [
        player
        for number in range(100)
        if partition_of(player := PlayerId(f"newcomer-{number}"), PARTITION_COUNT) == PARTITION
    ]
    async with two_ledgers(ledgers, store_url, random.Random(10), calls=20) as found:
        async with evening(store_url, found.newer) as last:
            for player in newcomers:
                await last.wallets.open(player)
                await last.wallets.move(player, deposit("first", 7), source="cashier")
            await last.wallets.set_status(newcomers[0], WalletStatus.DEBITS_FROZEN)
            await last.wallets.drain()
            had = [purse(await last.balances_of(player)) for player in newcomers]

        [followed] = await found.follow()

        assert (followed.unlike, len(newcomers) > 2) == (0, True)
        async with evening(store_url, found.older) as again:
            await again.repair()
            assert [purse(await again.balances_of(player)) for player in newcomers] == had
        assert await found.findings() == []
