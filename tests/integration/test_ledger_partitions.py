"""Ledger and store are opened for each other once, and know each other from then on."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from persistence.errors import LedgerBroken, SetupRefused, StoreUnavailable
from persistence.partition_opening import OpenedPartitions, open_partitions
from persistence.postgres.partitions import locked_partition_states
from persistence.valkey.keys import epoch_key, outbox_key
from persistence.witness import Witness
from service.embedded import EmbeddedValkey
from tests.draining import Draining, draining, some_play
from tests.integration.conftest import DATABASE
from tests.waiting import until

ALL = set(range(16))


@pytest.fixture
async def unopened(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Draining]:
    """A new ledger and an empty store that have not seen each other."""
    async with draining(f"redis://127.0.0.1:{valkey.port}/{DATABASE}", ledger_dsn, opened=False) as made:
        yield made


async def opened(books: Draining) -> OpenedPartitions:
    return await open_partitions(postgres_url=books.ledger_dsn, valkey_url=books.valkey_url)


async def states(books: Draining) -> set[str]:
    return {row["state"] for row in await books.sql.fetch("SELECT state FROM ledger.partitions")}


async def test_a_new_ledger_plants_its_witness_in_an_empty_store(unopened: Draining) -> None:
    assert await states(unopened) == {"new"}

    assert (await opened(unopened)).witnesses.keys() == ALL

    assert await states(unopened) == {"open"}
    ledger_id = await unopened.sql.fetchval("SELECT ledger_id FROM ledger.settings")
    assert await unopened.feed.client.get(epoch_key(15)) == f"1 {ledger_id}".encode()


async def test_many_programs_may_open_at_once_and_again(unopened: Draining) -> None:
    results = await asyncio.gather(*(opened(unopened) for _ in range(4)))

    assert all(result.witnesses.keys() == ALL and not result.fenced for result in results)
    (await opened(unopened)).require_all()


async def test_one_program_opens_at_a_time(unopened: Draining) -> None:
    async def is_waiting() -> bool:
        waiting = await unopened.sql.fetchval(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        )
        return bool(waiting == 1)

    async with locked_partition_states(unopened.sql) as held:
        second = asyncio.create_task(opened(unopened))
        await until(is_waiting, what="the second program waits")
        assert {partition.state for partition in await held.read()} == {"new"}

    (await second).require_all()


async def test_a_new_ledger_does_not_take_over_the_store_of_another(unopened: Draining) -> None:
    await unopened.feed.client.set(epoch_key(3), str(Witness(1, uuid4())))

    result = await opened(unopened)

    assert result.witnesses.keys() == ALL - {3}
    with pytest.raises(SetupRefused, match=r"1 of 16 partitions are fenced.*of another ledger"):
        result.require_all()


async def test_an_opening_that_was_interrupted_is_done_again(unopened: Draining) -> None:
    await unopened.sql.execute("UPDATE ledger.partitions SET state = 'opening'")
    ledger_id = await unopened.sql.fetchval("SELECT ledger_id FROM ledger.settings")
    await unopened.feed.client.set(epoch_key(0), f"1 {ledger_id}")

    assert (await opened(unopened)).witnesses.keys() == ALL


async def test_a_store_that_lost_its_data_is_fenced_and_never_set_up_again(books: Draining) -> None:
    await books.feed.client.flushdb()

    result = await opened(books)

    assert not result.witnesses
    assert set(result.fenced.values()) == {"the ledger is in epoch 1, but the store has no data"}
    assert await books.feed.client.dbsize() == 0


async def test_a_store_that_is_behind_the_ledger_is_fenced(books: Draining) -> None:
    await some_play(books.feed, players=1)
    await books.drain()
    partition = books.feed.partition_of("player-0")
    await books.feed.client.delete(outbox_key(partition))

    result = await opened(books)

    assert list(result.fenced) == [partition]
    assert "the store lost what came after" in result.fenced[partition]


async def test_a_drained_store_is_not_behind(books: Draining) -> None:
    await some_play(books.feed)
    await books.drain()

    assert (await opened(books)).witnesses.keys() == ALL


async def test_a_partition_that_is_not_open_is_not_drained_and_said_to_be_stopped(unopened: Draining) -> None:
    await some_play(unopened.feed)

    with pytest.raises(LedgerBroken, match=r"16 partitions are stopped .* the ledger has not opened it"):
        await unopened.drain()

    assert await unopened.entry_count() == 0


async def test_a_store_that_is_not_there_is_said_to_be_unavailable(ledger_dsn: str) -> None:
    with pytest.raises(StoreUnavailable):
        await open_partitions(postgres_url=ledger_dsn, valkey_url="redis://127.0.0.1:1/0")
