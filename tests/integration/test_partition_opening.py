"""How a ledger and a store become one deployment, and how a store that is not the ledger's is found."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.errors import LedgerUnavailable, SetupRefused, StoreUnavailable
from persistence.partition_opening import OpenedPartitions, open_partitions
from persistence.postgres.database import Connection
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.partitions import PartitionStates
from persistence.valkey.keys import epoch_key
from persistence.valkey.outbox_reader import OutboxReader
from persistence.witness import Witness
from service.embedded import EmbeddedPostgres, EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.books import tamper
from tests.ledgers import Ledgers

DATABASE, OTHER_DATABASE = 8, 9
"""Of the shared server; the service's own data are in database 0."""
PARTITIONS = range(16)


class Crash(Exception):
    """The program ends here."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A ledger that nobody has served yet, and an empty store."""

    ledger_url: str
    store_url: str
    other_store_url: str
    ledger: Connection
    store: Redis

    async def open(self) -> OpenedPartitions:
        return await open_partitions(postgres_url=self.ledger_url, valkey_url=self.store_url)

    async def states(self) -> dict[int, str]:
        rows = await self.ledger.fetch("SELECT partition, state FROM ledger.partitions")
        return {row["partition"]: row["state"] for row in rows}

    async def ledger_id(self) -> UUID:
        return (await read_settings(self.ledger)).ledger_id

    async def first_witnesses(self) -> dict[int, str]:
        """What a ledger that has lost nothing yet expects of every partition."""
        return dict.fromkeys(PARTITIONS, str(Witness(1, await self.ledger_id())))

    async def planted(self) -> dict[int, str]:
        keys = [epoch_key(partition) for partition in PARTITIONS]
        found = cast("list[bytes]", await self.store.mget(keys))
        return {partition: witness.decode() for partition, witness in zip(PARTITIONS, found, strict=True)}


@pytest_asyncio.fixture
async def pair(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Pair]:
    url, other_url = (f"redis://{LOOPBACK}:{valkey.port}/{number}" for number in (DATABASE, OTHER_DATABASE))
    ledger = await asyncpg.connect(ledger_dsn)
    try:
        async with Redis.from_url(url) as store, Redis.from_url(other_url) as other:
            await store.flushdb()
            await other.flushdb()
            yield Pair(ledger_dsn, url, other_url, ledger, store)
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

    expected = await pair.first_witnesses()
    assert (opened.witnesses, opened.fenced) == (expected, {})
    assert await pair.planted() == expected
    assert await pair.states() == dict.fromkeys(PARTITIONS, "open")


def crash_after(monkeypatch: pytest.MonkeyPatch, step: str, *, partition: int) -> None:
    set_state, plant_witness = PartitionStates.set_state, OutboxReader.plant_witness

    async def set_state_and_perhaps_crash(states: PartitionStates, number: int, state: str) -> None:
        await set_state(states, number, state)  # type: ignore[arg-type]
        if (number, state) == (partition, step):
            raise Crash

    async def plant_and_perhaps_crash(store: OutboxReader, number: int, witness: Witness) -> None:
        await plant_witness(store, number, witness)
        if (number, "planted") == (partition, step):
            raise Crash

    monkeypatch.setattr(PartitionStates, "set_state", set_state_and_perhaps_crash)
    monkeypatch.setattr(OutboxReader, "plant_witness", plant_and_perhaps_crash)


async def test_only_the_partition_that_lost_its_witness_is_fenced(pair: Pair) -> None:
    await pair.open()
    await pair.store.delete(epoch_key(3))

    opened = await pair.open()

    assert set(opened.fenced) == {3}
    assert set(opened.witnesses) == set(PARTITIONS) - {3}
    assert await pair.store.get(epoch_key(3)) is None
    with pytest.raises(SetupRefused, match="1 of 16 partitions are fenced"):
        opened.require_all()


@pytest.mark.parametrize("epoch", [2, 0, 77])
async def test_a_store_in_another_epoch_is_fenced_and_left_as_it_is(pair: Pair, epoch: int) -> None:
    await pair.open()
    found = str(Witness(epoch, await pair.ledger_id())).encode()
    await pair.store.set(epoch_key(3), found)

    opened = await pair.open()

    assert opened.fenced == {3: f"the ledger is in epoch 1, but the store in epoch {epoch}"}
    assert await pair.store.get(epoch_key(3)) == found


@pytest.mark.parametrize("found", [b"", b"1", b"one", b"\xff\x00", b"1 " + b"x" * 1000, b"9" * 5000])
async def test_a_store_that_does_not_say_whose_it_is_is_fenced_and_left_as_it_is(
    pair: Pair, found: bytes
) -> None:
    await pair.open()
    await pair.store.set(epoch_key(3), found)

    opened = await pair.open()

    assert set(opened.fenced) == {3}
    assert "where an epoch and a ledger should be named" in opened.fenced[3]
    assert len(opened.fenced[3]) < 200
    assert await pair.store.get(epoch_key(3)) == found


async def test_two_ledgers_whose_stores_were_mixed_up_serve_nothing(pair: Pair, ledgers: Ledgers) -> None:
    await pair.open()
    ours = await pair.ledger_id()
    async with ledgers.fresh() as other_url:
        await tamper(other_url, "UPDATE ledger.settings SET ledger_id = gen_random_uuid()")
        theirs = (await open_partitions(postgres_url=other_url, valkey_url=pair.other_store_url)).witnesses
        _, _, their_id = theirs[0].partition(" ")

        opened = await open_partitions(postgres_url=pair.ledger_url, valkey_url=pair.other_store_url)

        assert not opened.witnesses
        assert opened.fenced == dict.fromkeys(
            PARTITIONS, f"the ledger is {ours}, but the store is of another ledger, {their_id}"
        )
        swapped = await open_partitions(postgres_url=other_url, valkey_url=pair.store_url)
        assert not swapped.witnesses
    assert (await pair.open()).witnesses == await pair.first_witnesses()


async def test_an_opening_that_was_interrupted_does_not_go_on_in_the_store_of_another(pair: Pair) -> None:
    await pair.ledger.execute("UPDATE ledger.partitions SET state = 'opening'")
    await pair.store.set(epoch_key(3), str(Witness(1, uuid4())))

    opened = await pair.open()

    assert set(opened.fenced) == {3}
    assert (await pair.states())[3] == "opening"


async def test_what_is_fenced_is_served_again_once_the_store_has_its_witness_back(pair: Pair) -> None:
    await pair.open()
    witness = (await pair.planted())[3]
    await pair.store.delete(epoch_key(3))
    assert set((await pair.open()).fenced) == {3}
    await pair.store.set(epoch_key(3), witness)

    assert (await pair.open()).witnesses == await pair.first_witnesses()


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
