"""The edge over mutual TLS: it may hand over callbacks and do nothing else, and nobody else may."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from service.embedded import EmbeddedValkey
from stakehold.v1 import provider_service_pb2 as pb
from stakehold.v1.provider_service_pb2_grpc import ProviderServiceStub
from tests.answers import Refused, refused
from tests.authorities import channel_credentials
from tests.entrance import Premises, premises
from tests.integration.providers.edge_process import edge_process
from tests.integration.providers.seats import seat
from tests.ledgers import Ledgers
from tests.providers_house import HUB88, SIGNATURE_HEADER, ProviderApi, hub88_bet, rsa_signature, write_file
from tests.serving import grounds
from tests.steps import bet
from tests.wallet_api import awaited_api

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

CALLERS: dict[str, dict[str, Any]] = {
    "house": {"roles": ["admin", "platform", "cashier"], "sources": "all"},
    "edge": {"roles": ["edge"]},
    "slots": {"roles": ["game"], "sources": [HUB88]},
}


def spiffe_id(name: str) -> str:
    return f"spiffe://casino.example/{name}"


@asynccontextmanager
async def api_as(name: str, made: Premises, address: str) -> AsyncIterator[ProviderApi]:
    client = made.client_authority.issue(uris=[spiffe_id(name)])
    credentials = channel_credentials(made.server_authority, client)
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        yield ProviderApi(ProviderServiceStub(channel), awaited_api(channel))


def client_files(name: str, made: Premises) -> dict[str, str]:
    """What an edge is told of its certificate."""
    folder = made.folder / name
    folder.mkdir()
    (folder / "ca.pem").write_bytes(made.server_authority.certificate)
    made.client_authority.issue(uris=[spiffe_id(name)]).write(folder / "client.pem", folder / "client.key")
    return {
        "STAKEHOLD_CA_FILE": str(folder / "ca.pem"),
        "STAKEHOLD_CERT_FILE": str(folder / "client.pem"),
        "STAKEHOLD_KEY_FILE": str(folder / "client.key"),
    }


async def test_an_edge_hands_over_callbacks_and_may_do_nothing_else(
    valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    made = premises(tmp_path)
    made.write_callers(
        *({"name": name, **what, "spiffe_ids": [spiffe_id(name)]} for name, what in CALLERS.items())
    )
    settings = made.settings(providers_file=write_file(tmp_path / "providers"))
    async with (
        grounds(ledgers, valkey) as ground,
        ground.serving(**settings) as server,
        api_as("house", made, server.address) as house,
        api_as("edge", made, server.address) as at_edge,
        api_as("slots", made, server.address) as at_slots,
        edge_process(tmp_path, server.address, client_files("edge", made)) as edge,
        edge_process(tmp_path, server.address, client_files("slots", made)) as pretender,
        httpx.AsyncClient() as http,
    ):
        for source in (HUB88, "cashier"):
            await house.wallets.put_source(source)
        one = await seat(house)
        body = json.dumps(hub88_bet(one.player, one.token)).encode()
        headers = {SIGNATURE_HEADER: rsa_signature(body)}

        denied = await http.post(f"{pretender.url}/{HUB88}/transaction/bet", content=body, headers=headers)
        assert (denied.status_code, denied.content) == (503, b"")
        assert await house.cash(one.player) == "100.00"
        done = await http.post(f"{edge.url}/{HUB88}/transaction/bet", content=body, headers=headers)
        assert (done.status_code, done.json()["balance"]) == (200, 9_000_000)

        with pytest.raises(Refused) as bets:
            await at_edge.wallets.transact(HUB88, one.player, [bet("b1", "1.00")])
        with pytest.raises(Refused) as opens:
            await at_edge.open_session(one.player)
        with pytest.raises(grpc.RpcError) as closes:
            await at_slots.providers.CloseSession(pb.CloseSessionRequest(token=one.token))
        assert {bets.value.code, opens.value.code, refused(closes.value).code} == {"PERMISSION_DENIED"}
        assert await house.cash(one.player) == "90.00"
