"""The access log when things break: a ledger that does not answer, and a server that dies in between."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import grpc
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from stakehold.v1 import access_service_pb2 as access_pb
from stakehold.v1 import admin_service_pb2 as admin_pb
from stakehold.v1 import transaction_pb2
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from stakehold.v1.admin_service_pb2_grpc import AdminServiceStub
from tests import requests
from tests.answers import Refused
from tests.deployment import Deployment, migrate
from tests.faults.ledger_server import LedgerServer
from tests.household import Household, Visitor, household
from tests.reference import Policies
from tests.serving import DATABASE, Grounds
from tests.steps import bet, deposit
from tests.waiting import until
from tests.wallet_api import open_wallet_request, source_request, wallet_api

pytestmark = pytest.mark.timeout(180)

FLOOD = 500
PLAYER = "anna"


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[LedgerServer]:
    """A Postgres of this test's own, to be frozen."""
    server = LedgerServer(tmp_path / "postgres")
    await server.start()
    await migrate(tmp_path, server.dsn)
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def house(ledger: LedgerServer, valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[Household]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    async with Redis.from_url(url) as store:
        await store.flushdb()
    ground = Grounds(url, ledger.dsn)
    async with household(ground, tmp_path / "house", call_timeout_s=2.0) as opened:
        yield opened


def freeze(status: transaction_pb2.WalletStatus.ValueType) -> admin_pb.SetWalletStatusRequest:
    return admin_pb.SetWalletStatusRequest(
        player_id=PLAYER, currency_code="EUR", status=status, reason="a stolen card"
    )


async def refused(visitor: Visitor, request: object) -> Refused:
    with pytest.raises(Refused) as caught:
        await visitor.ask(request)  # type: ignore[arg-type]
    return caught.value


async def test_without_a_ledger_play_goes_on_denials_are_kept_and_nothing_is_administered(
    house: Household, ledger: LedgerServer
) -> None:
    async with AsyncExitStack() as stack:
        names = ("slots", "psp", "lobby", "olga", "ada", "aud")
        slots, psp, lobby, olga, ada, aud = [
            await stack.enter_async_context(house.visitor(name)) for name in names
        ]
        for source in ("slots", "psp"):
            await ada.ask(source_request(source, Policies()))
        await lobby.ask(open_wallet_request(PLAYER, "EUR", credit_line=""))
        await psp.ask(requests.call("psp", PLAYER, [deposit("d", "100")]))
        await slots.ask(requests.call("slots", PLAYER, [bet("b0", "1")]))

        ledger.freeze()
        try:
            for number in range(FLOOD):
                foreign = requests.call(f"other-{number}", PLAYER, [bet("x", "1")])
                assert (await refused(slots, foreign)).reason == "SOURCE_NOT_PERMITTED"
                if number % 25 == 0:
                    await slots.ask(requests.call("slots", PLAYER, [bet(f"b{number + 1}", "1")]))
            not_done = await refused(olga, freeze(transaction_pb2.WALLET_STATUS_DEBITS_FROZEN))
            wallet = await lobby.ask(wallet_pb.GetWalletRequest(player_id=PLAYER))
        finally:
            ledger.thaw()

        assert not_done.reason == "LEDGER_UNAVAILABLE"
        assert wallet.balances[0].status == transaction_pb2.WALLET_STATUS_ACTIVE
        assert wallet.balances[0].cash == "79.00"

    async with house.visitor("aud") as aud:

        async def all_are_there() -> bool:
            records = await aud.access_records(caller="slots")
            return sum(record.count for record in records) == FLOOD

        await until(all_are_there, what="every denial is on record once", deadline_s=60.0)
        ended = [record for record in await aud.access_records(caller="olga") if record.code]
        assert [record.reason for record in ended] == ["LEDGER_UNAVAILABLE"]
        unlisted = access_pb.ACCESS_RECORD_KIND_UNLISTED
        assert unlisted in {record.kind for record in await aud.access_records(caller="slots")}


@pytest.mark.parametrize(
    "deployment_settings", [{"STAKEHOLD_STORE_TIMEOUT_S": "60", "STAKEHOLD_CALL_TIMEOUT_S": "60"}]
)
async def test_a_server_that_dies_in_between_leaves_what_began(private_deployment: Deployment) -> None:
    async with wallet_api(private_deployment.address) as api:
        await api.open_wallet(PLAYER, "EUR")
    ledger = await asyncpg.connect(private_deployment.ledger_dsn)
    try:
        async with grpc.aio.insecure_channel(private_deployment.address) as channel:
            private_deployment.valkey.process.send_signal(signal.SIGSTOP)
            call = AdminServiceStub(channel).SetWalletStatus(
                freeze(transaction_pb2.WALLET_STATUS_DEBITS_FROZEN), timeout=60.0
            )

            async def has_begun() -> bool:
                return bool(await ledger.fetchval("SELECT count(*) FROM ledger.access_log"))

            await until(has_begun, what="the call is on record")
            private_deployment.server.process.kill()
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        private_deployment.valkey.process.send_signal(signal.SIGCONT)

        [left] = await ledger.fetch("SELECT * FROM ledger.access_log")
        assert (left["kind"], left["caller"], left["why"]) == ("begun", "development", "a stolen card")
    finally:
        private_deployment.valkey.process.send_signal(signal.SIGCONT)
        await ledger.close()
    status, said = await private_deployment.run("verify")
    assert status == 0, said
