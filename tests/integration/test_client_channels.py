"""Our own commands as clients: certificates, tokens, and what is never sent in the open."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from persistence.errors import SetupRefused
from service.cli import main
from service.embedded import EmbeddedValkey
from service.embedded.children import spawn
from service.transport.channels import RenewedChannel, TokenFile, credentials_to
from service.transport.client_settings import ClientSettings
from tests.authorities import Authority
from tests.deployment import ROOT
from tests.entrance import WHO, Premises, entrance, issuer_entry, premises
from tests.ledgers import Ledgers
from tests.serving import grounds
from tests.token_issuer import TokenServer, token_server
from tests.waiting import until

ISSUER = "https://login.example"
OFFICE_ID, FEED_ID = "spiffe://casino.example/office", "spiffe://casino.example/feed"
CALLERS: list[dict[str, Any]] = [
    {"name": "office", "spiffe_ids": [OFFICE_ID], "carries_tokens": True},
    {"name": "feed", "roles": ["rates", "admin"], "spiffe_ids": [FEED_ID]},
    {
        "name": "ada",
        "roles": ["operator", "auditor"],
        "sources": "all",
        "tokens": [{"issuer": ISSUER, "subject": "ada"}],
    },
]
SECRET = "hunter2-hunter2"


@dataclass(frozen=True, slots=True)
class Client:
    """Files of somebody who calls."""

    folder: Path
    authority: Authority

    @property
    def environment(self) -> dict[str, str]:
        return {
            "STAKEHOLD_CA_FILE": str(self.folder / "ca.pem"),
            "STAKEHOLD_CERT_FILE": str(self.folder / "client.pem"),
            "STAKEHOLD_KEY_FILE": str(self.folder / "client.key"),
            "STAKEHOLD_TOKEN_FILE": str(self.folder / "token"),
        }

    def settings(self, **changes: str) -> ClientSettings:
        names: dict[str, Any] = {
            name.removeprefix("STAKEHOLD_").lower(): path for name, path in self.environment.items()
        }
        return ClientSettings(**{**names, **changes})

    def renew(self, spiffe_id: str) -> None:
        self.authority.issue(uris=[spiffe_id]).write(self.folder / "client.pem", self.folder / "client.key")

    def write_token(self, token: str) -> None:
        (self.folder / "token").write_text(f"{token}\n")


def client_of(house: Premises) -> Client:
    """The office's."""
    folder = house.folder / "client"
    folder.mkdir()
    made = Client(folder, house.client_authority)
    (folder / "ca.pem").write_bytes(house.server_authority.certificate)
    made.renew(OFFICE_ID)
    return made


@dataclass(frozen=True, slots=True)
class Service:
    premises: Premises
    issuer: TokenServer
    client: Client
    address: str


@pytest_asyncio.fixture(scope="module")
async def service(
    ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """A server that only certificates get a connection to."""
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(grounds(ledgers, valkey))
        issuer = await stack.enter_async_context(token_server())
        house = premises(tmp_path_factory.mktemp("service"))
        house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
        server = await stack.enter_async_context(ground.serving(**house.settings()))
        yield Service(house, issuer, client_of(house), server.address)


async def says(*words: str, environment: Mapping[str, str]) -> Result:
    return await asyncio.to_thread(CliRunner(env=dict(environment)).invoke, main, words)


async def test_an_operator_asks_with_a_token_over_the_offices_certificate(service: Service) -> None:
    service.client.write_token(service.issuer.token())
    environment = {**service.client.environment, "STAKEHOLD_ADDRESS": service.address}

    answer = await says("player", "nobody", environment=environment)

    assert answer.exit_code == 1
    assert answer.output == "stakehold: nothing is known of player nobody (WALLET_NOT_FOUND).\n"


async def test_an_operator_whose_token_has_ended_is_told_so(service: Service) -> None:
    service.client.write_token(service.issuer.token(lasts_s=-100))
    environment = {**service.client.environment, "STAKEHOLD_ADDRESS": service.address}

    answer = await says("player", "nobody", environment=environment)

    assert (answer.exit_code, answer.output) == (1, "stakehold: the token has expired (UNAUTHENTICATED).\n")


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"STAKEHOLD_CA_FILE": ""}, 3, "nobody answers at"),
        ({"STAKEHOLD_CA_FILE": "/nowhere"}, 2, "/nowhere cannot be read"),
        ({"STAKEHOLD_TOKEN_FILE": "/nowhere"}, 2, "STAKEHOLD_TOKEN_FILE names the file"),
        ({"STAKEHOLD_KEY_FILE": ""}, 2, "are of use together only"),
        ({"STAKEHOLD_CERT_FILE": "", "STAKEHOLD_KEY_FILE": ""}, 3, "nobody answers at"),
        (
            {"STAKEHOLD_CA_FILE": "", "STAKEHOLD_CERT_FILE": "", "STAKEHOLD_KEY_FILE": ""},
            2,
            "a token is sent over TLS only",
        ),
    ],
)
async def test_what_is_wrong_with_an_operators_files_is_told_in_a_sentence(
    service: Service, changes: Mapping[str, str], status: int, told: str
) -> None:
    service.client.write_token(SECRET)
    environment = {**service.client.environment, "STAKEHOLD_ADDRESS": service.address, **changes}

    answer = await says("player", "ada", environment=environment)

    assert answer.exit_code == status
    assert told in answer.output
    assert SECRET not in answer.output


