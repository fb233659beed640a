"""A store that is not the ledger's is found, fenced and left as it is."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import uuid4

import pytest

from persistence.adoption import adopt_partitions, adoption
from persistence.errors import SetupRefused
from persistence.postgres.adopting import AdoptingLedger
from persistence.transactions import OutboxPosition
from persistence.valkey.keys import epoch_key, outbox_key
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey
from persistence.witness import Witness
from tests.books import tamper
from tests.integration.adoption.pairs import ELSEWHERE, PARTITIONS, Pair
from tests.ledgers import Ledgers


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
