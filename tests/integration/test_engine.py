"""What the engine must not change: by refusals, replays, fences and a store that fails in the middle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio

from persistence.calls import Step, TransactionState, UnknownBetPolicy
from persistence.drainer import wall_clock_ms
from persistence.errors import OutcomeUnknown, PartitionFenced, RefusalReason
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    EntryType,
    PlayerId,
    TransactionId,
    WalletStatus,
)
from persistence.valkey.engine import Engine
from persistence.valkey.hydration import Hydration
from persistence.valkey.keys import outbox_key, player_keys
from service.embedded import EmbeddedValkey
from tests.engine_calls import (
    EPOCH,
    EUR,
    GAMES,
    PLAYER,
    USD,
    House,
    NewLedger,
    OneStore,
    bet,
    deposit,
    house,
    rollback,
    win,
)
from tests.hot_path import PATIENCE_S, moment

BRL = CurrencyCode("BRL")
KEYS = player_keys(0, PLAYER)
CHANGED_BY_A_REFUSAL = {KEYS.ids.encode(), KEYS.outbox.encode(), KEYS.wallets.encode()}
"""Of the wallets nothing but that the player was in use."""


@pytest_asyncio.fixture
async def table(valkey: EmbeddedValkey) -> AsyncIterator[House]:
    """A player with 100 in EUR and an open wallet in USD."""
    async with house(valkey) as made:
        await made.open()
        await made.open(currency=USD)
        await made.play(deposit("start", 100))
        yield made


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(None, id="none"),
        pytest.param({"epoch": EPOCH + 1}, id="the next epoch's"),
        pytest.param({"epoch": EPOCH - 1}, id="the last epoch's"),
        pytest.param({"ledger_id": uuid4()}, id="another ledger's in the same epoch"),
        pytest.param({"generation": EPOCH - 1}, id="another generation's"),
        pytest.param({"incarnation": "0" * 40}, id="another primary's"),
        pytest.param("{witness} ", id="something after it"),
        pytest.param("0{witness}", id="something before it"),
        pytest.param(str(EPOCH), id="an epoch alone"),
        pytest.param("", id="empty"),
        pytest.param(b"\xff\x00", id="no text"),
    ],
)
async def test_a_partition_with_another_witness_is_not_touched(
    table: House, found: str | bytes | dict[str, Any] | None
) -> None:
    if isinstance(found, dict):
        found = str(replace(table.witness, **found))
    elif isinstance(found, str):
        found = found.format(witness=table.witness)
    await (table.store.delete(KEYS.epoch) if found is None else table.store.set(KEYS.epoch, found))
    before = await table.contents()

    for attempt in every_script(table):
        with pytest.raises(PartitionFenced) as fenced:
            await attempt()
        assert fenced.value.partition == 0

    assert await table.contents() == before


async def test_a_partition_that_is_not_open_is_not_even_asked(table: House) -> None:
    class Silent:
        async def run(self, *_: object, **__: object) -> list[bytes]:
            raise AssertionError("a fenced partition was asked")

        def submit(self, *_: object, **__: object) -> "asyncio.Future[Sequence[bytes]]":
            raise AssertionError("a fenced partition was asked")

    hydration = Hydration(Silent(), NewLedger(), window_s=60.0, now_ms=wall_clock_ms)
    engine = Engine(Silent(), partition_count=1, adoptions=OneStore(None), hydration=hydration)

    for attempt in every_script(House(engine, table.store, table.witness)):
        with pytest.raises(PartitionFenced):
            await attempt()


def every_script(table: House) -> tuple[Callable[[], Awaitable[object]], ...]:
    deadline = moment(PATIENCE_S)
    return (
        lambda: table.play(bet("b1", 10)),
        lambda: table.play(rollback("u1", "start")),
        lambda: table.refused(bet("b1", 1000)),
        lambda: table.open(PlayerId("p2")),
        lambda: table.engine.set_wallet_status(
            PLAYER, EUR, WalletStatus.CLOSED, reason="", expected_version=None, deadline=deadline
        ),
        lambda: table.engine.read_player(PLAYER, deadline=deadline),
    )


async def test_a_final_refusal_changes_nothing_but_what_is_remembered_of_it(table: House) -> None:
    before = await table.contents()

    refusal = await table.refused(bet("b1", 60, round_="r1"), bet("b2", 60, round_="r1"))

    after = await table.contents()
    assert {key for key in after if after[key] != before.get(key)} == CHANGED_BY_A_REFUSAL
    assert (refusal.reason, refusal.step_index) == (RefusalReason.INSUFFICIENT_FUNDS, 1)
    assert refusal.balance is not None
    assert refusal.balance.buckets == Buckets(100)
    record = (await table.records())[-1]
    assert [(entry.type, entry.version, entry.change) for entry in record.entries] == [
        (EntryType.REFUSED, None, Buckets())
    ] * 2


async def test_a_refused_call_takes_back_what_its_first_steps_made_of_earlier_transactions(
    table: House,
) -> None:
    await table.play(bet("b1", 10, round_="r1"), bet("b2", 10, round_="r2"), win("w1", 5, of="b1"))
    before = cast("dict[bytes, bytes]", await table.store.hgetall(KEYS.ids))
    rounds = await table.store.hgetall(KEYS.rounds)

    refusal = await table.refused(
        rollback("u1", "b2"),
        win("w2", 5, of="b1"),
        rollback("u2", "w1"),
        rollback("u3", "new"),
        bet("b3", 999),
    )

    assert refusal.reason is RefusalReason.INSUFFICIENT_FUNDS
    after = cast("dict[bytes, bytes]", await table.store.hgetall(KEYS.ids))
    assert {field: after[field] for field in before} == before
    new = {field.partition("\x1f")[2] for field in map(bytes.decode, after.keys() - before.keys())}
    assert new == {"u1", "w2", "u2", "u3", "b3"}
    assert await table.store.hgetall(KEYS.rounds) == rounds


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (win("w1", 5, of="unknown"), RefusalReason.REFERENCE_NOT_FOUND),
        (replace(bet("b1", 5), expected_version=1), RefusalReason.VERSION_MISMATCH),
        (deposit("start", 5), RefusalReason.TRANSACTION_ID_CONFLICT),
        (bet("b1", 5, BRL), RefusalReason.WALLET_NOT_FOUND),
    ],
)
async def test_a_refusal_that_is_not_final_changes_nothing_at_all(
    table: House, step: Step, reason: RefusalReason
) -> None:
    before = await table.contents()

    refusal = await table.refused(bet("b0", 5, round_="r1"), step)

    assert (refusal.reason, refusal.entry_id) == (reason, "")
    assert await table.contents() == before


async def test_a_replay_changes_nothing_at_all(table: House) -> None:
    first = await table.play(bet("b1", 10, round_="r1"), bet("b2", 10))
    lost = await table.refused(bet("b3", 1000))
    before = await table.contents()

    again = await table.play(bet("b1", 10, round_="r1"), bet("b2", 10))
    lost_again = await table.refused(bet("b3", 1000))

    assert again == tuple(replace(r, replayed=True, balance_now=first[1].balance_now) for r in first)
    assert lost_again == replace(lost, replayed=True)
    assert await table.contents() == before


async def test_nothing_is_changed_when_the_outbox_refuses_the_record(table: House) -> None:
    await table.engine.read_player(PlayerId("p2"), deadline=moment(PATIENCE_S))
    await table.store.xadd(outbox_key(0), {"a": "stranger"}, id=f"{EPOCH + 1}-0")
    before = await table.contents()

    for attempt in every_script(table)[:-1]:
        with pytest.raises(OutcomeUnknown, match="XADD"):
            await attempt()

    assert await table.contents() == before


@pytest.mark.parametrize("key", [KEYS.epoch, KEYS.outbox, KEYS.wallets, KEYS.ids, KEYS.rounds])
async def test_nothing_is_half_done_when_a_key_is_of_the_wrong_type(table: House, key: str) -> None:
    await table.store.delete(key)
    await table.store.lpush(key, "not what it was")
    before = await table.contents()

    with pytest.raises(OutcomeUnknown, match="wrong kind of value"):
        await table.play(bet("b1", 10, round_="r1"), rollback("u1", "b9"), bet("b2", 10))

    assert await table.contents() == before


async def test_a_win_before_its_bet_is_counted_when_the_bet_comes(table: House) -> None:
    trusting = replace(GAMES, unknown_bet=UnknownBetPolicy.ACCEPT)
    await table.play(win("w1", 5, of="b1"), source=trusting)
    view = await table.engine.read_player(
        PLAYER, transaction=(GAMES.source_id, TransactionId("b1")), deadline=moment(PATIENCE_S)
    )
    assert view.transaction is not None
    assert view.transaction.state is TransactionState.NOT_SEEN

    await table.play(bet("b1", 10), source=trusting)

    assert (await table.refused(rollback("u1", "b1"))).reason is RefusalReason.BET_SETTLED
