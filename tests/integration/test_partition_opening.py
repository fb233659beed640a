"""How a ledger and a store become one deployment, and how a store that is not the ledger's is found."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.errors import LedgerUnavailable, SetupRefused, StoreUnavailable
from persistence.partition_opening import OpenedPartitions, open_partitions
from persistence.postgres.database import Connection
from persistence.postgres.partitions import PartitionStates
from persistence.valkey.keys import epoch_key
from persistence.valkey.outbox_reader import OutboxReader
from service.embedded import EmbeddedPostgres, EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port

DATABASE, OTHER_DATABASE = 8, 9
"""Of the shared server; the service's own data are in database 0."""
PARTITIONS = range(16)
FIRST_EPOCHS = dict.fromkeys(PARTITIONS, 1)


class Crash(Exception):
    """The program ends here."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A ledger that nobody has served yet, and an empty store."""

    ledger_url: str
    store_url: str
    ledger: Connection
    store: Redis

    async def open(self) -> OpenedPartitions:
        return await open_partitions(postgres_url=self.ledger_url, valkey_url=self.store_url)

    async def states(self) -> dict[int, str]:
        rows = await self.ledger.fetch("SELECT partition, state FROM ledger.partitions")
        return {row["partition"]: row["state"] for row in rows}

    async def planted(self) -> dict[int, bytes | None]:
        keys = [epoch_key(partition) for partition in PARTITIONS]
        return dict(zip(PARTITIONS, cast("list[bytes | None]", await self.store.mget(keys)), strict=True))


@pytest_asyncio.fixture
async def pair(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Pair]:
    urls = [f"redis://{LOOPBACK}:{valkey.port}/{number}" for number in (DATABASE, OTHER_DATABASE)]
    ledger = await asyncpg.connect(ledger_dsn)
    try:
        async with Redis.from_url(urls[0]) as store, Redis.from_url(urls[1]) as other:
            await store.flushdb()
            await other.flushdb()
            yield Pair(ledger_dsn, urls[0], ledger, store)
    finally:
        await ledger.close()


async def test_starting_again_opens_nothing_anew(pair: Pair) -> None:
    first = await pair.open()
    before = await pair.ledger.fetch("SELECT * FROM ledger.partitions ORDER BY partition")

    assert await pair.open() == first
    assert await pair.ledger.fetch("SELECT * FROM ledger.partitions ORDER BY partition") == before


@pytest.mark.parametrize("step", ["opening", "planted", "open"])
async def test_a_crash_after_any_step_is_made_good_by_the_next_start(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    crash_after(monkeypatch, step, partition=7)
    with pytest.raises(Crash):
        await pair.open()
    crashed = await pair.states()
    assert crashed[7] == ("open" if step == "open" else "opening")
    assert list(crashed.values()).count("opening") <= 1
    monkeypatch.undo()

    opened = await pair.open()

    assert (opened.epochs, opened.fenced) == (FIRST_EPOCHS, {})
    assert await pair.planted() == dict.fromkeys(PARTITIONS, b"1")
    assert await pair.states() == dict.fromkeys(PARTITIONS, "open")


def crash_after(monkeypatch: pytest.MonkeyPatch, step: str, *, partition: int) -> None:
    set_state, plant_epoch = PartitionStates.set_state, OutboxReader.plant_epoch

    async def set_state_and_perhaps_crash(states: PartitionStates, number: int, state: str) -> None:
        await set_state(states, number, state)  # type: ignore[arg-type]
        if (number, state) == (partition, step):
            raise Crash

    async def plant_and_perhaps_crash(store: OutboxReader, number: int, epoch: int) -> None:
        await plant_epoch(store, number, epoch)
        if (number, "planted") == (partition, step):
            raise Crash

    monkeypatch.setattr(PartitionStates, "set_state", set_state_and_perhaps_crash)
    monkeypatch.setattr(OutboxReader, "plant_epoch", plant_and_perhaps_crash)


async def test_only_the_partition_that_lost_its_epoch_is_fenced(pair: Pair) -> None:
    await pair.open()
    await pair.store.delete(epoch_key(3))

    opened = await pair.open()

    assert set(opened.fenced) == {3}
    assert set(opened.epochs) == set(PARTITIONS) - {3}
    assert await pair.store.get(epoch_key(3)) is None
    with pytest.raises(SetupRefused, match="1 of 16 partitions are fenced"):
        opened.require_all()


@pytest.mark.parametrize("found", [b"2", b"0", b"77"])
async def test_a_store_in_another_epoch_is_fenced_and_left_as_it_is(pair: Pair, found: bytes) -> None:
    await pair.open()
    await pair.store.set(epoch_key(3), found)

    opened = await pair.open()

    assert set(opened.fenced) == {3}
    assert await pair.store.get(epoch_key(3)) == found


async def test_what_is_fenced_is_served_again_once_the_store_has_its_epoch_back(pair: Pair) -> None:
    await pair.open()
    await pair.store.delete(epoch_key(3))
    assert set((await pair.open()).fenced) == {3}
    await pair.store.set(epoch_key(3), "1")

    assert (await pair.open()).epochs == FIRST_EPOCHS


async def test_a_store_or_ledger_that_is_away_is_told_apart(pair: Pair) -> None:
    nowhere = f"{LOOPBACK}:{free_port()}"

    with pytest.raises(StoreUnavailable):
        await open_partitions(postgres_url=pair.ledger_url, valkey_url=f"redis://{nowhere}/0")
    with pytest.raises(LedgerUnavailable):
        await open_partitions(postgres_url=f"postgresql://u:p@{nowhere}/x", valkey_url=pair.store_url)
    assert await pair.states() == dict.fromkeys(PARTITIONS, "new")


async def test_a_database_that_is_not_migrated_is_told_to_be(pair: Pair, postgres: EmbeddedPostgres) -> None:
    with pytest.raises(SetupRefused, match="stakehold migrate"):
        await open_partitions(postgres_url=postgres.dsn_for("postgres"), valkey_url=pair.store_url)
