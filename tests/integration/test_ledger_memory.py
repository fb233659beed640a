"""What the ledger tells of a player is what the store remembers, to the letter."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import asyncpg
import pytest
import pytest_asyncio

from persistence.errors import LedgerUnavailable
from persistence.player_memory import PlayerMemory, Question
from persistence.postgres.database import Connection, LedgerRole, Pool, ledger_pool
from persistence.postgres.reading.memory import LedgerMemory
from persistence.slips import Slip, SlipState
from persistence.transactions import (
    ON_SLIPS,
    SEPARATOR,
    OutboxPosition,
    PlayerId,
    TransactionKind,
    WalletStatus,
    partition_of,
)
from persistence.valkey.records import transaction_fields
from service.embedded import EmbeddedValkey, embedded_valkey
from tests.drained_ledger import PARTITION_COUNT, USD, Wallets, movement, wallets
from tests.ledgers import Ledgers
from tests.mixed_play import (
    ONLOOKER,
    PLAYERS,
    SOURCES,
    STRANGER,
    Played,
    everybody,
    play,
    remembered,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")
NO_LIMIT = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played(tmp_path_factory: pytest.TempPathFactory, ledgers: Ledgers) -> AsyncIterator[Played]:
    """A long mixed play of a few players, for tests that only read."""
    folder = tmp_path_factory.mktemp("memory")
    async with embedded_valkey(folder) as store, ledgers.fresh() as dsn:
        async with wallets(store.url, dsn, sources=SOURCES) as money:
            middle_ms = await play(money, random.Random(20261124))
        yield Played(dsn, {player: await remembered(store.url, player) for player in everybody()}, middle_ms)


@asynccontextmanager
async def remembering(ledger_dsn: str) -> AsyncIterator[LedgerMemory]:
    async with reader_pool(ledger_dsn) as pool:
        yield LedgerMemory(pool)


@asynccontextmanager
async def reader_pool(ledger_dsn: str) -> AsyncIterator[Pool]:
    async with ledger_pool(ledger_dsn, role=LedgerRole.READER, size=2, statement_timeout_s=30.0) as pool:
        yield pool


async def everything(memory: LedgerMemory, *players: PlayerId) -> list[PlayerMemory]:
    return await memory.players(players, since_ms=0, most_ids=NO_LIMIT, most_older=0)


def state_of(text: str) -> str:
    return text.partition(SEPARATOR)[0]


async def test_the_ledger_remembers_a_player_as_the_store_does(played: Played) -> None:
    async with remembering(played.ledger_dsn) as memory:
        memories = await everything(memory, *everybody())

    for player, told in zip(everybody(), memories, strict=True):
        store = played.store[player]
        assert told.player_id == player
        assert told.wallets == store.wallets
        assert told.ids == store.ids
        assert told.rounds == store.rounds
        assert told.older == ()


async def test_the_play_had_something_of_everything(played: Played) -> None:
    ids = [text for player in PLAYERS for text in played.store[player].ids.values()]
    rounds = [text.split(SEPARATOR) for player in PLAYERS for text in played.store[player].rounds.values()]
    records = [transaction_fields(text) for text in ids]

    states = {"applied", "rolled_back", "refused", "no_movement", "tombstone", "awaited", "round_closed"}
    assert {record["state"] for record in records} == states
    for state in states - {"no_movement", "round_closed"}:
        assert any(record["state"] == state and record["wins"] not in {"", "0"} for record in records), state
    assert any(record["late"] == "1" for record in records)
    on_slips = [record for record in records if record["slip"]]
    assert {record["operation"] for record in on_slips} == {*ON_SLIPS, "hold", "place", "rollback"}
    assert {Slip.parse(record["slip"]).state for record in on_slips} == {*SlipState}
    assert any(record["amount"] == str(10**33 + 1) for record in records)
    assert any(record["receivable_change"] not in {"", "0"} for record in records)
    assert {fields[0] for fields in rounds} == {"open", "closed"}
    for column in range(1, 5):
        assert any(int(fields[column]) > 1 for fields in rounds)
    assert any(int(fields[3]) < 0 for fields in rounds)
    assert not played.store[STRANGER].wallets
    assert played.store[ONLOOKER].wallets
    assert not played.store[ONLOOKER].ids


@pytest.mark.parametrize("most_ids", [0, 1, 5, NO_LIMIT])
async def test_a_window_and_what_is_older_cover_all_that_the_store_remembers(
    played: Played, most_ids: int
) -> None:
    async with remembering(played.ledger_dsn) as memory:
        memories = await memory.players(
            PLAYERS, since_ms=played.middle_ms, most_ids=most_ids, most_older=NO_LIMIT
        )

    for told in memories:
        store = played.store[told.player_id]
        assert told.older
        older = set(told.older)
        assert len(older) == len(told.older)
        assert told.wallets == store.wallets
        assert told.ids.items() <= store.ids.items()
        assert told.rounds.items() <= store.rounds.items()
        assert older.isdisjoint(told.ids)
        assert older.isdisjoint(told.rounds)
        assert older | told.ids.keys() | told.rounds.keys() >= store.ids.keys() | store.rounds.keys()
        newest = sorted(filter(None, (recent(text, played.middle_ms) for text in store.ids.values())))
        assert {place for text in told.ids.values() if (place := place_of(text))} >= set(
            newest[-most_ids:] if most_ids else ()
        )
        assert bool(told.ids) == bool(most_ids)


def recent(text: str, since_ms: int) -> tuple[int, ...] | None:
    place = place_of(text)
    return place if place and place[0] >= since_ms else None


def place_of(text: str) -> tuple[int, ...] | None:
    """Booked time, then place in the outbox; None of what is only awaited."""
    record = transaction_fields(text)
    if not record["position"]:
        return None
    return int(record["booked_ms"]), *map(int, record["position"].split("-"))


async def test_more_older_fields_than_may_be_listed_are_not_listed(played: Played) -> None:
    async with remembering(played.ledger_dsn) as memory:

        async def older(most_older: int) -> tuple[str, ...] | None:
            (told,) = await memory.players(
                PLAYERS[:1], since_ms=played.middle_ms, most_ids=3, most_older=most_older
            )
            return told.older

        listed = await older(NO_LIMIT)
        assert listed
        assert await older(len(listed)) == listed
        assert await older(len(listed) - 1) is None
        assert await older(0) is None


async def test_players_are_told_in_the_order_asked(played: Played) -> None:
    asked = (STRANGER, PLAYERS[2], PLAYERS[0], PLAYERS[2])
    async with remembering(played.ledger_dsn) as memory:
        memories = await everything(memory, *asked)

        assert await everything(memory) == []
        assert await memory.recall([]) == []
    assert tuple(told.player_id for told in memories) == asked
    assert memories[1] == memories[3]
    assert memories[0] == replace(memories[0], wallets={}, ids={}, rounds={}, older=())


async def test_what_is_recalled_is_what_the_store_remembers(played: Played) -> None:
    dice = random.Random(20261124)
    questions = [some_question(dice, played) for _ in range(120)]
    async with remembering(played.ledger_dsn) as memory:
        found = await memory.recall(questions)

    for question, recollection in zip(questions, found, strict=True):
        store = played.store[question.player_id]
        assert recollection.ids.items() <= store.ids.items()
        assert recollection.rounds.items() <= store.rounds.items()
        assert recollection.ids.keys() >= store.ids.keys() & set(question.ids)
        assert recollection.rounds.keys() >= store.rounds.keys() & set(question.rounds)


def some_question(dice: random.Random, played: Played) -> Question:
    """Some ids and rounds of a player, or none, and some that the player has nothing under."""
    player = dice.choice(everybody())
    store = played.store[player]
    ids = dice.sample(sorted(store.ids), min(len(store.ids), dice.choice((0, 1, 1, 5))))
    rounds = dice.sample(sorted(store.rounds), min(len(store.rounds), dice.choice((0, 1, 3))))
    return Question(
        player,
        (*ids, SEPARATOR.join(("strict", f"never-{dice.random()}"))),
        (*rounds, SEPARATOR.join(("strict", "", "never")), SEPARATOR.join(("strict", "slots", "never"))),
    )


async def test_what_is_recalled_brings_all_that_it_refers_to(played: Played) -> None:
    player = PLAYERS[1]
    store = played.store[player]
    async with remembering(played.ledger_dsn) as memory:
        found = await memory.recall([Question(player, (field,), ()) for field in store.ids])

    seen_rounds = 0
    for field, recollection in zip(store.ids, found, strict=True):
        source = field.partition(SEPARATOR)[0]
        assert field in recollection.ids
        for text in recollection.ids.values():
            record = transaction_fields(text)
            reference = SEPARATOR.join((source, record["reference"]))
            round_ = SEPARATOR.join((source, record["game"], record["round"]))
            assert recollection.ids.get(reference) == store.ids.get(reference)
            assert recollection.rounds.get(round_) == store.rounds.get(round_)
            seen_rounds += round_ in recollection.rounds
    assert seen_rounds > 20


async def test_what_nobody_used_is_absent(played: Played) -> None:
    player = PLAYERS[0]
    (known, *_) = played.store[player].ids
    source, _, transaction_id = known.partition(SEPARATOR)
    elsewhere = SEPARATOR.join((f"{source}-2", transaction_id))
    longer = known + "0"
    if longer in played.store[player].ids:
        longer += "x"
    (round_, *_) = played.store[player].rounds
    async with remembering(played.ledger_dsn) as memory:
        of_player, of_stranger = await memory.recall(
            [
                Question(player, (elsewhere, longer), (round_ + "x", "x" + round_)),
                Question(STRANGER, (known,), (round_,)),
            ]
        )

    for found in (of_player, of_stranger):
        assert (found.ids, found.rounds) == ({}, {})


@pytest_asyncio.fixture(loop_scope="session")
async def money(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Wallets]:
    """Wallets in a store and a ledger of this test's own."""
    async with wallets(private_valkey.url, ledger_dsn, sources=SOURCES) as made:
        yield made


