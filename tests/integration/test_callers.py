"""The whole server over TLS: who is known may call, who is not any more may not go on, whatever lasts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from persistence.errors import SetupRefused
from service.embedded import EmbeddedValkey
from stakehold.v1 import event_service_pb2, submission_service_pb2
from stakehold.v1.event_service_pb2_grpc import EventServiceStub
from stakehold.v1.submission_service_pb2_grpc import SubmissionServiceStub
from tests import requests
from tests.answers import Refused, refused
from tests.authorities import Authority
from tests.bulk_api import STREAM, OpenStream, command_of
from tests.entrance import Premises, issuer_entry, premises
from tests.ledgers import Ledgers
from tests.reference import Policies
from tests.serving import Grounds, grounds
from tests.steps import bet, deposit
from tests.submissions import command, submit_requests
from tests.token_issuer import TokenServer, new_key, token_server
from tests.waiting import until
from tests.wallet_api import WalletApi, awaited_api, new_name

TIMEOUT_S = 10.0
ISSUER = "https://login.example"
ID = "spiffe://casino.example/all"
ALL: dict[str, Any] = {
    "name": "all",
    "roles": ["game", "sportsbook", "cashier", "platform", "consumer", "operator", "admin"],
    "sources": "all",
    "spiffe_ids": [ID],
    "tokens": [{"issuer": ISSUER, "subject": "all"}],
}
OTHER = {"name": "other", "spiffe_ids": ["spiffe://casino.example/other"]}


@dataclass(frozen=True, slots=True)
class House:
    """A server that asks for certificates, and one that takes tokens alone."""

    premises: Premises
    issuer: TokenServer
    by_certificate: str
    by_token: str

    @asynccontextmanager
    async def certified(self, *uris: str) -> AsyncIterator[grpc.aio.Channel]:
        client = self.premises.client_authority.issue(uris=uris or [ID])
        credentials = grpc.ssl_channel_credentials(
            self.premises.server_authority.certificate, client.key, client.certificate
        )
        async with grpc.aio.secure_channel(self.by_certificate, credentials, options=_OPTIONS) as channel:
            yield channel

    @asynccontextmanager
    async def tokened(self, token: str | None = None) -> AsyncIterator[grpc.aio.Channel]:
        """With the token in each call; "" for none at all."""
        credentials = grpc.ssl_channel_credentials(self.premises.server_authority.certificate)
        if token != "":
            bearing = grpc.access_token_call_credentials(token or self.issuer.token("all"))
            credentials = grpc.composite_channel_credentials(credentials, bearing)
        async with grpc.aio.secure_channel(self.by_token, credentials, options=_OPTIONS) as channel:
            yield channel

    def write_callers(self, *callers: dict[str, Any]) -> None:
        entry = issuer_entry(self.issuer, leeway_s=0, refresh_s=0.05)
        self.premises.write_callers(*callers, issuers=[entry])


_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@pytest_asyncio.fixture
async def house(ledgers: Ledgers, valkey: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        ground: Grounds = await stack.enter_async_context(grounds(ledgers, valkey))
        issuer = await stack.enter_async_context(token_server())
        made = premises(tmp_path)
        addresses = []
        house = House(made, issuer, "", "")
        house.write_callers(ALL, OTHER)
        for asked in ("required", "optional"):
            settings = made.settings(
                tls_client_certificates=asked, caller_recheck_s=0.05, event_heartbeat_s=0.1
            )
            addresses.append((await stack.enter_async_context(ground.serving(**settings))).address)
        yield House(made, issuer, *addresses)


async def player_of(channel: grpc.aio.Channel) -> tuple[WalletApi, str]:
    """Somebody who has 100 euros, and a source that is called as the player is."""
    api, player_id = awaited_api(channel), new_name("player")
    await api.put_source(player_id, Policies())
    await api.open_wallet(player_id, "EUR")
    await api.transact(player_id, player_id, [deposit("start", "100")])
    return api, player_id


async def test_a_caller_plays_over_tls_by_certificate_and_by_token(house: House) -> None:
    async with house.certified() as certified, house.tokened() as tokened:
        api, player_id = await player_of(certified)
        await api.transact(player_id, player_id, [bet("b1", "10")])

        async def is_source_known() -> bool:
            with suppress(Refused):
                await awaited_api(tokened).transact(player_id, player_id, [bet("b2", "15")])
                return True
            return False

        await until(is_source_known, what="the other server has heard of the source")
        [done] = await awaited_api(tokened).transact(player_id, player_id, [bet("b2", "15")])

        assert done.after is not None
        assert done.after.cash == "75.00"


async def test_who_is_not_known_gets_a_reason_and_does_nothing(house: House) -> None:
    async with house.certified("spiffe://casino.example/stranger") as channel:
        with pytest.raises(Refused) as caught:
            await player_of(channel)
    assert (caught.value.code, caught.value.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert dict(caught.value.details.metadata) == {"cause": "certificate_unknown"}

    async with house.tokened("") as channel:
        with pytest.raises(Refused) as caught:
            await player_of(channel)
    assert dict(caught.value.details.metadata) == {"cause": "no_credentials"}


async def test_health_and_reflection_answer_whoever_is_known_and_nobody_else(house: House) -> None:
    async def ask_both(channel: grpc.aio.Channel) -> None:
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)

    async def reflect(channel: grpc.aio.Channel) -> None:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        assert [
            answer async for answer in reflection.ServerReflectionInfo(iter([request]), timeout=TIMEOUT_S)
        ]

    for ask in (ask_both, reflect):
        async with house.certified("spiffe://casino.example/other") as known, house.tokened("") as unknown:
            await ask(known)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(unknown)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def subscribe(channel: grpc.aio.Channel) -> AsyncIterator[None]:
    request = event_service_pb2.SubscribeRequest(start_point=event_service_pb2.START_POINT_NOW)
    async for _ in EventServiceStub(channel).Subscribe(request):
        yield None


async def watch_health(channel: grpc.aio.Channel) -> AsyncIterator[None]:
    async for _ in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
        yield None


async def stream_nothing(channel: grpc.aio.Channel) -> AsyncIterator[None]:
    """Opens a stream of commands, gets one answered, and leaves it open."""
    _, player_id = await player_of(channel)
    stream = OpenStream(channel.stream_stream(STREAM)())
    await stream.send("1", command_of(requests.call(player_id, player_id, [bet("b1", "1")])))
    while await stream.receive():
        yield None


async def reflect_for_ever(channel: grpc.aio.Channel) -> AsyncIterator[None]:
    asking = asyncio.Event()

    async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        await asking.wait()

    async for _ in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(ask()):
        yield None


Holding = Callable[[grpc.aio.Channel], AsyncIterator[None]]
STREAMS = [subscribe, watch_health, stream_nothing, reflect_for_ever]


async def end_of(holding: Holding, channel: grpc.aio.Channel, lapse: Callable[[], None]) -> Refused:
    """What a stream ends with after a lapse that comes once it has been answered."""
    has_lapsed = False
    try:
        async with asyncio.timeout(30):
            async for _ in holding(channel):
                if not has_lapsed:
                    lapse()
                    has_lapsed = True
    except grpc.aio.AioRpcError as error:
        return refused(error)
    except Refused as ended:
        return ended
    raise AssertionError("it has ended well")


@pytest.mark.parametrize("holding", STREAMS)
async def test_a_stream_ends_soon_after_its_caller_was_removed(house: House, holding: Holding) -> None:
    async with house.certified() as channel:
        ended = await end_of(holding, channel, lambda: house.write_callers(OTHER))

    assert (ended.code, ended.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert dict(ended.details.metadata) == {"cause": "certificate_unknown"}


@pytest.mark.parametrize("holding", STREAMS)
async def test_a_stream_ends_soon_after_its_token_has(house: House, holding: Holding) -> None:
    async with house.tokened(house.issuer.token("all", lasts_s=2)) as channel:
        ended = await end_of(holding, channel, lambda: None)

    assert ended.code == "UNAUTHENTICATED"
    assert dict(ended.details.metadata) == {"cause": "token_expired"}


async def test_a_stream_ends_soon_after_the_key_of_its_token_was_withdrawn(house: House) -> None:
    def withdraw() -> None:
        house.issuer.keys = [new_key("second")]

    async with house.tokened() as channel:
        ended = await end_of(subscribe, channel, withdraw)

    assert dict(ended.details.metadata) == {"cause": "token_key_unknown"}


async def test_a_stream_ends_soon_after_the_authority_of_its_certificate_was_removed(house: House) -> None:
    async with house.certified() as channel:
        ended = await end_of(
            subscribe,
            channel,
            lambda: _replace(house.premises.client_ca, Authority("newer").certificate),
        )

    assert dict(ended.details.metadata) == {"cause": "certificate_untrusted"}


def _replace(path: Path, text: bytes) -> None:
    path.write_bytes(text)


async def test_a_stream_ends_when_its_caller_may_do_other_things_than_when_it_began(house: House) -> None:
    async with house.certified() as channel:
        ended = await end_of(
            subscribe, channel, lambda: house.write_callers({**ALL, "roles": ["consumer"]}, OTHER)
        )

    assert dict(ended.details.metadata) == {"cause": "caller_changed"}


async def test_a_stream_goes_on_while_nothing_changes_for_its_caller(house: House) -> None:
    told = 0
    async with house.certified() as channel:
        async for _ in subscribe(channel):
            told += 1
            if told == 3:
                house.write_callers(ALL)
            if told == 12:  # of ten heartbeats a second
                break


async def test_a_submission_of_a_caller_that_is_removed_meanwhile_is_not_accepted(house: House) -> None:
    async with house.certified() as channel:
        _, player_id = await player_of(channel)
        commands = [command(player_id, player_id, bet(f"b{number}", "1")) for number in range(4)]
        removed = asyncio.Event()

        async def messages() -> AsyncIterator[submission_service_pb2.SubmitRequest]:
            first, *rest = submit_requests(player_id, "night", commands, 2)
            yield first
            house.write_callers(OTHER)
            await removed.wait()
            for message in rest:
                yield message

        submitting = asyncio.ensure_future(
            SubmissionServiceStub(channel).Submit(messages(), timeout=TIMEOUT_S)
        )

        async def is_removed() -> bool:
            async with house.certified() as probe:
                try:
                    await awaited_api(probe).balances(player_id)
                except Refused as caught:
                    return caught.reason == "UNAUTHENTICATED"
            return False

        await until(is_removed, what="the caller is removed")
        removed.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await submitting
        assert refused(caught.value).reason == "UNAUTHENTICATED"

        house.write_callers(ALL)
        asked = submission_service_pb2.GetSubmissionRequest(source_id=player_id, submission_id="night")

        async def is_unknown() -> bool:
            try:
                await SubmissionServiceStub(channel).GetSubmission(asked, timeout=TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                return refused(error).reason == "SUBMISSION_NOT_FOUND"
            return False

        await until(is_unknown, what="the caller is back, and its submission is not there")


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:0", "[::]:0", ":0", "unix:/tmp/stakehold.sock", "192.0.2.1:0", "no.such.host.invalid:0"],
)
async def test_without_tls_nothing_but_loopback_is_served(
    ledgers: Ledgers, valkey: EmbeddedValkey, listen: str
) -> None:
    async with grounds(ledgers, valkey) as ground:
        with pytest.raises(SetupRefused, match=r"cannot listen on .* without TLS"):
            async with ground.serving(listen=listen):
                pass


@pytest.mark.parametrize("setting", [{"admin_listen": "0.0.0.0:0"}, {"insecure_development": False}])
async def test_without_tls_there_is_no_way_around(
    ledgers: Ledgers, valkey: EmbeddedValkey, setting: dict[str, Any]
) -> None:
    async with grounds(ledgers, valkey) as ground:
        with pytest.raises(SetupRefused, match="TLS"):
            async with ground.serving(**setting):
                pass


async def test_no_token_gets_into_the_logs_of_the_server(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    good, ended = house.issuer.token("all"), house.issuer.token("all", lasts_s=-100)
    with caplog.at_level(logging.DEBUG):
        for token in (good, ended, "hunter2-is-no-token"):
            async with house.tokened(token) as channel:
                for ask in (player_of, _fail):
                    with suppress(Refused):
                        await ask(channel)

    written = f"{caplog.text} {capfd.readouterr()}"
    for token in (good, ended, "hunter2-is-no-token"):
        assert not [part for part in _parts(token) if part in written]


async def _fail(channel: grpc.aio.Channel) -> None:
    await awaited_api(channel).balances("x" * 1000)


def _parts(token: str) -> set[str]:
    return set(token.split("."))
