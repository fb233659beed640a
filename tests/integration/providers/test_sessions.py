"""Sessions: opened by the platform, named by tokens of which they keep digests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from service.embedded import EmbeddedValkey
from stakehold.v1 import provider_service_pb2 as pb
from tests.answers import Refused, refused
from tests.integration.providers.seats import seat, two_servers
from tests.ledgers import Ledgers
from tests.providers_house import HUB88, ProviderApi, hub88_bet
from tests.waiting import until
from tests.wallet_api import new_name

pytestmark = pytest.mark.asyncio(loop_scope="session")


def in_future(**ahead: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(**ahead))
    return moment


async def failure(house: ProviderApi, **fields: object) -> Refused:
    usual = {"provider_id": HUB88, "player_id": "p", "currency_code": "EUR"}
    with pytest.raises(grpc.RpcError) as error:
        await house.providers.OpenSession(pb.OpenSessionRequest(**{**usual, **fields}))  # type: ignore[arg-type]
    return refused(error.value)


async def test_a_session_is_opened_read_and_closed(house: ProviderApi) -> None:
    token = await house.open_session("p1", game_id="g", expire_time=in_future(hours=2))

    read = (await house.providers.GetSession(pb.GetSessionRequest(token=token))).session
    closed = (await house.providers.CloseSession(pb.CloseSessionRequest(token=token))).session
    again = (await house.providers.CloseSession(pb.CloseSessionRequest(token=token))).session

    assert len(token) >= 32
    assert (read.provider_id, read.player_id, read.currency_code, read.game_id) == (HUB88, "p1", "EUR", "g")
    assert not read.HasField("close_time")
    assert closed.HasField("close_time")
    assert again == closed


async def test_the_platform_may_choose_the_token_once(house: ProviderApi) -> None:
    token = new_name("a-token-of-the-platforms")

    first = await house.open_session("p1", token=token)
    again = await house.open_session("p1", token=token)
    other = await failure(house, player_id="p2", token=token)

    assert first == again == token
    assert (other.code, other.reason) == ("ALREADY_EXISTS", "SESSION_CONFLICT")
    assert token not in str(other)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"provider_id": "nobody"}, "PROVIDER_NOT_FOUND"),
        ({"currency_code": "QQQ"}, "CURRENCY_UNKNOWN"),
        ({"player_id": ""}, "INVALID_FIELD"),
        ({"token": "short"}, "INVALID_FIELD"),
        ({"token": "x" * 257}, "INVALID_FIELD"),
        ({"token": "with a blank in it"}, "INVALID_FIELD"),
        ({"expire_time": in_future(seconds=-1)}, "INVALID_FIELD"),
        ({"expire_time": in_future(days=31)}, "INVALID_FIELD"),
    ],
    ids=[
        "provider",
        "currency",
        "no player",
        "short token",
        "long token",
        "blank in token",
        "over",
        "too long",
    ],
)
async def test_what_is_no_session_is_not_opened(
    house: ProviderApi, fields: dict[str, object], reason: str
) -> None:
    assert (await failure(house, **fields)).reason == reason


async def test_a_token_that_was_never_given_is_not_found(house: ProviderApi) -> None:
    with pytest.raises(grpc.RpcError) as error:
        await house.providers.GetSession(pb.GetSessionRequest(token="x" * 20))
    assert refused(error.value).reason == "SESSION_NOT_FOUND"


async def test_bets_end_when_the_session_does(house: ProviderApi) -> None:
    player = (await seat(house)).player
    token = await house.open_session(player, expire_time=in_future(seconds=2))
    bet = hub88_bet(player, token)
    assert (await house.hub88("/transaction/bet", bet)).status == "RS_OK"

    async def is_over() -> bool:
        reply = await house.hub88("/transaction/bet", hub88_bet(player, token, amount=0))
        return reply.status == "RS_ERROR_TOKEN_EXPIRED"

    await until(is_over, what="the session is over")
    assert (await house.hub88("/transaction/bet", bet)).said["balance"] == 9_000_000


async def test_a_closed_session_is_closed_for_all_servers_soon(
    valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    async with two_servers(ledgers, valkey, tmp_path) as (here, there):
        one = await seat(here)

        async def status(api: ProviderApi) -> str:
            return (await api.hub88("/transaction/bet", hub88_bet(one.player, one.token, amount=0))).status

        async def is_known_there() -> bool:
            return await status(there) == "RS_OK"

        await until(is_known_there, what="the other server knows the source and the session")
        await here.providers.CloseSession(pb.CloseSessionRequest(token=one.token))
        assert await status(here) == "RS_ERROR_TOKEN_EXPIRED"

        async def is_closed_there() -> bool:
            return await status(there) == "RS_ERROR_TOKEN_EXPIRED"

        await until(is_closed_there, what="the other server knows that it is closed")