class InterruptedPool:
    """A pool whose connections do something else right after their first query."""

    def __init__(self, pool: Pool, money: Wallets) -> None:
        self._pool = pool
        self._money = money
        self.interruptions = 0

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["InterruptedPool"]:
        async with self._pool.acquire() as connection:
            self._connection = connection
            yield self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, *arguments: Any) -> Any:
        rows = await self._connection.fetch(*arguments)
        if not self.interruptions:
            self.interruptions += 1
            await self._money.move(PLAYERS[0], movement(TransactionKind.BET, "b2", 7), source="strict")
            await self._money.drain()
        return rows


async def test_a_cursor_is_of_the_same_moment_as_the_texts(money: Wallets) -> None:
    player, field = PLAYERS[0], SEPARATOR.join(("strict", "b2"))
    partition = partition_of(player, PARTITION_COUNT)
    await money.open(player)
    await money.move(player, movement(TransactionKind.DEPOSIT, "d1", 10), source="strict")
    await money.drain()
    before = await remembered(money.valkey_url, player)
    async with reader_pool(money.ledger_dsn) as pool:
        (told,) = await everything(
            LedgerMemory(cast("Pool", interrupted := InterruptedPool(pool, money))), player
        )
        (then,) = await everything(LedgerMemory(pool), player)
        again = cast("Pool", InterruptedPool(pool, money))
        again.interruptions = 1  # type: ignore[attr-defined]
        (found,) = await LedgerMemory(again).recall([Question(player, (field,), ())])

    assert interrupted.interruptions == 1
    assert (told.wallets, told.ids) == (before.wallets, before.ids)
    after = await remembered(money.valkey_url, player)
    assert (then.wallets, then.ids) == (after.wallets, after.ids)
    assert then.cursor == await cursor_of(money.ledger_dsn, partition) == found.cursor
    assert told.cursor == replace(then.cursor, sequence=then.cursor.sequence - 1)
    assert found.ids == {field: after.ids[field]}


