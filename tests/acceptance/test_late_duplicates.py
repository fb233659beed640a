"""An old id that comes again while nobody can ask the ledger about it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest_asyncio

from service.embedded import EmbeddedPostgres, EmbeddedValkey, embedded_postgres
from tests.acceptance.seat import CASHIER, Seat, seated
from tests.answers import Refused
from tests.deployment import Deployment, deployed, migrate
from tests.forgetful import oblivion
from tests.reference import Policies
from tests.steps import bet, deposit, rollback, win
from tests.waiting import until
from tests.wallet_api import wallet_api


@dataclass(slots=True)
class Evening:
    """A deployment whose Postgres can be killed and started again."""

    deployment: Deployment
    seat: Seat
    folder: Path
    postgres: EmbeddedPostgres
    life: AsyncExitStack

    async def forget(self) -> None:
        async with oblivion(self.deployment.valkey.url, self.postgres.dsn) as forgetting:
            await forgetting.forget_fields([self.seat.player_id])

    async def kill_postgres(self) -> None:
        self.postgres.process.kill()
        await self.life.aclose()

    async def start_postgres(self) -> None:
        self.life = AsyncExitStack()
        again = embedded_postgres(self.folder, port=self.postgres.port, fsync=False)
        self.postgres = await self.life.enter_async_context(again)


@pytest_asyncio.fixture
async def evening(private_valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Evening]:
    life = AsyncExitStack()
    folder = tmp_path / "postgres"
    postgres = await life.enter_async_context(embedded_postgres(folder, fsync=False))
    await migrate(tmp_path, postgres.dsn)
    async with (
        deployed(tmp_path / "deployment", private_valkey, postgres.dsn) as deployment,
        wallet_api(deployment.address) as api,
    ):
        made = Evening(deployment, await seated(api), folder, postgres, life)
        yield made
    await made.life.aclose()


async def open_incidents(evening: Evening) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(evening.postgres.dsn)
    try:
        return list(await connection.fetch("SELECT * FROM ledger.incidents ORDER BY incident_id"))
    finally:
        await connection.close()


async def test_a_late_duplicate_that_slipped_in_is_reversed_and_told(evening: Evening) -> None:
    seat = evening.seat
    first = await seat.one(bet("b1", "10", round_id="r1"))
    await seat.one(win("w1", "5", of="b1"))
    await evening.forget()
    await evening.kill_postgres()

    again = await seat.one(bet("b1", "10", round_id="r1"))
    new = await seat.one(bet("b2", "1"))
    assert (again.replayed, new.replayed) == (False, False)
    assert await seat.cash() == "84.00"
    await evening.start_postgres()

    async def reversed_() -> bool:
        return await seat.cash() == "94.00"

    await until(reversed_, what="the duplicate is reversed", deadline_s=40.0)
    await evening.deployment.require_agreement()

    async def resolved() -> bool:
        incidents = await open_incidents(evening)
        assert [row["kind"] for row in incidents] == ["late_duplicate"]
        assert (incidents[0]["player_id"], incidents[0]["transaction_id"]) == (seat.player_id, "b1")
        return incidents[0]["resolved_time"] is not None

    await until(resolved, what="the incident is resolved")

    async def as_at_first() -> bool:
        return (await seat.one(bet("b1", "10", round_id="r1"))).entry_id == first.entry_id

    await until(as_at_first, what="the first answer is given again")
    assert (await seat.refused(rollback("u1", "b1"))).reason == "BET_SETTLED"
    status, said = await evening.deployment.run("verify")
    assert status == 0, said


async def test_what_nobody_plays_on_with_waits_for_the_ledger(evening: Evening) -> None:
    seat = evening.seat
    await seat.one(bet("b1", "10", round_id="r1"))
    await seat.api.transact(CASHIER, seat.player_id, [deposit("d1", "50")])
    await evening.forget()
    await evening.kill_postgres()

    for step in (rollback("u1", "b1"), win("w1", "5", of="b1")):
        refusal = await seat.refused(step)
        assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "LEDGER_UNAVAILABLE")
    refused = None
    try:
        await seat.api.transact(CASHIER, seat.player_id, [deposit("d1", "50")])
    except Refused as refusal:
        refused = refusal
    assert refused is not None
    assert (refused.code, refused.reason) == ("UNAVAILABLE", "LEDGER_UNAVAILABLE")
    assert await seat.cash() == "140.00"
    await evening.start_postgres()

    async def settled() -> bool:
        try:
            await seat.one(win("w1", "5", of="b1"))
        except Refused:
            return False
        return True

    await until(settled, what="the win is taken", deadline_s=40.0)
    await evening.deployment.require_agreement()
    assert await seat.cash() == "145.00"
    assert not await open_incidents(evening)


async def test_no_refusal_is_told_of_an_id_that_may_have_been_applied_long_ago(evening: Evening) -> None:
    seat = evening.seat
    first = await seat.one(bet("b1", "10"))
    await seat.one(bet("b2", "90"))
    await evening.forget()
    await evening.kill_postgres()

    refusal = await seat.refused(bet("b1", "10"))
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "LEDGER_UNAVAILABLE")
    assert (await seat.refused(bet("b3", "10"))).reason == "INSUFFICIENT_FUNDS"
    await evening.start_postgres()

    async def as_at_first() -> bool:
        try:
            return (await seat.one(bet("b1", "10"))).entry_id == first.entry_id
        except Refused as refusal:
            if refusal.reason != "LEDGER_UNAVAILABLE":
                raise
            return False

    await until(as_at_first, what="the first answer is given again", deadline_s=40.0)
    await evening.deployment.require_agreement()
    assert not await open_incidents(evening)


async def test_credits_without_a_bet_are_remembered_by_policy(evening: Evening) -> None:
    """A win that was accepted before its bet, days ago: nobody can be asked what else is known of the bet."""
    seat = await seated(evening.seat.api, policies=Policies(unknown_bet="ACCEPT"))
    await seat.one(win("w1", "5", of="b1"))
    evening.seat = seat
    await evening.forget()
    await evening.kill_postgres()

    refusal = await seat.refused(win("w2", "5", of="b1"))

    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "LEDGER_UNAVAILABLE")
    await evening.start_postgres()
