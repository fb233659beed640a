"""How a ledger and a store become one deployment, and how a store that is not the ledger's is found."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.adoption import Adopted, adopt_partitions, adoption
from persistence.adoption_plan import TakeOver
from persistence.errors import LedgerUnavailable, SetupRefused, StoreUnavailable
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection
from persistence.postgres.ledger_settings import read_settings
from persistence.transactions import OutboxPosition
from persistence.valkey.keys import epoch_key, forgotten_key, outbox_key
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey
from persistence.witness import CLOSED, Witness
from service.embedded import EmbeddedPostgres, EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.books import tamper
from tests.hot_path import ask
from tests.ledgers import Ledgers

DATABASE, OTHER_DATABASE = 8, 9
"""Of the shared server; the service's own data are in database 0."""
PARTITIONS = range(16)
ELSEWHERE = "0" * 40
"""An incarnation that is nobody's."""


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

    async def adopt(self) -> Adopted:
        return await adopt_partitions(postgres_url=self.ledger_url, valkey_url=self.store_url)

    async def states(self) -> dict[int, tuple[str, int]]:
        rows = await self.ledger.fetch("SELECT partition, state, epoch FROM ledger.partitions")
        return {row["partition"]: (row["state"], row["epoch"]) for row in rows}

    async def ledger_id(self) -> UUID:
        return (await read_settings(self.ledger)).ledger_id

    async def planted(self) -> dict[int, Witness]:
        keys = [epoch_key(partition) for partition in PARTITIONS]
        found = cast("list[bytes]", await self.store.mget(keys))
        return {n: Witness.parse(text.decode()) for n, text in zip(PARTITIONS, found, strict=True)}

    async def planted_text(self, partition: int) -> str:
        found = await self.store.get(epoch_key(partition))
        assert isinstance(found, bytes)
        return found.decode()

    async def write_as(self, partition: int, witness: str) -> bool:
        """As a script writes that means this witness; whether it could."""
        written = await self.store.eval(
            "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end "
            "redis.call('XADD', KEYS[2], ARGV[2], 'a', 'b') return 1",
            2,
            epoch_key(partition),
            outbox_key(partition),
            witness,
            f"{witness.split(maxsplit=1)[0]}-*",
        )
        return bool(written == 1)

    async def incidents(self) -> list[tuple[str, int]]:
        rows = await self.ledger.fetch("SELECT kind, partition FROM ledger.incidents ORDER BY incident_id")
        return [(row["kind"], row["partition"]) for row in rows]

    async def follows(self, partition: int, epoch: int) -> OutboxPosition:
        row = await self.ledger.fetchrow(
            "SELECT * FROM ledger.epochs WHERE partition = $1 AND epoch = $2", partition, epoch
        )
        assert row is not None
        return OutboxPosition(row["follows_epoch"], row["follows_sequence"])

    async def as_if_drained_to(self, partition: int, cursor: OutboxPosition) -> None:
        await self.ledger.execute(
            "UPDATE ledger.partitions SET cursor_epoch = $2, cursor_sequence = $3 WHERE partition = $1",
            partition,
            cursor.epoch,
            cursor.sequence,
        )

    async def as_if_promoted(self, partition: int) -> None:
        """The store says that another primary was taken over than the one that it is."""
        witness = (await self.planted())[partition]
        await self.store.set(epoch_key(partition), str(replace(witness, incarnation=ELSEWHERE)))
        await self.ledger.execute(
            "UPDATE ledger.epochs SET incarnation = $2 WHERE partition = $1", partition, ELSEWHERE
        )


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


async def test_a_new_ledger_opens_an_empty_store(pair: Pair) -> None:
    assert set((await pair.states()).values()) == {("new", 1)}

    adopted = await pair.adopt()

    adopted.require_all()
    incarnation = (await pair.store.info("replication"))["master_replid"]
    expected = Witness(1, await pair.ledger_id(), 1, incarnation)
    assert adopted.witnesses == await pair.planted() == dict.fromkeys(PARTITIONS, expected)
    assert set((await pair.states()).values()) == {("open", 1)}
    assert await pair.incidents() == []