async def cursor_of(ledger_dsn: str, partition: int) -> OutboxPosition:
    connection: Connection = await asyncpg.connect(ledger_dsn)
    try:
        row = await connection.fetchrow(
            "SELECT cursor_epoch, cursor_sequence FROM ledger.partitions WHERE partition = $1", partition
        )
        assert row is not None
        return OutboxPosition(*row)
    finally:
        await connection.close()


async def test_a_wallet_is_its_newest_entry_and_no_sum_of_a_sum(money: Wallets) -> None:
    player = PLAYERS[0]
    await money.open(player)
    await money.open(player, USD)
    await money.move(player, movement(TransactionKind.DEPOSIT, "d1", 10), source="strict")
    await money.set_status(player, WalletStatus.DEBITS_FROZEN, USD)
    await money.drain()
    connection: Connection = await asyncpg.connect(money.ledger_dsn)
    await connection.execute("UPDATE ledger.wallets SET version = 9, status = 'closed', credit_line = 5")
    await connection.execute("UPDATE ledger.balances SET balance = balance + 1")
    await connection.execute("DELETE FROM ledger.wallets WHERE currency = 'USD'")
    await connection.close()

    async with remembering(money.ledger_dsn) as memory:
        (told,) = await everything(memory, player)

    assert told.wallets == (await remembered(money.valkey_url, player)).wallets
    assert {currency: text.split(SEPARATOR)[:2] for currency, text in told.wallets.items()} == {
        "EUR": ["2", "active"],
        "USD": ["2", "debits_frozen"],
    }


