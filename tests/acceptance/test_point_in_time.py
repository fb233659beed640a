"""The ledger's disks are gone, and it is restored to a moment of its past: what is lost, what comes back, and
that nobody plays on in between as if nothing had happened.

This is the rehearsal of docs/backups.md, word for word.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
import redis.asyncio as redis

from persistence.transactions import PlayerId, partition_of
from service.embedded import EmbeddedValkey
from stakehold.v1 import money_pb2
from stakehold.v1 import sportsbook_service_pb2 as slips_pb
from tests.acceptance.seat import CASHIER, Seat, seated
from tests.answers import Refused
from tests.deployment import Deployment, deployed, migrate
from tests.point_in_time import BackedUpPostgres, backed_up_postgres
from tests.steps import bet, closing, deposit, rollback, win
from tests.waiting import until
from tests.wallet_api import WalletApi, new_name, wallet_api

PARTITION_COUNT = 16
PLAYERS = 6


@dataclass(frozen=True, slots=True)
class House:
    """The service, and its Postgres with backups."""

    postgres: BackedUpPostgres
    deployment: Deployment
    api: WalletApi

    async def ask(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.postgres.dsn, timeout=10.0)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def cursors(self) -> dict[int, int]:
        rows = await self.ask("SELECT partition, cursor_sequence FROM ledger.partitions")
        return {row["partition"]: row["cursor_sequence"] for row in rows}

    async def fenced(self, seat: Seat) -> bool:
        try:
            await seat.one(win("probe", "1", of="nothing"))
        except Refused as refused:
            return refused.reason == "PARTITION_FENCED"
        return False


@pytest_asyncio.fixture
async def house(private_valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[House]:
    async with backed_up_postgres(tmp_path / "postgres") as postgres:
        await migrate(tmp_path, postgres.dsn)
        async with (
            deployed(tmp_path / "deployment", private_valkey, postgres.dsn) as deployment,
            wallet_api(deployment.address) as api,
        ):
            yield House(postgres, deployment, api)


async def play_on(seat: Seat, name: str) -> None:
    """A bit of everything that an entry can be."""
    await seat.one(bet(f"{name}-b", "10", round_id=name, game_id="fruits"))
    await seat.one(win(f"{name}-w", "4", of=f"{name}-b", round_id=name, game_id="fruits"))
    await seat.one(closing(win(f"{name}-l", "0", of=f"{name}-b", round_id=name, game_id="fruits")))
    await seat.play(bet(f"{name}-c1", "1"), bet(f"{name}-c2", "2"))
    await seat.one(rollback(f"{name}-rb", f"{name}-c1"))
    await seat.one(rollback(f"{name}-early", f"{name}-late"))
    await seat.refused(bet(f"{name}-much", "100000"))


async def slip(seat: Seat, name: str, *, pay: str = "") -> None:
    stake = money_pb2.Money(currency_code="EUR", amount="5.00")
    await seat.api.sportsbook.PlaceSlip(
        slips_pb.PlaceSlipRequest(
            source_id=seat.source_id, player_id=seat.player_id, transaction_id=name, stake=stake
        )
    )
    if pay:
        await seat.api.sportsbook.SettleSlip(
            slips_pb.SettleSlipRequest(
                source_id=seat.source_id,
                player_id=seat.player_id,
                transaction_id=f"{name}-settled",
                slip_id=name,
                amount=money_pb2.Money(currency_code="EUR", amount=pay),
            )
        )


async def change_wallets(api: WalletApi, *, new: str, frozen: str) -> None:
    await api.open_wallet(new, "EUR", credit_line="7.00")
    await api.transact(CASHIER, new, [deposit("start", "50")])
    await api.set_status(frozen, "EUR", "DEBITS_FROZEN")


async def balances_of(seats: Iterable[Seat]) -> dict[str, tuple[str, str, str]]:
    found = {seat.player_id: await seat.balance() for seat in seats}
    return {player: (balance.cash, balance.held, balance.status) for player, balance in found.items()}


async def require_known(seats: Sequence[Seat]) -> None:
    """Every id says what it said before the ledger was lost."""
    api = seats[0].api
    assert (await seats[4].one(bet("lost-b", "10", round_id="lost", game_id="fruits"))).replayed
    assert (await seats[3].one(bet("meanwhile", "3"))).replayed
    assert (await seats[4].refused(bet("lost-late", "1"))).reason == "TRANSACTION_ROLLED_BACK"
    assert (await seats[4].refused(bet("lost-c1", "1"))).reason == "TRANSACTION_ROLLED_BACK"
    assert (await seats[4].refused(bet("n", "1", round_id="lost", game_id="fruits"))).reason == "ROUND_CLOSED"
    assert (await api.slip(seats[1].source_id, seats[1].player_id, "lost-slip")).state == "SETTLED"
    assert (await api.slip(seats[0].source_id, seats[0].player_id, "open-slip")).state == "OPEN"


@pytest.mark.timeout(300)
async def test_a_ledger_older_than_its_store_is_fenced_and_gets_back_what_the_store_knows(
    house: House,
) -> None:
    api, postgres = house.api, house.postgres
    seats = [await seated(api) for _ in range(PLAYERS)]
    newcomer = Seat(api, seats[0].source_id, new_name("newcomer"))
    await asyncio.gather(*(play_on(seat, "before") for seat in seats))
    await house.deployment.require_agreement()
    await postgres.back_up()

    # In the archive, and restored.
    await asyncio.gather(*(play_on(seat, "archived") for seat in seats))
    await slip(seats[0], "open-slip")
    await house.deployment.require_agreement()
    await postgres.mark("the last moment that is saved")
    # Drained and cut off, and in no backup.
    await asyncio.gather(*(play_on(seat, "lost") for seat in seats))
    await seats[0].one(rollback("undo-archived", "archived-w"))
    await slip(seats[1], "lost-slip", pay="25.00")
    await change_wallets(api, new=newcomer.player_id, frozen=seats[2].player_id)
    await house.deployment.require_agreement()
    await postgres.archive_all()
    cursors = await house.cursors()
    await postgres.destroy()
    # Answered while there is no ledger at all, and still in the outbox.
    await seats[3].one(bet("meanwhile", "3"))
    everybody = (*seats, newcomer)
    balances = await balances_of(everybody)

    await postgres.restore(recovery_target_name="the last moment that is saved")

    behind = [
        partition for partition, cursor in (await house.cursors()).items() if cursor < cursors[partition]
    ]
    assert partition_of(PlayerId(seats[0].player_id), PARTITION_COUNT) in behind
    await until(lambda: house.fenced(seats[0]), what="nobody plays on", deadline_s=30.0)
    status, said = await house.deployment.run("doctor")
    assert status == 1
    assert said.count("may have been restored from a backup") == len(behind), said
    assert "stakehold recover --restored-ledger" in said
    status, said = await house.deployment.run("recover", "--restored-ledger", "--dry-run")
    assert (status, said.count("would go on with the restored ledger")) == (1, len(behind)), said
    assert await house.fenced(seats[0])

    status, said = await house.deployment.run("recover", "--restored-ledger")

    assert status == 0, said
    assert "had another balance" not in said, said

    async def booked() -> bool:
        try:
            return await balances_of(everybody) == balances
        except (Refused, KeyError):
            return False

    await until(booked, what="all that the store knew is booked again", deadline_s=60.0)
    await house.deployment.require_agreement()
    assert await balances_of(everybody) == balances
    await require_known(seats)
    told = await house.ask(
        "SELECT transaction_id, description FROM ledger.incidents WHERE resolved_time IS NULL"
    )
    named = {row["transaction_id"] for row in told}
    assert {
        "lost-b",
        "lost-w",
        "lost-l",
        "lost-rb",
        "lost-late",
        "undo-archived",
        "lost-slip",
        "start",
    } <= named
    assert not any("could not" in row["description"] for row in told), told
    status, said = await house.deployment.run("verify")
    assert status == 0, said
    status, said = await house.deployment.run("recover", "--restored-ledger")
    assert (status, "0 entries booked again" in said) == (0, True), said


@pytest.mark.timeout(300)
async def test_with_the_store_lost_as_well_play_goes_on_from_the_moment_that_was_restored(
    house: House,
) -> None:
    api, postgres = house.api, house.postgres
    seats = [await seated(api) for _ in range(PLAYERS)]
    await postgres.back_up()
    await asyncio.gather(*(play_on(seat, "saved") for seat in seats))
    await house.deployment.require_agreement()
    saved = {seat.player_id: await seat.cash() for seat in seats}
    until_then = datetime.now(UTC)
    await asyncio.gather(*(play_on(seat, "gone") for seat in seats))
    await house.deployment.require_agreement()
    await postgres.archive_all()
    await postgres.destroy()
    async with redis.from_url(house.deployment.valkey.url) as store:
        await store.flushall()

    await postgres.restore(recovery_target_time=until_then.isoformat())

    async def as_saved() -> bool:
        try:
            return {seat.player_id: await seat.cash() for seat in seats} == saved
        except (Refused, KeyError):
            return False

    await until(as_saved, what="players have what the restored ledger says", deadline_s=60.0)
    assert (await seats[0].one(bet("saved-c2", "2"))).replayed
    assert (await seats[0].refused(bet("saved-late", "1"))).reason == "TRANSACTION_ROLLED_BACK"
    assert not (await seats[0].one(bet("gone-b", "10", round_id="gone", game_id="fruits"))).replayed
    await house.deployment.require_agreement()
    status, said = await house.deployment.run("verify")
    assert status == 0, said
    status, said = await house.deployment.run("doctor")
    assert (status, said.count("the store is empty")) == (1, PARTITION_COUNT), said


@pytest.mark.timeout(300)
async def test_with_a_synchronous_receiver_of_the_wal_nothing_is_lost_and_nobody_is_fenced(
    house: House,
) -> None:
    api, postgres = house.api, house.postgres
    seats = [await seated(api) for _ in range(PLAYERS)]
    await postgres.back_up()
    async with postgres.received() as received:
        await asyncio.gather(*(play_on(seat, "received") for seat in seats))
        await house.deployment.require_agreement()
        await postgres.destroy()
    await seats[3].one(bet("meanwhile", "3"))
    balances = await balances_of(seats)

    await postgres.restore(
        restore_command=f"cp {received}/%f %p || cp {received}/%f.partial %p || cp {postgres.archive}/%f %p"
    )

    async def plays() -> bool:
        try:
            return (await seats[3].one(bet("meanwhile", "3"))).replayed
        except Refused:
            return False

    await until(plays, what="play goes on", deadline_s=60.0)
    await house.deployment.require_agreement()
    assert await balances_of(seats) == balances
    status, said = await house.deployment.run("doctor")
    assert (status, "All is well." in said) == (0, True), said
    status, said = await house.deployment.run("verify")
    assert status == 0, said