async def test_looking_again_changes_nothing(pair: Pair) -> None:
    first = await pair.adopt()
    before = await pair.ledger.fetch("SELECT * FROM ledger.partitions ORDER BY partition")

    again = await pair.adopt()

    assert (again.witnesses, again.fenced, again.taken_over) == (first.witnesses, {}, {})
    assert await pair.ledger.fetch("SELECT * FROM ledger.partitions ORDER BY partition") == before


async def test_any_number_of_programs_may_take_over_at_once(pair: Pair) -> None:
    results = await asyncio.gather(*(pair.adopt() for _ in range(4)))

    planted = await pair.planted()
    for result in results:
        assert {n: witness for n, witness in result.witnesses.items() if witness != planted[n]} == {}
    assert (await pair.adopt()).witnesses == planted
    assert set((await pair.states()).values()) == {("open", 1)}


async def test_who_looks_while_another_opens_does_not_take_the_store_for_a_strangers(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey, opened = OutboxReader.survey, False

    async def survey_after_another_opened(
        store: OutboxReader, partitions: Iterable[int]
    ) -> dict[int, OutboxSurvey]:
        nonlocal opened
        if not opened:
            opened = True
            await pair.adopt()
        return await survey(store, partitions)

    monkeypatch.setattr(OutboxReader, "survey", survey_after_another_opened)

    (await pair.adopt()).require_all()


@pytest.mark.parametrize("step", ["started", "taken over", "opened"])
async def test_a_crash_after_any_step_is_made_good_by_the_next_start(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    crash_after(monkeypatch, step, partition=7)
    with pytest.raises(Crash):
        await pair.adopt()
    monkeypatch.undo()

    adopted = await pair.adopt()

    adopted.require_all()
    assert adopted.witnesses == await pair.planted()
    assert {state for state, _ in (await pair.states()).values()} == {"open"}
    assert await pair.incidents() == []
    assert (await pair.adopt()).taken_over == {}


def crash_after(monkeypatch: pytest.MonkeyPatch, step: str, *, partition: int) -> None:
    """Ends the program after a step of one partition's adoption."""

    def crashing(owner: type, name: str) -> None:
        whole = getattr(owner, name)

        async def done_and_perhaps_crash(
            self: object, number: int, *args: object, **kwargs: object
        ) -> object:
            done = await whole(self, number, *args, **kwargs)
            if number == partition:
                raise Crash
            return done

        monkeypatch.setattr(owner, name, done_and_perhaps_crash)

    match step:
        case "started":
            # The transaction must be over: the crash comes before the store is asked.
            async def crash_before(self: object, number: int, **_: object) -> bool:
                if number == partition:
                    raise Crash
                return await take_over(self, number, **_)  # type: ignore[arg-type]

            take_over = OutboxReader.take_over
            monkeypatch.setattr(OutboxReader, "take_over", crash_before)
        case "taken over":
            crashing(OutboxReader, "take_over")
        case _:
            crashing(AdoptingLedger, "open")


async def test_a_store_that_was_started_again_goes_on_in_a_new_epoch_with_its_memory(pair: Pair) -> None:
    await pair.adopt()
    await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-0")
    await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-1")
    await pair.as_if_drained_to(3, OutboxPosition(1, 0))
    await pair.as_if_promoted(3)

    adopted = await pair.adopt()

    assert (adopted.witnesses[3].epoch, adopted.witnesses[3].generation) == (2, 1)
    assert list(adopted.taken_over) == [3]
    assert await pair.follows(3, 2) == OutboxPosition(1, 1)
    assert await pair.store.get(forgotten_key(3)) is None
    assert await pair.incidents() == []


@pytest.mark.parametrize("emptied", [False, True], ids=["never used", "emptied once"])
async def test_a_store_without_records_loses_nothing_however_often_it_is_started_again(
    pair: Pair, emptied: bool
) -> None:
    generation = (await pair.adopt()).witnesses[3].generation
    if emptied:
        await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-0")
        await pair.as_if_drained_to(3, OutboxPosition(1, 0))
        await pair.store.flushdb()
        generation = (await pair.adopt()).witnesses[3].generation
        assert generation == 2
    before = await pair.incidents()

    for _ in range(3):
        await pair.as_if_promoted(3)
        assert (await pair.adopt()).witnesses[3].generation == generation

    assert await pair.incidents() == before


@pytest.mark.parametrize("loss", ["everything", "the newest records", "all records", "an epoch"])
async def test_a_store_that_lost_something_forgets_its_players_and_goes_on_behind_the_cursor(
    pair: Pair, loss: str
) -> None:
    await pair.adopt()
    await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-0")
    await pair.as_if_drained_to(3, OutboxPosition(1, 7))
    if loss == "everything":
        await pair.store.flushdb()
    elif loss == "all records":
        await pair.store.delete(outbox_key(3))
    elif loss == "an epoch":
        await pair.as_if_promoted(3)
        old = (await pair.planted())[3]
        await ask(pair.store, f"XSETID {outbox_key(3)} 1-9")
        await pair.adopt()
        await pair.store.set(epoch_key(3), str(old))

    adopted = await pair.adopt()

    adopted.require_all()
    witness = adopted.witnesses[3]
    assert witness.generation == witness.epoch > 1
    expected = OutboxPosition(1, 9 if loss == "an epoch" else 7)
    assert await pair.follows(3, witness.epoch) == expected
    assert await pair.store.get(forgotten_key(3)) == str(expected).encode()
    assert ("memory_lost", 3) in await pair.incidents()
    assert (await pair.adopt()).taken_over == {}


@pytest.mark.parametrize(
    ("kept", "is_fenced"),
    [((5, 6), True), ((), True), ((4, 5, 6), False), ((2, 3, 4, 5, 6), False)],
    ids=["cut off behind the cursor", "empty", "all that follows", "more than follows"],
)
async def test_a_store_that_was_drained_further_than_the_ledger_says_is_fenced(
    pair: Pair, kept: tuple[int, ...], is_fenced: bool
) -> None:
    await pair.adopt()
    for sequence in range(7):
        await pair.store.xadd(outbox_key(3), {"a": "b"}, id=f"1-{sequence}")
    for sequence in set(range(7)) - set(kept):
        await pair.store.xdel(outbox_key(3), f"1-{sequence}")
    await pair.as_if_drained_to(3, OutboxPosition(1, 3))

    adopted = await pair.adopt()

    assert (3 in adopted.fenced) == is_fenced
    if is_fenced:
        assert "may have been restored from a backup" in adopted.fenced[3]
        await pair.as_if_drained_to(3, OutboxPosition(1, 6))
        assert 3 in (await pair.adopt()).witnesses


async def test_a_store_that_is_cut_off_while_it_is_looked_at_is_not_fenced(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.adopt()
    await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-0")
    survey = OutboxReader.survey

    async def drained_before(self: OutboxReader, partitions: Iterable[int]) -> dict[int, OutboxSurvey]:
        await pair.as_if_drained_to(3, OutboxPosition(1, 0))
        await pair.store.xdel(outbox_key(3), "1-0")
        return await survey(self, partitions)

    monkeypatch.setattr(OutboxReader, "survey", drained_before)
    async with adoption(postgres_url=pair.ledger_url, valkey_url=pair.store_url) as adopting:
        adopted = await adopting.adopt_all(dry_run=True)

    assert adopted.fenced == {}


async def test_a_store_of_another_history_under_the_same_epoch_is_fenced(pair: Pair) -> None:
    """As one has it that was emptied together with a ledger that was restored."""
    await pair.adopt()
    witness = (await pair.planted())[3]
    await pair.store.set(epoch_key(3), str(replace(witness, incarnation=ELSEWHERE)))

    adopted = await pair.adopt()

    assert "another one than the ledger's" in adopted.fenced[3]


async def test_what_an_epoch_is_to_follow_may_not_be_lost_once_it_has_begun(pair: Pair) -> None:
    await pair.adopt()
    await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-0")
    await pair.as_if_promoted(3)
    assert (await pair.adopt()).witnesses[3].generation == 1

    await pair.store.delete(outbox_key(3))

    assert (await pair.adopt()).witnesses[3].generation == 3


async def test_what_an_old_copy_went_on_to_write_is_kept_to_be_booked_again(pair: Pair) -> None:
    await pair.adopt()
    for sequence in range(2):
        await pair.store.xadd(outbox_key(3), {"a": "shared"}, id=f"1-{sequence}")
    await pair.as_if_promoted(3)
    old = (await pair.planted())[3]
    await pair.adopt()
    assert await pair.follows(3, 2) == OutboxPosition(1, 1)
    for sequence in range(2, 4):
        await pair.store.xadd(outbox_key(3), {"a": "forked"}, id=f"1-{sequence}")
    await pair.store.set(epoch_key(3), str(old))

    adopted = await pair.adopt()

    assert adopted.witnesses[3].generation == 3
    assert await pair.follows(3, 3) == OutboxPosition(1, 1)
    left = [stream_id for stream_id, _ in await pair.store.xrange(outbox_key(3)) or ()]
    assert left == [b"1-0", b"1-1"]
    kept = await pair.ledger.fetch("SELECT * FROM ledger.salvaged ORDER BY sequence")
    assert [(row["partition"], row["sequence"], row["fields"]) for row in kept] == [
        (3, 2, [b"a", b"forked"]),
        (3, 3, [b"a", b"forked"]),
    ]
    assert (await pair.adopt()).taken_over == {}


async def test_a_crash_after_the_store_was_closed_is_made_good(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.adopt()
    await pair.as_if_promoted(3)

    async def crash(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(AdoptingLedger, "start_epoch", crash)
    with pytest.raises(Crash):
        await pair.adopt()
    monkeypatch.undo()
    closed = await pair.planted_text(3)

    adopted = await pair.adopt()

    assert closed.endswith(CLOSED)
    assert list(adopted.taken_over) == [3]
    assert (adopted.witnesses[3].epoch, adopted.witnesses[3].generation) == (2, 1)
    assert adopted.witnesses == await pair.planted()
    assert await pair.incidents() == []


async def test_nothing_is_written_behind_the_end_that_the_ledger_was_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary is another incarnation once its first replica comes, and its writers are connected still."""
    await pair.adopt()
    await pair.as_if_promoted(3)
    start_epoch, refused = AdoptingLedger.start_epoch, []

    async def write_and_start(self: AdoptingLedger, partition: int, plan: TakeOver) -> None:
        witness = (await pair.planted_text(3)).removesuffix(CLOSED)
        refused.append(await pair.write_as(3, witness))
        await start_epoch(self, partition, plan)

    monkeypatch.setattr(AdoptingLedger, "start_epoch", write_and_start)
    adopted = await pair.adopt()

    assert refused == [False]
    assert adopted.fenced == {}
    assert await pair.incidents() == []


async def test_a_store_that_another_server_reaches_is_not_replaced(pair: Pair) -> None:
    await pair.adopt()
    await pair.as_if_promoted(3)
    await AdoptingLedger(pair.ledger).vouch("server-a", {3: ELSEWHERE})

    refused = await pair.adopt()

    assert refused.fenced == {3: "server server-a reaches the store that was taken over before this one"}
    assert refused.passing == {3}
    assert set(refused.witnesses) == set(PARTITIONS) - {3}
    async with adoption(
        postgres_url=pair.ledger_url, valkey_url=pair.store_url, server_id="server-a"
    ) as by_itself:
        assert list((await by_itself.adopt_all()).taken_over) == [3]


async def test_a_server_that_was_not_heard_of_for_seconds_vouches_for_nothing(pair: Pair) -> None:
    await pair.adopt()
    await pair.as_if_promoted(3)
    await AdoptingLedger(pair.ledger).vouch("server-a", {3: ELSEWHERE})
    await pair.ledger.execute("UPDATE ledger.vouchers SET seen_time = now() - interval '4 seconds'")

    assert list((await pair.adopt()).taken_over) == [3]


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(pair: Pair) -> None:
    await pair.adopt()
    await pair.as_if_promoted(3)
    before = await pair.planted()

    async with adoption(postgres_url=pair.ledger_url, valkey_url=pair.store_url) as adopting:
        looked = await adopting.adopt_all(dry_run=True)

    assert looked.fenced == {3: "the store was started again, or another one was promoted"}
    assert looked.taken_over[3].witness.epoch == 2
    assert await pair.planted() == before
    assert (await pair.states())[3] == ("open", 1)


async def test_a_store_of_a_later_epoch_is_fenced_and_left_as_it_is(pair: Pair) -> None:
    await pair.adopt()
    found = str(replace((await pair.planted())[3], epoch=77))
    await pair.store.set(epoch_key(3), found)

    adopted = await pair.adopt()

    assert set(adopted.fenced) == {3}
    assert "it may be an old copy" in adopted.fenced[3]
    assert await pair.store.get(epoch_key(3)) == found.encode()


@pytest.mark.parametrize("found", [b"", b"1", b"one", b"\xff\x00", b"1 " + b"x" * 1000, b"9" * 5000])
async def test_a_store_that_does_not_say_whose_it_is_is_fenced_and_left_as_it_is(
    pair: Pair, found: bytes
) -> None:
    await pair.adopt()
    await pair.store.set(epoch_key(3), found)

    adopted = await pair.adopt()

    assert set(adopted.fenced) == {3}
    assert "where an epoch and a ledger should be named" in adopted.fenced[3]
    assert len(adopted.fenced[3]) < 200
    assert await pair.store.get(epoch_key(3)) == found
    with pytest.raises(SetupRefused, match="1 of 16 partitions are fenced"):
        adopted.require_all()


async def test_records_without_a_witness_are_not_taken_for_the_ledgers(pair: Pair) -> None:
    await pair.adopt()
    await pair.store.xadd(outbox_key(3), {"a": "b"}, id="1-0")
    await pair.store.delete(epoch_key(3))

    assert (await pair.adopt()).fenced == {3: "the store has records, but does not say of which ledger"}


async def test_two_ledgers_whose_stores_were_mixed_up_serve_nothing(pair: Pair, ledgers: Ledgers) -> None:
    await pair.adopt()
    ours = await pair.ledger_id()
    async with ledgers.fresh() as other_url:
        await tamper(other_url, "UPDATE ledger.settings SET ledger_id = gen_random_uuid()")
        theirs = await adopt_partitions(postgres_url=other_url, valkey_url=pair.other_store_url)
        their_id = theirs.witnesses[0].ledger_id

        adopted = await adopt_partitions(postgres_url=pair.ledger_url, valkey_url=pair.other_store_url)

        assert not adopted.witnesses
        assert adopted.fenced == dict.fromkeys(
            PARTITIONS, f"the ledger is {ours}, but the store is of another ledger, {their_id}"
        )
        swapped = await adopt_partitions(postgres_url=other_url, valkey_url=pair.store_url)
        assert not swapped.witnesses
    assert set((await pair.adopt()).witnesses) == set(PARTITIONS)


async def test_a_new_ledger_does_not_take_over_the_store_of_another(pair: Pair) -> None:
    await pair.store.set(epoch_key(3), str(Witness(1, uuid4(), 1, ELSEWHERE)))

    adopted = await pair.adopt()

    assert set(adopted.witnesses) == set(PARTITIONS) - {3}
    assert (await pair.states())[3] == ("new", 1)


async def test_a_store_or_ledger_that_is_away_is_told_apart(pair: Pair) -> None:
    nowhere = f"{LOOPBACK}:{free_port()}"

    with pytest.raises(StoreUnavailable):
        await adopt_partitions(postgres_url=pair.ledger_url, valkey_url=f"redis://{nowhere}/0")
    with pytest.raises(LedgerUnavailable):
        await adopt_partitions(postgres_url=f"postgresql://u:p@{nowhere}/x", valkey_url=pair.store_url)
    assert set((await pair.states()).values()) == {("new", 1)}


async def test_a_database_that_is_not_migrated_is_told_to_be(pair: Pair, postgres: EmbeddedPostgres) -> None:
    with pytest.raises(SetupRefused, match="stakehold migrate"):
        await adopt_partitions(postgres_url=postgres.dsn_for("postgres"), valkey_url=pair.store_url)
