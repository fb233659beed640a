"""Closings of rounds outlive the store that they were made in, or are named where they were lost with it."""

import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio

from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub
from tests.acceptance.seat import Seat, seated
from tests.acceptance.test_recovery import empty, in_the_end, incidents
from tests.answers import Done, read_result
from tests.deployment import Deployment
from tests.steps import bet, win
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, wallet_api

if TYPE_CHECKING:  # this exists for type checkers only
    from stakehold.v1.round_service_pb2_grpc import RoundServiceAsyncStub


@pytest_asyncio.fixture
async def seat(private_deployment: Deployment) -> AsyncIterator[Seat]:
    """A new player with 100.00 EUR on the service that the test breaks."""
    async with wallet_api(private_deployment.address) as api:
        yield await seated(api)


@pytest_asyncio.fixture
async def rounds(private_deployment: Deployment) -> AsyncIterator["RoundServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(private_deployment.address) as channel:
        yield RoundServiceStub(channel)


async def close(rounds: "RoundServiceAsyncStub", seat: Seat, name: str, round_id: str) -> Done:
    request = pb.CloseRoundRequest(
        source_id=seat.source_id,
        player_id=seat.player_id,
        transaction_id=name,
        round_id=round_id,
        game_id="g",
    )
    return read_result((await rounds.CloseRound(request, timeout=TIMEOUT_S)).result)


async def open_rounds(rounds: "RoundServiceAsyncStub", seat: Seat) -> list[str]:
    request = pb.ListOpenRoundsRequest(player_id=seat.player_id)
    return [played.round_id for played in (await rounds.ListOpenRounds(request, timeout=TIMEOUT_S)).rounds]


async def test_drained_rounds_come_back_open_and_closed_when_the_store_is_emptied(
    private_deployment: Deployment, seat: Seat, rounds: "RoundServiceAsyncStub"
) -> None:
    await seat.one(bet("b1", "10", round_id="r1", game_id="g"))
    await seat.one(bet("b2", "5", round_id="r2", game_id="g"))
    first = await close(rounds, seat, "c1", "r1")
    await close(rounds, seat, "c0", "never played")
    await private_deployment.require_agreement()

    await empty(private_deployment.valkey)
    assert await in_the_end(seat, "again", "1") is False

    assert await open_rounds(rounds, seat) == ["r2"]
    again = await close(rounds, seat, "c1", "r1")
    assert (again.replayed, again.entry_id) == (True, first.entry_id)
    for round_id in ("r1", "never played"):
        assert (await seat.refused(bet(f"in {round_id}", "1", round_id=round_id, game_id="g"))).reason == (
            "ROUND_CLOSED"
        )
    assert (await seat.one(win("w1", "1", of="b1"))).late
    await seat.one(win("w2", "7", of="b2"))
    assert (await close(rounds, seat, "c2", "r2")).outcome == "APPLIED"
    assert await open_rounds(rounds, seat) == []
    await private_deployment.require_agreement()
    status, said = await private_deployment.run("verify")
    assert status == 0, said


async def test_a_closing_that_was_lost_undrained_is_named_and_may_be_done_again(
    private_deployment: Deployment, seat: Seat, rounds: "RoundServiceAsyncStub"
) -> None:
    await seat.one(bet("b1", "10", round_id="r1", game_id="g"))
    await private_deployment.require_agreement()
    private_deployment.drainer.process.send_signal(signal.SIGSTOP)
    await close(rounds, seat, "c1", "r1")
    await empty(private_deployment.valkey)
    assert await in_the_end(seat, "b1r", "1") is False  # another store was taken over
    private_deployment.drainer.process.send_signal(signal.SIGCONT)

    async def named() -> bool:
        lost = await incidents(private_deployment, "acknowledged_lost")
        return {row["transaction_id"] for row in lost} == {"c1"}

    await until(named, what="the lost closing is named")
    assert await open_rounds(rounds, seat) == ["r1"]

    assert (await close(rounds, seat, "c1", "r1")).replayed is False
    await private_deployment.require_agreement()

    async def resolved() -> bool:
        lost = await incidents(private_deployment, "acknowledged_lost")
        return all(row["resolved_time"] for row in lost)

    await until(resolved, what="what was done again is lost no more")
    assert await open_rounds(rounds, seat) == []


@pytest.mark.parametrize("times", [2])
async def test_a_session_is_whole_right_after_the_store_was_emptied(
    private_deployment: Deployment, seat: Seat, rounds: "RoundServiceAsyncStub", times: int
) -> None:
    for number in range(3):
        await seat.one(bet(f"b{number}", "1", round_id=f"r{number}", game_id="g"))
    await private_deployment.require_agreement()
    request = pb.ResumeSessionRequest(player_id=seat.player_id, source_id=seat.source_id)
    before = await rounds.ResumeSession(request, timeout=TIMEOUT_S)

    for _ in range(times):
        await empty(private_deployment.valkey)
        answers: list[pb.ResumeSessionResponse] = []

        async def answered() -> bool:
            try:
                answers.append(await rounds.ResumeSession(request, timeout=TIMEOUT_S))  # noqa: B023
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return False
            return True

        await until(answered, what="the session is told")
        assert answers == [before]
