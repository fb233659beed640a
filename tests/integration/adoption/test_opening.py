"""A ledger and a store become one deployment, whoever looks at them and wherever it ends."""

import asyncio
from collections.abc import Iterable

import pytest

from persistence.adoption import Adopted, adopt_partitions, adoption
from persistence.errors import LedgerUnavailable, SetupRefused, StoreUnavailable
from persistence.postgres.adopting import AdoptingLedger
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey
from persistence.witness import Witness
from service.embedded import EmbeddedPostgres
from service.embedded.ports import LOOPBACK, free_port
from tests.integration.adoption.pairs import PARTITIONS, Crash, Pair


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


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(pair: Pair) -> None:
    await pair.adopt()
    await pair.as_if_promoted(3)
    before = await pair.planted()

    async with adoption(postgres_url=pair.ledger_url, valkey_url=pair.store_url) as adopting:
        looked = await adopting.adopt_all(dry_run=True)

    assert looked.fenced == {3: "the store was started again, or another one was promoted"}
    assert looked.left_alone[3].witness.epoch == 2
    assert await pair.planted() == before
    assert (await pair.states())[3] == ("open", 1)


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


async def test_by_hand_only_what_was_never_open_is_taken_over(pair: Pair) -> None:
    async def by_hand() -> Adopted:
        return await adopt_partitions(
            postgres_url=pair.ledger_url, valkey_url=pair.store_url, recovery="manual"
        )

    await pair.ledger.execute("UPDATE ledger.partitions SET state = 'opening' WHERE partition = 5")
    (await by_hand()).require_all()
    opened = await pair.states()
    await pair.store.flushdb()

    adopted = await by_hand()

    assert (list(adopted.fenced), list(adopted.left_alone)) == (list(PARTITIONS), list(PARTITIONS))
    assert (adopted.taken_over, adopted.witnesses) == ({}, {})
    assert await pair.store.dbsize() == 0
    assert await pair.states() == opened
    assert {state for state, _ in opened.values()} == {"open"}
