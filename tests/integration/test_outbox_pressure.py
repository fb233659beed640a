"""An outbox that grows because nobody drains it: debits wait first, then everything but reads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.transactions import PlayerId, partition_of
from persistence.valkey.keys import outbox_key
from service.embedded import EmbeddedValkey, embedded_postgres
from service.embedded.ports import LOOPBACK, free_port
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.deployment import migrate
from tests.draining import draining
from tests.integration.test_server import scrape
from tests.reference import Step
from tests.serving import Grounds
from tests.steps import bet, deposit, rollback, win
from tests.waiting import until
from tests.wallet_api import WalletApi, new_name, wallet_api

HIGH, HARD = 8, 12
MARKS: dict[str, Any] = {"outbox_high_records": HIGH, "outbox_hard_records": HARD}
PARTITIONS = 16


@pytest_asyncio.fixture
async def ground(private_valkey: EmbeddedValkey, ledger_dsn: str) -> Grounds:
    return Grounds(private_valkey.url, ledger_dsn)


@pytest_asyncio.fixture
async def seat(ground: Grounds) -> AsyncIterator[Seat]:
    """A player with 100.00 EUR on a server with tiny marks; nobody drains."""
    async with ground.serving(**MARKS) as server, wallet_api(server.address) as api:
        yield await seated(api)


async def waiting(url: str, player_id: str) -> int:
    """The records in the player's outbox."""
    async with Redis.from_url(url) as store:
        return int(await store.xlen(outbox_key(partition_of(PlayerId(player_id), PARTITIONS))))


async def bet_until_shed(seat: Seat) -> Refused:
    for number in range(HARD):
        try:
            await seat.one(bet(f"b{number}", "1"))
        except Refused as refused:
            return refused
    raise AssertionError("no debit was ever shed")


async def shed_by(seat: Seat, step: Step) -> str:
    """What there is too little of for a call; empty where it is taken."""
    try:
        await seat.one(step)
    except Refused as refused:
        return refused.details.metadata["cause"]
    return ""


async def until_shed_by(cause: str, seat: Seat, step: Callable[[str], Step]) -> None:
    """Calls with new ids until it is so."""

    async def is_so() -> bool:
        return await shed_by(seat, step(new_name("t"))) == cause

    await until(is_so, what=f"a call is shed by {cause or 'nothing'}")


def small_bet(step_id: str) -> Step:
    return bet(step_id, "0.01")


def small_win(step_id: str) -> Step:
    return win(step_id, "0.01")


