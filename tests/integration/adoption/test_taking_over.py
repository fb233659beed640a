"""A store that was started again, lost something or was replaced goes on in a new epoch."""

import pytest

from persistence.adoption_plan import TakeOver
from persistence.postgres.adopting import AdoptingLedger
from persistence.transactions import OutboxPosition
from persistence.valkey.keys import epoch_key, forgotten_key, outbox_key
from persistence.witness import CLOSED
from tests.hot_path import ask
from tests.integration.adoption.pairs import Crash, Pair


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
