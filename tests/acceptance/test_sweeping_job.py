"""`stakehold work` follows open rounds, and gives bets back, of the service as it runs."""

import asyncio
from typing import Any

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from persistence.drainer import wall_clock_ms
from service.settings import Settings
from service.working import sweeping
from service.working.sweeping import sweeping_job
from service.working.workplace import open_workplace
from stakehold.v1 import admin_service_pb2
from tests.acceptance.seat import seated
from tests.deployment import Deployment
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, WalletApi

HOUR_MS = 3_600_000


async def test_the_job_gives_back_what_its_source_left_alone(
    api: WalletApi, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat, patient = await seated(api), await seated(api)
    for each, horizon in ((seat, Duration(seconds=60)), (patient, None)):
        source = admin_service_pb2.Source(source_id=each.source_id, orphan_horizon=horizon)
        await api.admin.PutSource(admin_service_pb2.PutSourceRequest(source=source), timeout=TIMEOUT_S)
        await each.one(bet("b1", "10", round_id="r1", game_id="g1"))
    monkeypatch.setattr(sweeping, "wall_clock_ms", lambda: wall_clock_ms() + HOUR_MS)

    settings = Settings(
        valkey_url=SecretStr(deployment.valkey.url), postgres_url=SecretStr(deployment.ledger_dsn)
    )
    stop = asyncio.Event()
    async with open_workplace(settings, CollectorRegistry()) as workplace:
        job = asyncio.ensure_future(sweeping_job(workplace).run(stop))

        async def reviewed() -> bool:
            assert not job.done(), job.exception()
            return bool(await reviews_of(deployment, seat.player_id))

        await until(reviewed, what="the bet was given back, and a review raised")
        stop.set()
        await job

    assert await seat.cash() == "100.00"
    assert await patient.cash() == "90.00"
    assert not await reviews_of(deployment, patient.player_id)
    found = await seat.look_up("b1")
    assert found.rollback_transaction_id == "§sweep:b1"


async def reviews_of(deployment: Deployment, player_id: str) -> list[Any]:
    connection = await asyncpg.connect(deployment.ledger_dsn)
    try:
        return list(await connection.fetch("SELECT * FROM ledger.reviews WHERE player_id = $1", player_id))
    finally:
        await connection.close()
