"""The scripts that load, recall and forget do nothing where what they were given is out of date."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from persistence.player_memory import Question
from persistence.transactions import SEPARATOR, PlayerId, TransactionKind
from persistence.valkey.residence import FORGET, RECALL, recall_arguments
from service.embedded import EmbeddedValkey
from tests.drained_ledger import movement, rollback
from tests.sweeping import House, sweeping_house

ADA = PlayerId("ada")
BET = SEPARATOR.join(("games", "b1"))


@pytest_asyncio.fixture(loop_scope="session")
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    """A player with a bet, in the ledger."""
    async with sweeping_house(private_valkey.url, ledger_dsn) as made:
        await made.money.open(ADA, credit_line=100)
        await made.bet(ADA, "b1", amount=10)
        await made.money.drain()
        yield made


async def test_what_the_ledger_does_not_have_yet_is_not_forgotten(house: House) -> None:
    drained = str((await house.known(ADA)).cursor)
    await house.bet(ADA, "b2")
    marker = await house.marker(ADA)

    assert await house.run(FORGET, ADA, [drained, marker]) == "UNDRAINED"
    assert await house.run(FORGET, ADA, [drained, marker, "4", "1", b"", "1", BET]) == "UNDRAINED"

    assert await house.marker(ADA) == marker
    assert [await house.is_replay(ADA, "b1", 10), await house.is_replay(ADA, "b2")] == [True, True]


async def test_a_ledger_that_is_behind_what_was_forgotten_lets_nothing_be_forgotten(house: House) -> None:
    """As after a crash that took its last commits: what it tells of older ids may be too little."""
    behind = str((await house.known(ADA)).cursor)
    await house.bet(ADA, "b2")
    await house.money.drain()
    now = str((await house.known(ADA)).cursor)
    assert await house.run(FORGET, ADA, [now, await house.marker(ADA)]) == "OK"
    assert await house.is_replay(ADA, "b2")
    loaded = await house.marker(ADA)

    assert await house.run(FORGET, ADA, [behind, loaded]) == "UNDRAINED"

    assert await house.marker(ADA) == loaded


async def test_a_player_who_is_there_is_not_loaded_over(house: House) -> None:
    known = await house.known(ADA)
    await house.bet(ADA, "b2")

    assert await house.load(known) == "RESIDENT"

    assert await house.is_replay(ADA, "b2")


async def test_a_player_is_not_loaded_with_less_than_was_forgotten(house: House) -> None:
    known = await house.known(ADA)
    await house.bet(ADA, "b2")
    await house.money.drain()
    now = str((await house.known(ADA)).cursor)
    assert await house.run(FORGET, ADA, [now, await house.marker(ADA)]) == "OK"

    assert await house.load(known) == "STALE"

    assert await house.is_replay(ADA, "b2")


async def test_what_the_store_has_is_newer_than_what_is_recalled(house: House) -> None:
    [recalled] = await house.memory.recall([Question(ADA, (BET,), ())])
    assert BET in recalled.ids
    win = replace(movement(TransactionKind.WIN, "w1", 25), reference="b1")
    await house.money.move(ADA, win)

    assert await house.run(RECALL, ADA, recall_arguments(recalled)) == "OK"

    await house.money.refused(ADA, rollback("u1", "b1"))