async def test_positions_are_asked_for_with_the_same_settings(service: Service) -> None:
    service.client.write_token(service.issuer.token())
    environment = {**service.client.environment, "STAKEHOLD_ADDRESS": service.address}

    answer = await says("positions", "--currency", "EUR", environment=environment)

    assert answer.exit_code == 0, answer.output


async def test_a_feed_pushes_over_mutual_tls(service: Service, tmp_path: Path) -> None:
    client = Client(tmp_path, service.premises.client_authority)
    (tmp_path / "ca.pem").write_bytes(service.premises.server_authority.certificate)
    client.renew(FEED_ID)
    environment = {
        **client.environment,
        "STAKEHOLD_TOKEN_FILE": "",
        "STAKEHOLD_ADDRESS": service.address,
        "STAKEHOLD_FEED_KIND": "static_file",
        "STAKEHOLD_FEED_PATH": str(ROOT / "examples" / "rates.json"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
    }
    log = tmp_path / "feed.log"
    feed = spawn("feed", [sys.executable, "-m", "service.cli", "feed"], log=log, env=environment, cwd=ROOT)
    try:

        async def has_pushed() -> bool:
            assert feed.running, log.read_text()
            return "rates_pushed" in log.read_text()

        await until(has_pushed, what="the feed was answered", deadline_s=60.0)
    finally:
        await feed.stop()


@pytest.mark.parametrize(
    ("address", "is_plain"),
    [
        ("127.0.0.1:50051", True),
        ("127.1.2.3:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("10.0.0.1:50051", False),
        ("127.0.0.1.evil.example:50051", False),
        ("localhost.evil.example:50051", False),
        ("stakehold.casino.example:443", False),
        ("dns:///stakehold:50051", False),
        ("unix:/tmp/x", False),
    ],
)
def test_only_this_machines_own_addresses_are_called_without_tls(address: str, is_plain: bool) -> None:
    assert (credentials_to(ClientSettings(), address) is None) is is_plain
    assert credentials_to(ClientSettings(ca_file=str(ROOT / "tests" / "self_signed.pem")), address)


def test_a_token_is_not_sent_in_the_open_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)

    with pytest.raises(SetupRefused) as caught:
        credentials_to(ClientSettings(token_file=str(file)), "127.0.0.1:1")
    assert SECRET not in str(caught.value)

    file.write_text(f"{SECRET}\nInjected: header")
    with pytest.raises(SetupRefused) as caught:
        TokenFile(str(file)).read()
    assert SECRET not in f"{caught.value!r}"


async def test_who_goes_on_calling_shows_new_certificates_and_tokens_as_they_come(tmp_path: Path) -> None:
    async with token_server() as issuer:
        house = premises(tmp_path)
        house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
        client = client_of(house)
        client.write_token(issuer.token())
        async with entrance(house) as door:
            channel = RenewedChannel(client.settings(token_file=""), f"localhost:{door.port}")
            assert await asked(channel) == "office by certificate"
            first = await channel.current()
            assert await channel.current() is first

            client.renew(FEED_ID)
            assert await asked(channel) == "feed by certificate"
            (client.folder / "client.key").write_bytes(b"")
            (client.folder / "client.pem").unlink()
            assert await asked(channel) == "feed by certificate"
            await channel.close()


async def test_a_token_is_read_anew_for_each_call(tmp_path: Path) -> None:
    async with token_server() as issuer:
        house = premises(tmp_path)
        house.write_callers(*CALLERS, issuers=[issuer_entry(issuer)])
        client = client_of(house)
        client.write_token(issuer.token(lasts_s=-100))
        async with entrance(house) as door:
            channel = RenewedChannel(client.settings(), f"localhost:{door.port}")
            with pytest.raises(grpc.aio.AioRpcError):
                await asked(channel)
            client.write_token(issuer.token())
            assert await asked(channel) == "ada by token"
            await channel.close()


async def asked(channel: RenewedChannel) -> str:
    call: Any = (await channel.current()).unary_unary(WHO)
    return str((await call(b"", timeout=10.0)).decode())
