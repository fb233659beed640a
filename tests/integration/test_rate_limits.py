"""A source's rate limit, over the API: what it takes, what it refuses, and that others do not notice."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.embedded import EmbeddedValkey
from service.server import RunningServer
from stakehold.v1 import admin_service_pb2 as admin_pb
from tests.acceptance.seat import Seat, seated
from tests.acceptance.test_round_service import refusal_of
from tests.answers import Refused
from tests.bulk_api import bulk_api, command, said
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds
from tests.steps import bet
from tests.wallet_api import TIMEOUT_S, WalletApi, wallet_api

RARELY = admin_pb.RateLimit(calls_per_second=1, burst=3)
TOO_OFTEN = "RESOURCE_EXHAUSTED rate"
OFTEN = admin_pb.RateLimit(calls_per_second=200, burst=10)


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def server(ground: Grounds) -> AsyncIterator[RunningServer]:
    async with ground.serving() as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def api(server: RunningServer) -> AsyncIterator[WalletApi]:
    async with wallet_api(server.address) as opened:
        yield opened


async def limit(seat: Seat, rate_limit: admin_pb.RateLimit | None) -> admin_pb.Source:
    source = admin_pb.Source(source_id=seat.source_id, rate_limit=rate_limit)
    answer = await seat.api.admin.PutSource(admin_pb.PutSourceRequest(source=source), timeout=TIMEOUT_S)
    return answer.source


async def bets_at_once(seat: Seat, count: int) -> list[str]:
    async def one(number: int) -> str:
        try:
            await seat.one(bet(f"b{number}", "1"))
        except Refused as refusal:
            told = refusal.details
            is_whole = told.metadata["source_id"] == seat.source_id and bool(told.retry_delay_ms)
            return f"{refusal.code} {told.metadata['cause']}" if is_whole else str(told)
        return "taken"

    return await asyncio.gather(*(one(number) for number in range(count)))


async def test_calls_beyond_a_sources_rate_are_refused_and_those_of_another_are_not(api: WalletApi) -> None:
    greedy, modest = await seated(api), await seated(api)
    await limit(greedy, RARELY)

    told, undisturbed = await asyncio.gather(bets_at_once(greedy, 20), bets_at_once(modest, 20))

    assert told.count("taken") >= 3
    assert set(told) == {"taken", TOO_OFTEN}
    assert set(undisturbed) == {"taken"}
    assert await modest.cash() == "80.00"
    await limit(greedy, None)
    assert await greedy.cash() == f"{100 - told.count('taken')}.00"


async def test_what_was_refused_for_its_rate_may_be_asked_again_under_its_id(api: WalletApi) -> None:
    seat = await seated(api)
    await limit(seat, RARELY)
    told = await bets_at_once(seat, 10)
    await limit(seat, None)

    again = await bets_at_once(seat, 10)

    assert told.count(TOO_OFTEN)
    assert set(again) == {"taken"}
    assert await seat.cash() == "90.00"


async def test_a_batchs_commands_wait_for_their_turn(server: RunningServer, api: WalletApi) -> None:
    seat = await seated(api)
    await limit(seat, OFTEN)
    loop = asyncio.get_running_loop()

    async with bulk_api(server.address) as bulk:
        began = loop.time()
        answers = await bulk.batch([command(seat, bet(f"b{number}", "1")) for number in range(60)])
        took_s = loop.time() - began

    assert {said(answer) for answer in answers} == {"APPLIED"}
    assert took_s > 0.2  # (60 - 10) / 200 s: the clock cannot be faster than the bucket


async def test_a_batchs_commands_that_cannot_have_a_turn_in_time_are_told_so(
    server: RunningServer, api: WalletApi
) -> None:
    seat = await seated(api)
    await limit(seat, RARELY)

    async with bulk_api(server.address) as bulk:
        answers = await bulk.batch(
            [command(seat, bet(f"b{number}", "1")) for number in range(20)], timeout_s=2.5
        )

    told = [said(answer) for answer in answers]
    assert set(told) == {"APPLIED", "RESOURCE_EXHAUSTED OVERLOADED"}
    assert told.index("RESOURCE_EXHAUSTED OVERLOADED") >= 3
    await limit(seat, None)
    assert await seat.cash() == f"{100 - told.count('APPLIED')}.00"


async def test_sources_without_a_limit_have_the_servers(ground: Grounds) -> None:
    async with (
        ground.serving(source_calls_per_s=1, source_burst=8) as server,
        wallet_api(server.address) as api,
    ):
        seat = await seated(api)
        told = await bets_at_once(seat, 30)
        assert set(told) == {"taken", TOO_OFTEN}

        await limit(seat, admin_pb.RateLimit(calls_per_second=1_000_000))
        assert set(await bets_at_once(seat, 30)) == {"taken"}


@pytest.mark.parametrize(
    ("rate_limit", "field"),
    [
        (admin_pb.RateLimit(), "calls_per_second"),
        (admin_pb.RateLimit(calls_per_second=-1), "calls_per_second"),
        (admin_pb.RateLimit(calls_per_second=1_000_001), "calls_per_second"),
        (admin_pb.RateLimit(calls_per_second=1, burst=-1), "burst"),
        (admin_pb.RateLimit(calls_per_second=1, burst=1_000_001), "burst"),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused(
    api: WalletApi, rate_limit: admin_pb.RateLimit, field: str
) -> None:
    source = admin_pb.Source(source_id="limited", rate_limit=rate_limit)

    answer = await refusal_of(
        api.admin.PutSource(admin_pb.PutSourceRequest(source=source), timeout=TIMEOUT_S)
    )

    assert answer.details.fields == (f"source.rate_limit.{field}",)


async def test_a_limit_is_told_as_it_was_put_and_goes_when_it_is_left_out(api: WalletApi) -> None:
    seat = await seated(api)

    assert (await limit(seat, admin_pb.RateLimit(calls_per_second=7))).rate_limit == admin_pb.RateLimit(
        calls_per_second=7, burst=7
    )
    assert not (await limit(seat, None)).HasField("rate_limit")