async def test_too_many_older_ids_are_not_listed_in_part(money: Wallets) -> None:
    player = PLAYERS[0]
    await money.open(player)
    for number in range(5):
        await money.move(player, movement(TransactionKind.DEPOSIT, f"d{number}", 10), source="strict")
    await money.drain()

    async with remembering(money.ledger_dsn) as memory:
        for most_ids in range(5):
            left_out = 5 - most_ids
            (fitting,) = await memory.players([player], since_ms=0, most_ids=most_ids, most_older=left_out)
            (too_many,) = await memory.players(
                [player], since_ms=0, most_ids=most_ids, most_older=left_out - 1
            )
            assert len(fitting.older or ()) == left_out
            assert too_many.older is None


async def test_a_transaction_in_a_round_without_a_game_is_found_by_its_round(money: Wallets) -> None:
    player = PLAYERS[0]
    await money.open(player)
    await money.move(player, movement(TransactionKind.DEPOSIT, "d1", 10), source="strict")
    for name, game in (("b1", ""), ("b2", ""), ("b3", "slots")):
        await money.move(
            player, movement(TransactionKind.BET, name, 1, round_id="r1", game=game), source="strict"
        )
    await money.drain()
    store = await remembered(money.valkey_url, player)
    without, within = (SEPARATOR.join(("strict", game, "r1")) for game in ("", "slots"))

    async with remembering(money.ledger_dsn) as memory:
        found = await memory.recall([Question(player, (), (name,)) for name in (without, within)])

    assert found[0].rounds == {without: store.rounds[without]}
    assert found[1].rounds == {within: store.rounds[within]}
    assert store.rounds[without].split(SEPARATOR)[1] == "2"


async def test_a_ledger_that_is_away_is_unavailable(money: Wallets, ledgers: Ledgers) -> None:
    async with remembering(money.ledger_dsn) as memory:
        await ledgers.cut_off(money.ledger_dsn)
        with pytest.raises(LedgerUnavailable):
            await everything(memory, PLAYERS[0])
        with pytest.raises(LedgerUnavailable):
            await memory.recall([Question(PLAYERS[0], (), ())])
        await ledgers.let_in_again(money.ledger_dsn)
