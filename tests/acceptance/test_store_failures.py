"""A store or ledger that is frozen, killed, emptied or cut off: nothing is done twice, no answer is lost."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
import redis.asyncio as redis

from persistence.valkey.keys import epoch_key
from persistence.witness import Witness
from service.embedded import EmbeddedValkey, embedded_postgres, embedded_valkey
from stakehold.v1 import ledger_service_pb2
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused, refused
from tests.deployment import Deployment, deployed, migrate
from tests.ledgers import Ledgers
from tests.steps import bet, rollback
from tests.waiting import until
from tests.wallet_api import WalletApi, wallet_api

PARTITION_COUNT = 16
IMPATIENT = {"STAKEHOLD_STORE_TIMEOUT_S": "0.5"}
IDS = [f"b{number}" for number in range(5)]


@pytest_asyncio.fixture
async def private_api(private_deployment: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(private_deployment.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def seat(private_api: WalletApi) -> Seat:
    """A new player with 100.00 EUR on the service that the test breaks."""
    return await seated(private_api)


async def reason_of(seat: Seat, transaction_id: str, *, timeout_s: float | None = 30.0) -> str:
    """What a bet of 1.00 is answered: "OK", the reason, or, where there is none, the code."""
    try:
        await seat.api.transact(
            seat.source_id, seat.player_id, [bet(transaction_id, "1")], timeout_s=timeout_s
        )
    except Refused as refusal:
        return refusal.reason or refusal.code
    return "OK"


async def answered_in_the_end(seat: Seat, transaction_id: str) -> None:
    """Retries the same id until it is answered, as callers do."""

    async def answered() -> bool:
        return await reason_of(seat, transaction_id) == "OK"

    await until(answered, what=f"{transaction_id} is answered")


def freeze(valkey: EmbeddedValkey) -> None:
    valkey.process.send_signal(signal.SIGSTOP)


def thaw(valkey: EmbeddedValkey) -> None:
    valkey.process.send_signal(signal.SIGCONT)


async def scripts_run(valkey: EmbeddedValkey) -> int:
    """How many scripts the store ever ran."""
    async with redis.from_url(valkey.url) as client:
        statistics = await client.info("commandstats")
    return sum(
        line["calls"] for name, line in statistics.items() if name in {"cmdstat_evalsha", "cmdstat_eval"}
    )


@pytest.mark.parametrize("deployment_settings", [IMPATIENT], ids=["impatient"])
async def test_a_frozen_store_leaves_the_outcome_unknown_and_retries_take_each_bet_once(
    private_deployment: Deployment, seat: Seat
) -> None:
    before = await scripts_run(private_deployment.valkey)
    freeze(private_deployment.valkey)
    seen = Counter(await asyncio.gather(*(reason_of(seat, name) for name in IDS)))
    thaw(private_deployment.valkey)

    assert set(seen) <= {"OUTCOME_UNKNOWN", "STORE_UNAVAILABLE"}
    assert seen["OUTCOME_UNKNOWN"]
    assert await scripts_run(private_deployment.valkey) - before <= len(IDS)

    for name in IDS:
        await answered_in_the_end(seat, name)
    wallet = await seat.balance()
    assert (wallet.cash, wallet.version) == ("95.00", 7)
    await private_deployment.require_agreement()


async def test_a_caller_that_gives_up_on_a_frozen_store_asks_again_with_the_same_id(
    private_deployment: Deployment, seat: Seat
) -> None:
    freeze(private_deployment.valkey)
    seen = await asyncio.gather(*(reason_of(seat, name, timeout_s=0.3) for name in IDS))
    thaw(private_deployment.valkey)

    assert set(seen) <= {"DEADLINE_EXCEEDED", "OUTCOME_UNKNOWN"}  # whichever side notices first
    for name in IDS:
        await answered_in_the_end(seat, name)
        assert (await seat.one(bet(name, "1"))).replayed
    wallet = await seat.balance()
    assert (wallet.cash, wallet.version) == ("95.00", 7)


@pytest.mark.parametrize(
    "deployment_settings",
    [{"STAKEHOLD_CALL_TIMEOUT_S": "0.5", "STAKEHOLD_STORE_TIMEOUT_S": "5"}],
    ids=["short calls"],
)
async def test_a_call_that_was_never_sent_says_that_nothing_was_done(
    private_deployment: Deployment, seat: Seat
) -> None:
    freeze(private_deployment.valkey)
    patient = asyncio.create_task(reason_of(seat, "patient"))
    seen = await asyncio.gather(*(reason_of(seat, f"b{number}", timeout_s=None) for number in range(50)))
    thaw(private_deployment.valkey)

    assert set(seen) <= {"OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED"}
    assert "DEADLINE_EXCEEDED" in seen
    assert await patient == "OK"
    for number in range(50):
        await answered_in_the_end(seat, f"b{number}")
    assert await seat.cash() == "49.00"


@pytest.mark.parametrize(
    "deployment_settings", [{**IMPATIENT, "STAKEHOLD_MAX_WAITING_CALLS": "1"}], ids=["one may wait"]
)
async def test_calls_beyond_the_queue_are_shed_with_a_delay_and_nothing_is_done(
    private_deployment: Deployment, seat: Seat
) -> None:
    async def shed(name: str) -> Refused | None:
        try:
            await seat.one(bet(name, "1"))
        except Refused as refusal:
            return refusal
        return None

    freeze(private_deployment.valkey)
    refusals = await asyncio.gather(*(shed(f"b{number}") for number in range(20)))
    thaw(private_deployment.valkey)

    overloaded = [refusal for refusal in refusals if refusal and refusal.reason == "OVERLOADED"]
    assert overloaded
    assert {refusal.code for refusal in overloaded} == {"RESOURCE_EXHAUSTED"}
    assert all(refusal.details.retry_delay_ms for refusal in overloaded)
    for number in range(20):
        await answered_in_the_end(seat, f"b{number}")
    assert await seat.cash() == "80.00"


@pytest.mark.parametrize("found", ["another ledger's witness", "garbage"])
async def test_a_store_that_becomes_anothers_while_it_is_served_is_fenced_and_nothing_is_applied(
    private_deployment: Deployment, seat: Seat, found: str
) -> None:
    await seat.one(bet("b1", "1"))
    async with redis.from_url(private_deployment.valkey.url) as client:
        witness = await client.get(epoch_key(0))
        assert isinstance(witness, bytes)
        theirs = replace(Witness.parse(witness.decode()), ledger_id=uuid4())
        other = str(theirs) if found == "another ledger's witness" else b"\xff garbage"
        await client.mset({epoch_key(partition): other for partition in range(PARTITION_COUNT)})
        before = await contents(client)

        for step in (bet("b1", "1"), bet("b2", "1"), rollback("r1", "b1"), rollback("r2", "b3")):
            refusal = await seat.refused(step)
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "PARTITION_FENCED")
        with pytest.raises(Refused) as caught:
            await seat.balance()
        assert caught.value.reason == "PARTITION_FENCED"

        assert await contents(client) == before
        await client.mset({epoch_key(partition): witness for partition in range(PARTITION_COUNT)})

    await answered_in_the_end(seat, "b1")
    assert await seat.cash() == "99.00"


async def contents(client: "redis.Redis") -> dict[bytes, object]:
    """Everything in the store; of outboxes, which a drainer may still cut, what was added last."""
    found: dict[bytes, object] = {}
    for key in cast("list[bytes]", await client.keys()):
        if key.endswith(b":outbox"):
            found[key] = (await client.xinfo_stream(key))["last-generated-id"]
        else:
            found[key] = await client.dump(key)
    return found


async def test_a_killed_store_has_everything_that_was_answered_when_it_is_back(
    ledger_dsn: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        folder = tmp_path / "valkey"
        async with embedded_valkey(folder) as valkey:
            deployment = await stack.enter_async_context(
                deployed(tmp_path / "deployment", valkey, ledger_dsn)
            )
            api = await stack.enter_async_context(wallet_api(deployment.address))
            seat = await seated(api)
            for name in IDS:
                await seat.one(bet(name, "1"))
            valkey.process.kill()

            async def unavailable() -> bool:
                return await reason_of(seat, "lost") == "STORE_UNAVAILABLE"

            await until(unavailable, what="the store is known to be gone")
        await stack.enter_async_context(embedded_valkey(folder, port=valkey.port))

        await answered_in_the_end(seat, "lost")
        for name in IDS:
            assert (await seat.one(bet(name, "1"))).replayed
        wallet = await seat.balance()
        assert (wallet.cash, wallet.version) == ("94.00", 8)
        await deployment.require_agreement()


async def test_bets_go_on_without_the_ledger_and_reach_it_when_it_is_back(
    private_deployment: Deployment, ledgers: Ledgers, seat: Seat
) -> None:
    await ledgers.cut_off(private_deployment.ledger_dsn)
    try:
        for name in IDS:
            await seat.one(bet(name, "1"))
        refusal = await ledger_refusal(private_deployment)
    finally:
        await ledgers.let_in_again(private_deployment.ledger_dsn)

    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "LEDGER_UNAVAILABLE")
    await until(lambda: ledger_answers(private_deployment), what="the ledger is read again")
    await private_deployment.require_agreement()


async def test_bets_go_on_while_postgres_is_dead_and_reach_it_when_it_is_back(
    private_valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        folder = tmp_path / "postgres"
        async with embedded_postgres(folder, fsync=False) as postgres:
            await migrate(tmp_path, postgres.dsn)
            deployment = await stack.enter_async_context(
                deployed(tmp_path / "deployment", private_valkey, postgres.dsn)
            )
            seat = await seated(await stack.enter_async_context(wallet_api(deployment.address)))
            postgres.process.kill()
            for name in IDS:
                await seat.one(bet(name, "1"))
            refusal = await ledger_refusal(deployment)
            assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "LEDGER_UNAVAILABLE")
        await stack.enter_async_context(embedded_postgres(folder, port=postgres.port, fsync=False))

        await until(lambda: ledger_answers(deployment), what="the ledger is read again")
        await deployment.require_agreement()
        assert await seat.cash() == "95.00"


async def ledger_answers(deployment: Deployment) -> bool:
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        try:
            await LedgerServiceStub(channel).ListEntries(ledger_service_pb2.ListEntriesRequest())
        except grpc.RpcError:
            return False
    return True


async def ledger_refusal(deployment: Deployment) -> Refused:
    """Postgres' other processes may answer for a moment after the one that was killed."""
    told: list[Refused] = []

    async def refuses() -> bool:
        async with grpc.aio.insecure_channel(deployment.address) as channel:
            try:
                await LedgerServiceStub(channel).ListEntries(ledger_service_pb2.ListEntriesRequest())
            except grpc.RpcError as error:
                told.append(refused(error))
        return bool(told)

    await until(refuses, what="the ledger is away")
    return told[0]