async def test_debits_wait_at_the_high_mark_and_everything_but_reads_at_the_hard_one(
    ground: Grounds, seat: Seat
) -> None:
    partition = str(partition_of(PlayerId(seat.player_id), PARTITIONS))

    shed = await bet_until_shed(seat)
    assert await waiting(ground.valkey_url, seat.player_id) == HIGH
    assert (shed.code, shed.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
    assert dict(shed.details.metadata) == {"cause": "outbox", "partition": partition}
    assert shed.details.retry_delay_ms == 1000
    assert "nothing was done" in shed.details.message

    both = await seat.refused(win("w", "1"), bet("b", "1"))
    with pytest.raises(Refused) as opening:
        await seat.api.open_wallet(seat.player_id, "USD")
    assert {both.reason, opening.value.reason} == {"OVERLOADED"}

    await seat.one(win("w0", "5", of="b0"))
    await seat.one(rollback("r1", "b1"))
    await seat.api.set_status(seat.player_id, "EUR", "DEBITS_FROZEN")
    await seat.one(deposit("d1", "1"))
    assert await waiting(ground.valkey_url, seat.player_id) == HARD

    for step in (win("w2", "5"), rollback("r2", "b2"), deposit("d2", "1"), bet("b99", "1")):
        assert (await seat.refused(step)).details.metadata["cause"] == "outbox"
    with pytest.raises(Refused) as setting:
        await seat.api.set_status(seat.player_id, "EUR", "ACTIVE")
    assert setting.value.reason == "OVERLOADED"

    assert await waiting(ground.valkey_url, seat.player_id) == HARD
    assert (await seat.look_up("b0")).ByteSize()
    assert (await seat.balance()).version == HARD


async def test_everything_is_taken_again_once_the_outbox_is_drained(ground: Grounds, seat: Seat) -> None:
    await bet_until_shed(seat)

    async with draining(ground.valkey_url, ground.ledger_dsn, opened=False, empty=False) as drains:
        await drains.drain()
        assert await waiting(ground.valkey_url, seat.player_id) == 0

    await until_shed_by("", seat, small_bet)
    assert (await seat.one(win("w", "5"))).outcome == "APPLIED"


async def test_a_partition_that_is_full_does_not_concern_the_players_of_others(seat: Seat) -> None:
    await bet_until_shed(seat)
    theirs = partition_of(PlayerId(seat.player_id), PARTITIONS)
    elsewhere = Seat(seat.api, seat.source_id, await player_elsewhere(seat.api, theirs))

    await elsewhere.one(bet("b0", "1"))

    assert (await seat.refused(bet("b99", "1"))).reason == "OVERLOADED"


async def player_elsewhere(api: WalletApi, partition: int) -> str:
    while partition_of(PlayerId(player := new_name("player")), PARTITIONS) == partition:
        pass
    await api.open_wallet(player, "EUR")
    await api.transact("cashier", player, [deposit("start", "100")])
    return player


async def test_what_other_servers_write_counts_too(ground: Grounds, seat: Seat) -> None:
    async with ground.serving(**MARKS) as second, wallet_api(second.address) as api:
        other = Seat(api, seat.source_id, seat.player_id)
        await bet_until_shed(seat)

        await until_shed_by("outbox", other, small_bet)


async def test_the_metrics_tell_how_many_partitions_are_full_and_what_was_shed(ground: Grounds) -> None:
    listen = f"{LOOPBACK}:{free_port()}"
    async with ground.serving(metrics_listen=listen, **MARKS) as server, wallet_api(server.address) as api:
        seat = await seated(api)
        await bet_until_shed(seat)
        text = await asyncio.to_thread(scrape, listen)

    assert 'stakehold_outbox_pressure{level="none"} 15.0' in text
    assert 'stakehold_outbox_pressure{level="high"} 1.0' in text
    assert 'stakehold_outbox_pressure{level="hard"} 0.0' in text
    assert 'stakehold_shed_calls_total{cause="outbox"} 1.0' in text
    assert 'stakehold_shed_calls_total{cause="queue"} 0.0' in text


async def test_without_postgres_debits_go_on_until_the_mark_and_after_it_comes_back_again(
    private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        folder = tmp_path / "postgres"
        async with embedded_postgres(folder, fsync=False) as postgres:
            await migrate(tmp_path, postgres.dsn)
            ground = Grounds(private_valkey.url, postgres.dsn)
            server = await stack.enter_async_context(ground.serving(**MARKS))
            seat = await seated(await stack.enter_async_context(wallet_api(server.address)))
            postgres.process.kill()

            await bet_until_shed(seat)
            assert await waiting(ground.valkey_url, seat.player_id) == HIGH
            await seat.one(win("w0", "5", of="b0"))
            async with Redis.from_url(ground.valkey_url) as store:
                outbox = outbox_key(partition_of(PlayerId(seat.player_id), PARTITIONS))
                await cut_all_but_the_newest(store, outbox)
            await until_shed_by("", seat, small_bet)


async def cut_all_but_the_newest(store: Redis, outbox: str) -> None:
    """As a drainer would; what is cut off is of no interest here."""
    newest = (await store.xinfo_stream(outbox))["last-generated-id"]
    await store.xtrim(outbox, minid=newest, approximate=False)


async def test_a_store_that_is_nearly_full_sheds_debits_then_everything(
    ground: Grounds, private_valkey: EmbeddedValkey
) -> None:
    async with (
        ground.serving() as server,
        wallet_api(server.address) as api,
        Redis.from_url(private_valkey.url) as store,
    ):
        seat = await seated(api)
        await store.setrange("filler", 64 << 20, "x")  # beside which all else is little
        used = int((await store.info("memory"))["used_memory"])

        async def limit(share: float) -> None:
            await store.config_set("maxmemory", round(used / share))

        await limit(0.935)
        await until_shed_by("memory", seat, small_bet)
        await seat.one(win("w1", "5"))
        await limit(0.99)
        await until_shed_by("memory", seat, small_win)
        assert (await seat.balance()).version > 2
        await store.config_set("maxmemory", 0)
        await until_shed_by("", seat, small_bet)
