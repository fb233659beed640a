"""What an operator sees, and does, on the worst evening."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

from persistence.transactions import PlayerId, partition_of
from persistence.valkey.keys import outbox_key, wallets_key
from service.embedded import EmbeddedValkey, embedded_valkey
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.deployment import Deployment
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import WalletApi, wallet_api

PARTITION_COUNT = 16


@pytest_asyncio.fixture
async def api(private_deployment: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(private_deployment.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def seat(api: WalletApi) -> Seat:
    """A new player with 100.00 EUR on the service that the test breaks."""
    return await seated(api)


@pytest_asyncio.fixture
async def private_former_primary(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with embedded_valkey(tmp_path / "former") as server:
        yield server


async def doctor(deployment: Deployment) -> tuple[int, dict[str, object]]:
    status, said = await deployment.run("doctor", "--format", "json")
    return status, json.loads(said)


async def test_a_healthy_deployment_is_said_to_be_well(private_deployment: Deployment, seat: Seat) -> None:
    await seat.one(bet("b1", "10"))
    await private_deployment.require_agreement()

    status, said = await private_deployment.run("doctor")

    assert status == 0, said
    assert "All is well." in said
    assert len(said.splitlines()) == PARTITION_COUNT + 2


@pytest.mark.parametrize("deployment_settings", [{"STAKEHOLD_RECOVERY": "manual"}], ids=["manual"])
async def test_an_emptied_store_is_diagnosed_and_recovered_by_hand(
    private_deployment: Deployment, seat: Seat
) -> None:
    await seat.one(bet("b1", "10"))
    await private_deployment.require_agreement()
    async with redis.from_url(private_deployment.valkey.url) as store:
        await store.flushall()

        status, said = await private_deployment.run("doctor")
        assert status == 1, said
        assert said.count("the store is empty: it waits to be taken over") == PARTITION_COUNT

        status, said = await private_deployment.run("recover", "--dry-run")
        assert status == 1
        assert said.count("would be taken over in epoch 2") == PARTITION_COUNT
        assert await store.dbsize() == 0

    status, said = await private_deployment.run("recover")
    assert status == 0, said
    assert said.count("was taken over in epoch 2") == PARTITION_COUNT

    async def serves() -> bool:
        try:
            return (await seat.one(bet("b1", "10"))).replayed
        except Refused:
            return False

    await until(serves, what="the service has seen that it may go on")
    assert await seat.cash() == "90.00"
    status, diagnosis = await doctor(private_deployment)
    assert (status, diagnosis["incidents"]) == (1, {"memory_lost": PARTITION_COUNT})


async def test_an_outbox_that_the_ledger_cannot_follow_is_cut_off_and_booked_again(
    private_deployment: Deployment, seat: Seat
) -> None:
    await seat.one(bet("b1", "10"))
    await private_deployment.require_agreement()
    player = PlayerId(seat.player_id)
    partition = partition_of(player, PARTITION_COUNT)
    async with redis.from_url(private_deployment.valkey.url) as store:
        key = wallets_key(partition, player)
        text = await store.hget(key, "EUR")
        assert isinstance(text, bytes)
        await store.hset(key, "EUR", text.replace(b"\x1f9000\x1f", b"\x1f990000\x1f"))
    await seat.one(bet("b2", "5"))
    assert await seat.cash() == "9895.00"

    async def stopped() -> bool:
        return (await doctor(private_deployment))[0] == 1

    await until(stopped, what="the drain is stopped")
    status, said = await private_deployment.run("doctor")
    assert "DriftDetected" in said
    assert f"stakehold recover --salvage {partition}" in said
    await seat.one(bet("b3", "1"))

    status, said = await private_deployment.run("recover", "--salvage", str(partition))

    assert status == 0, said
    assert "2 records were kept" in said

    async def booked() -> bool:
        return await seat.cash() == "84.00"

    await until(booked, what="what was kept is booked again, by the command or beside the drain")
    assert (await seat.one(bet("b2", "5"))).replayed
    await private_deployment.require_agreement()
    assert await seat.cash() == "84.00"
    connection = await asyncpg.connect(private_deployment.ledger_dsn)
    kept = await connection.fetch(
        "SELECT transaction_id FROM ledger.incidents WHERE kind = 'history_forked' ORDER BY 1"
    )
    await connection.close()
    assert [row["transaction_id"] for row in kept] == ["b2", "b3"]


async def test_what_a_former_primary_answered_is_booked_again(
    private_deployment: Deployment, private_former_primary: EmbeddedValkey, seat: Seat
) -> None:
    """The former primary has the same history, and a bet more that the ledger never saw."""
    await seat.one(bet("b1", "10"))
    await private_deployment.require_agreement()
    player = PlayerId(seat.player_id)
    partition = partition_of(player, PARTITION_COUNT)
    private_deployment.drainer.process.send_signal(signal.SIGSTOP)
    await seat.one(bet("b2", "20"))
    async with (
        redis.from_url(private_deployment.valkey.url) as store,
        redis.from_url(private_former_primary.url) as former,
    ):
        for key in await store.keys(f"{{w{partition}}}:*"):
            await former.restore(key, 0, await store.dump(key) or b"", replace=True)
        assert await former.xlen(outbox_key(partition)) == 1
        await store.flushall()
    assert await seat.cash() == "90.00"
    private_deployment.drainer.process.send_signal(signal.SIGCONT)

    status, said = await private_deployment.run("recover", "--from", private_former_primary.url)

    assert status == 0, said
    assert "1 records were kept" in said

    async def booked() -> bool:
        return await seat.cash() == "70.00"

    await until(booked, what="what was kept is booked again, by the command or beside the drain")
    assert (await seat.one(bet("b2", "20"))).replayed
    status, said = await private_deployment.run("recover", "--from", private_former_primary.url)
    assert (status, "0 entries booked again" in said) == (0, True), said
    await private_deployment.require_agreement()
    assert await seat.cash() == "70.00"
