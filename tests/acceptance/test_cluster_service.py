"""A shard of the Cluster that is down with its replica: nobody else notices, not even what starts then."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest_asyncio
from pydantic import SecretStr

from service.embedded import EmbeddedValkey
from service.housekeeping import open_repairing
from service.settings import Settings
from tests.acceptance.seat import Seat, seated
from tests.answers import Done, Refused
from tests.bulk_api import bulk_api, command, said
from tests.cluster_calls import replica_of
from tests.faults.cast import Cast, cast
from tests.faults.cluster_store import ClusterStore
from tests.faults.endings import until_drained
from tests.faults.varieties import CLUSTER_FSYNC
from tests.reference import Step
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import WalletApi, wallet_api

NOT_DONE = {"STORE_UNAVAILABLE", "PARTITION_FENCED"}


@dataclass(frozen=True, slots=True)
class Table:
    """A running service on a Cluster, with one player on each shard."""

    cast: Cast
    store: ClusterStore
    api: WalletApi
    seats: Sequence[Seat]

    async def bring_down(self, seat: Seat) -> None:
        primary = await self.store.primary_of_player(seat.player_id)
        for node in (await replica_of(primary, self.store.cluster), primary):
            node.process.kill()
            await node.child.exited()

    async def is_drained(self, seat: Seat, transaction_id: str) -> bool:
        connection = await asyncpg.connect(self.cast.ledger.dsn)
        try:
            return bool(
                await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM ledger.entries WHERE player_id = $1 AND transaction_id = $2)",
                    seat.player_id,
                    transaction_id,
                )
            )
        finally:
            await connection.close()

    async def until_drained(self, seat: Seat, transaction_id: str) -> None:
        async def drained() -> bool:
            return await self.is_drained(seat, transaction_id)

        await until(drained, what=f"{transaction_id} of {seat.player_id} is in the ledger", poll_s=0.05)


@pytest_asyncio.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with (
        cast(tmp_path, CLUSTER_FSYNC, server_count=1) as made,
        wallet_api(made.addresses()[0]) as api,
    ):
        assert isinstance(made.store, ClusterStore)
        yield Table(made, made.store, api, await one_on_each_shard(made.store, api))


async def one_on_each_shard(store: ClusterStore, api: WalletApi) -> Sequence[Seat]:
    seats: dict[EmbeddedValkey, Seat] = {}
    while len(seats) < 3:
        seat = await seated(api)
        seats.setdefault(await store.primary_of_player(seat.player_id), seat)
    return list(seats.values())


async def answered_in_the_end(seat: Seat, step: Step) -> Done:
    """As callers do: the same id, until there is an answer."""
    answers: list[Done] = []

    async def answered() -> bool:
        try:
            answers.append(await seat.one(step))
        except Refused:
            return False
        return True

    await until(answered, what=f"{step.transaction_id} is answered", poll_s=0.1)
    return answers[0]


async def test_a_shard_that_is_down_stops_nobody_elses_play_and_nobody_elses_books(table: Table) -> None:
    lost, *others = table.seats
    await table.bring_down(lost)

    for number in range(5):
        refused = await lost.refused(bet("lost", "10"))
        assert refused.code == "UNAVAILABLE"
        # The first one may have been on its way when the connection ended.
        assert refused.reason in (NOT_DONE if number else NOT_DONE | {"OUTCOME_UNKNOWN"})
        for seat in others:
            assert (await seat.one(bet(f"b{number}", "1"))).outcome == "APPLIED"
            await table.until_drained(seat, f"b{number}")
    assert not await table.is_drained(lost, "lost")

    await table.store.start()
    done = await answered_in_the_end(lost, bet("lost", "10"))
    assert (done.outcome, done.replayed, await lost.cash()) == ("APPLIED", False, "90.00")
    assert [await seat.cash() for seat in others] == ["95.00", "95.00"]
    await table.until_drained(lost, "lost")


async def test_a_batch_is_decided_but_for_the_players_of_a_shard_that_is_down(table: Table) -> None:
    lost = table.seats[0]
    commands = [command(seat, bet(name, "1")) for name in ("b1", "b2") for seat in table.seats]
    async with bulk_api(table.cast.addresses()[0]) as bulk:
        before = await bulk.batch(commands)
        await table.bring_down(lost)
        after = await bulk.batch([command(seat, bet("b3", "1")) for seat in table.seats])

    assert [said(answer) for answer in before] == ["APPLIED"] * 6
    refused, *answered = after
    assert isinstance(refused, Refused)
    assert refused.code == "UNAVAILABLE"
    assert [said(answer) for answer in answered] == ["APPLIED"] * 2


async def test_programs_that_start_while_a_shard_is_down_serve_and_drain_the_others(table: Table) -> None:
    lost, *others = table.seats
    await table.bring_down(lost)
    programs = [part.program for part in (*table.cast.servers, *table.cast.drainers)]
    for program in programs:
        await program.kill()
        program.start()

    await table.cast.until_serving()
    for seat in others:
        assert (await answered_in_the_end(seat, bet("b", "1"))).outcome == "APPLIED"
        await table.until_drained(seat, "b")
    refused = await lost.refused(bet("lost", "10"))
    assert refused.code == "UNAVAILABLE"
    assert refused.reason in NOT_DONE

    await table.store.start()
    assert (await answered_in_the_end(lost, bet("lost", "10"))).outcome == "APPLIED"
    assert await lost.cash() == "90.00"
    await until_drained(table.cast)
    assert [program.ended_count for program in programs] == [0] * len(programs)
    status, said = await table.cast.command("verify")
    assert status == 0, said


async def test_repairs_are_made_while_a_shard_is_down(table: Table) -> None:
    lost, *_ = table.seats
    await table.bring_down(lost)
    settings = Settings(
        valkey_url=SecretStr(table.store.cluster.url), postgres_url=SecretStr(table.cast.ledger.dsn)
    )

    async with open_repairing(settings) as repairing:
        await repairing.run_once()

    assert repairing.counts.failed == 0
