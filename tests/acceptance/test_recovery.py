"""A store that was started again, emptied or replaced: what was answered counts, and play goes on."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

from persistence.valkey.keys import epoch_key
from service.embedded import EmbeddedValkey, embedded_valkey
from service.embedded.children import Child, spawn
from tests.acceptance.seat import Seat, seated
from tests.answers import Balance, Refused
from tests.deployment import ROOT, STOP_GRACE_S, Deployment, cli, deployed
from tests.steps import bet, closing, rollback, win
from tests.waiting import until
from tests.wallet_api import WalletApi, wallet_api


@pytest_asyncio.fixture
async def api(private_deployment: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(private_deployment.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def seat(api: WalletApi) -> Seat:
    """A new player with 100.00 EUR on the service that the test breaks."""
    return await seated(api)


@dataclass(frozen=True, slots=True)
class MortalValkey:
    """A Valkey that can die and leave its folder to the next."""

    server: EmbeddedValkey
    folder: Path
    life: AsyncExitStack

    async def kill(self) -> None:
        self.server.process.kill()
        await self.life.aclose()


@asynccontextmanager
async def mortal_valkey(folder: Path) -> AsyncIterator[MortalValkey]:
    async with AsyncExitStack() as life:
        yield MortalValkey(await life.enter_async_context(embedded_valkey(folder)), folder, life)


async def empty(valkey: EmbeddedValkey) -> None:
    async with redis.from_url(valkey.url) as client:
        await client.flushall()


@dataclass(frozen=True, slots=True)
class LoggingDrainer:
    """A drainer that is asked for what it has logged."""

    child: Child

    async def has_logged(self, event: str) -> bool:
        assert self.child.running, self.child.log_tail()
        return event in self.child.log.read_text()


@asynccontextmanager
async def another_drainer(deployment: Deployment) -> AsyncIterator[LoggingDrainer]:
    """In the place of the one that is at work."""
    await deployment.drainer.stop(grace_s=STOP_GRACE_S)
    log = deployment.folder / "another-drain.log"
    child = spawn("drain", cli("drain"), log=log, env=deployment.environment, cwd=ROOT)
    try:
        yield LoggingDrainer(child)
    finally:
        await child.stop(grace_s=STOP_GRACE_S)


async def incidents(deployment: Deployment, kind: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(deployment.ledger_dsn)
    try:
        return list(await connection.fetch("SELECT * FROM ledger.incidents WHERE kind = $1", kind))
    finally:
        await connection.close()


def cash_of(balance: Balance | None) -> str:
    assert balance is not None
    return balance.cash


async def in_the_end(seat: Seat, transaction_id: str, amount: str = "1") -> bool:
    """Retries a bet with the same id until it is answered, as callers do; whether it was a replay."""
    replayed: list[bool] = []

    async def answered() -> bool:
        try:
            done = await seat.one(bet(transaction_id, amount))
        except Refused as refusal:
            if refusal.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
                return False
            raise
        replayed.append(done.replayed)
        return True

    await until(answered, what=f"{transaction_id} is answered")
    return replayed[0]


async def test_all_that_was_drained_comes_back_from_the_ledger_when_the_store_is_emptied(
    private_deployment: Deployment, seat: Seat
) -> None:
    await seat.one(bet("b1", "10", round_id="r1", game_id="g"))
    await seat.one(win("w1", "25", of="b1"))
    await seat.one(bet("b2", "5", round_id="r2", game_id="g"))
    await seat.one(closing(win("w2", "0", round_id="r2", game_id="g")))
    await seat.one(rollback("u3", "b3"))
    assert (await seat.refused(bet("b4", "1000"))).reason == "INSUFFICIENT_FUNDS"
    before = await seat.balance()
    await private_deployment.require_agreement()

    await empty(private_deployment.valkey)

    assert await seat.balance() == before
    replay = await seat.one(bet("b1", "10", round_id="r1", game_id="g"))
    assert replay.replayed
    assert (cash_of(replay.after), cash_of(replay.now)) == ("90.00", "110.00")
    assert (
        await seat.refused(bet("b1", "11", round_id="r1", game_id="g"))
    ).reason == "TRANSACTION_ID_CONFLICT"
    assert (await seat.refused(rollback("u1", "b1"))).reason == "BET_SETTLED"
    assert (await seat.refused(bet("b3", "1"))).reason == "TRANSACTION_ROLLED_BACK"
    again = await seat.refused(bet("b4", "1000"))
    assert again.reason == "INSUFFICIENT_FUNDS"
    assert again.details.refusal is not None
    assert again.details.refusal.replayed
    assert (await seat.refused(bet("b5", "1", round_id="r2", game_id="g"))).reason == "ROUND_CLOSED"
    await seat.one(rollback("u4", "w1"))
    await seat.one(rollback("u5", "b1"))
    wallet = await seat.balance()
    assert (wallet.cash, wallet.version) == ("95.00", before.version + 2)
    await private_deployment.require_agreement()
    status, said = await private_deployment.run("verify")
    assert status == 0, said
    assert await incidents(private_deployment, "memory_lost")
    assert not await incidents(private_deployment, "acknowledged_lost")


async def test_what_was_answered_and_lost_before_it_was_drained_is_named_and_may_be_done_again(
    private_deployment: Deployment, seat: Seat
) -> None:
    await seat.one(bet("b1", "10"))
    await private_deployment.require_agreement()
    private_deployment.drainer.process.send_signal(signal.SIGSTOP)
    await seat.one(bet("b2", "20"))
    assert (await seat.refused(bet("b3", "1000"))).reason == "INSUFFICIENT_FUNDS"
    await empty(private_deployment.valkey)

    assert await in_the_end(seat, "b1", "10")
    private_deployment.drainer.process.send_signal(signal.SIGCONT)
    assert await seat.cash() == "90.00"

    async def named() -> bool:
        return len(await incidents(private_deployment, "acknowledged_lost")) == 2

    await until(named, what="the lost transactions are named")
    lost = await incidents(private_deployment, "acknowledged_lost")
    assert {(row["player_id"], row["source_id"], row["transaction_id"]) for row in lost} == {
        (seat.player_id, seat.source_id, "b2"),
        (seat.player_id, seat.source_id, "b3"),
    }
    assert not await in_the_end(seat, "b2", "20")
    assert await seat.cash() == "70.00"
    await private_deployment.require_agreement()

    async def resolved() -> bool:
        rows = await incidents(private_deployment, "acknowledged_lost")
        return {row["transaction_id"] for row in rows if row["resolved_time"]} == {"b2"}

    await until(resolved, what="what was done again is lost no more")


async def test_an_id_that_is_answered_otherwise_the_second_time_stays_named(
    private_deployment: Deployment, seat: Seat
) -> None:
    await private_deployment.require_agreement()
    private_deployment.drainer.process.send_signal(signal.SIGSTOP)
    for step in (bet("b1", "10"), rollback("u1", "b1"), bet("b2", "20"), bet("b3", "5")):
        await seat.one(step)
    await empty(private_deployment.valkey)

    assert not await in_the_end(seat, "b2", "20")
    assert (await seat.one(rollback("u1", "b1"))).outcome == "NO_ORIGINAL"
    await seat.one(bet("b3", "6"))

    async def what_became_of_them() -> dict[str, bool]:
        rows = await incidents(private_deployment, "acknowledged_lost")
        return {row["transaction_id"]: row["resolved_time"] is not None for row in rows}

    async def named() -> bool:
        return await what_became_of_them() == dict.fromkeys(("b1", "u1", "b2", "b3"), False)

    async def b2_is_found() -> bool:
        return (await what_became_of_them())["b2"]

    await until(named, what="all that was lost is named")
    private_deployment.drainer.process.send_signal(signal.SIGCONT)
    await until(b2_is_found, what="what was answered in the same way again is lost no more")
    assert await what_became_of_them() == {"b1": False, "u1": False, "b2": True, "b3": False}


async def test_a_store_that_was_killed_goes_on_from_its_file(ledger_dsn: str, tmp_path: Path) -> None:
    async with (
        mortal_valkey(tmp_path / "valkey") as store,
        deployed(tmp_path / "d", store.server, ledger_dsn) as running,
        wallet_api(running.address) as api,
    ):
        seat = await seated(api)
        await running.require_agreement()
        running.drainer.process.send_signal(signal.SIGSTOP)
        await seat.one(bet("b1", "10"))
        await store.kill()
        async with embedded_valkey(store.folder, port=store.server.port):
            assert await in_the_end(seat, "b1", "10")
            assert not await in_the_end(seat, "b2", "5")
            running.drainer.process.send_signal(signal.SIGCONT)
            await running.require_agreement()
            wallet = await seat.balance()
            assert (wallet.cash, wallet.version) == ("85.00", 4)
            assert not await incidents(running, "memory_lost")
            assert not await incidents(running, "acknowledged_lost")
            status, said = await running.run("verify")
            assert status == 0, said


async def test_a_store_that_lost_the_end_of_its_file_is_made_good_from_the_ledger(
    ledger_dsn: str, tmp_path: Path
) -> None:
    async with (
        mortal_valkey(tmp_path / "valkey") as store,
        deployed(tmp_path / "d", store.server, ledger_dsn) as running,
        wallet_api(running.address) as api,
    ):
        seat = await seated(api)
        await running.require_agreement()
        [file] = (store.folder / "appendonlydir").glob("*.incr.aof")
        length = file.stat().st_size
        await seat.one(bet("b1", "10"))
        await running.require_agreement()
        await store.kill()
        os.truncate(file, length)
        async with embedded_valkey(store.folder, port=store.server.port):
            assert await in_the_end(seat, "b1", "10")
            assert not await in_the_end(seat, "b2", "5")
            await running.require_agreement()
            wallet = await seat.balance()
            assert (wallet.cash, wallet.version) == ("85.00", 4)
            lost = await incidents(running, "memory_lost")
            assert all("the store lost what came after" in row["description"] for row in lost)
            assert lost
            assert not await incidents(running, "acknowledged_lost")


@pytest.mark.parametrize("deployment_settings", [{"STAKEHOLD_RECOVERY": "manual"}], ids=["manual"])
async def test_recovery_by_hand_leaves_an_emptied_store_fenced(
    private_deployment: Deployment, seat: Seat
) -> None:
    await private_deployment.require_agreement()
    await empty(private_deployment.valkey)

    for step in (bet("b1", "1"), rollback("r1", "b1")):
        refusal = await seat.refused(step)
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "PARTITION_FENCED")
    with pytest.raises(Refused):
        await seat.balance()
    async with redis.from_url(private_deployment.valkey.url) as client:
        assert await client.get(epoch_key(0)) is None


@pytest.mark.parametrize("deployment_settings", [{"STAKEHOLD_RECOVERY": "manual"}], ids=["manual"])
async def test_recovery_by_hand_is_not_for_a_drainer_that_starts_but_for_a_person(
    private_deployment: Deployment, seat: Seat
) -> None:
    await seat.one(bet("b1", "10"))
    await private_deployment.require_agreement()
    await empty(private_deployment.valkey)

    async with another_drainer(private_deployment) as drainer:
        await until(partial(drainer.has_logged, "partitions_wait_for_recovery"), what="it says what waits")
        await until(partial(drainer.has_logged, "keeping_house"), what="it is at work")
        assert (await seat.refused(bet("b2", "1"))).reason == "PARTITION_FENCED"
        async with redis.from_url(private_deployment.valkey.url) as client:
            assert await client.keys("*") == []

        status, said = await private_deployment.run("recover")

        assert status == 0, said
        assert not await in_the_end(seat, "b2")
        assert await seat.cash() == "89.00"
        await private_deployment.require_agreement()
