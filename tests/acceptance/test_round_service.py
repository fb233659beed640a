"""RoundService as its callers see it."""

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from stakehold.v1 import admin_service_pb2, transaction_pb2, wallet_service_pb2
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused, read_result, refused
from tests.deployment import Deployment
from tests.forgetful import oblivion
from tests.reference import Policies
from tests.steps import bet, closing, rollback, win
from tests.wallet_api import TIMEOUT_S, WalletApi

if TYPE_CHECKING:  # this exists for type checkers only
    from stakehold.v1.round_service_pb2_grpc import RoundServiceAsyncStub


@pytest_asyncio.fixture
async def rounds(deployment: Deployment) -> AsyncIterator["RoundServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        yield RoundServiceStub(channel)


async def refusal_of(call: Awaitable[object]) -> Refused:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return refused(caught.value)


def closing_of(seat: Seat, name: str, round_id: str = "r1", game_id: str = "g1") -> pb.CloseRoundRequest:
    return pb.CloseRoundRequest(
        source_id=seat.source_id,
        player_id=seat.player_id,
        transaction_id=name,
        round_id=round_id,
        game_id=game_id,
    )


def round_of(seat: Seat, round_id: str = "r1", **more: int) -> pb.GetRoundRequest:
    return pb.GetRoundRequest(
        source_id=seat.source_id, player_id=seat.player_id, round_id=round_id, game_id="g1", **more
    )


async def test_a_round_is_closed_and_stays_closed(seat: Seat, rounds: "RoundServiceAsyncStub") -> None:
    await seat.one(bet("b1", "10", round_id="r1", game_id="g1"))

    first = read_result((await rounds.CloseRound(closing_of(seat, "c1"), timeout=TIMEOUT_S)).result)
    again = read_result((await rounds.CloseRound(closing_of(seat, "c1"), timeout=TIMEOUT_S)).result)
    other = read_result((await rounds.CloseRound(closing_of(seat, "c2"), timeout=TIMEOUT_S)).result)

    assert (first.outcome, first.replayed, first.after, first.now) == ("APPLIED", False, None, None)
    assert (again.outcome, again.replayed, again.entry_id) == ("APPLIED", True, first.entry_id)
    assert (other.outcome, other.replayed) == ("ALREADY_CLOSED", False)
    assert (await seat.refused(bet("b2", "1", round_id="r1", game_id="g1"))).reason == "ROUND_CLOSED"
    assert (await seat.one(win("w1", "5", of="b1"))).late
    assert (await seat.refused(rollback("x1", "c1"))).reason == "NOT_REVERSIBLE"
    found = await seat.look_up("c1")
    assert (found.state, found.kind, found.round_id) == (
        wallet_service_pb2.TRANSACTION_STATE_APPLIED,
        transaction_pb2.TRANSACTION_KIND_ROUND_CLOSING,
        "r1",
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"round_id": ""}, "round_id"),
        ({"round_id": "r" * 129}, "round_id"),
        ({"transaction_id": ""}, "transaction_id"),
        ({"transaction_id": "§sweep:b1"}, "transaction_id"),
        ({"game_id": "ä"}, "game_id"),
        ({"player_id": ""}, "player_id"),
    ],
)
async def test_a_closing_that_is_malformed_closes_nothing(
    seat: Seat, rounds: "RoundServiceAsyncStub", changes: dict[str, str], field: str
) -> None:
    request = closing_of(seat, "c1")
    for name, text in changes.items():
        setattr(request, name, text)

    answer = await refusal_of(rounds.CloseRound(request, timeout=TIMEOUT_S))

    assert (answer.code, answer.details.fields) == ("INVALID_ARGUMENT", (field,))


async def test_a_round_is_read_with_its_sums(seat: Seat, rounds: "RoundServiceAsyncStub") -> None:
    for name, amount in (("b1", "10"), ("b2", "2.50"), ("b3", "1")):
        await seat.one(bet(name, amount, round_id="r1", game_id="g1"))
    await seat.one(rollback("x3", "b3"))
    await seat.one(closing(win("w1", "25", of="b1", round_id="r1", game_id="g1")))
    await seat.one(win("w2", "1", of="b2"))

    answer = await rounds.GetRound(round_of(seat, max_transactions=3), timeout=TIMEOUT_S)

    played = answer.round
    assert (played.state, played.bet_count, played.live_bet_count, played.win_count) == (
        pb.ROUND_STATE_CLOSED, 3, 2, 2,
    )  # fmt: skip
    [totals] = answer.totals
    assert (totals.staked, totals.won, totals.late, totals.net) == ("12.50", "26.00", "1.00", "13.50")
    assert (totals.bet_count, totals.win_count, totals.late_count) == (2, 2, 1)
    assert (answer.rollback_count, answer.unsettled_bet_count, answer.transaction_count) == (1, 0, 6)
    assert [summary.transaction_id for summary in answer.transactions] == ["w2", "w1", "x3"]
    assert answer.transactions[2].kind == transaction_pb2.TRANSACTION_KIND_ROLLBACK
    assert answer.transactions[0].late
    assert answer.opened_time.ToNanoseconds() <= played.closed_time.ToNanoseconds()
    assert played.closed_time.ToNanoseconds() <= played.last_time.ToNanoseconds()


async def test_a_round_that_is_not_known_is_not_found(seat: Seat, rounds: "RoundServiceAsyncStub") -> None:
    answer = await refusal_of(rounds.GetRound(round_of(seat, "nowhere"), timeout=TIMEOUT_S))

    assert (answer.code, answer.reason) == ("NOT_FOUND", "ROUND_NOT_FOUND")
    assert answer.details.metadata == {"round_id": "nowhere", "game_id": "g1"}


async def test_open_rounds_are_listed_also_when_the_store_forgot_them(
    seat: Seat, rounds: "RoundServiceAsyncStub", deployment: Deployment
) -> None:
    for number in range(5):
        await seat.one(bet(f"b{number}", "1", round_id=f"r{number}", game_id="g1"))
    async with oblivion(deployment.valkey.url, deployment.ledger_dsn) as forgetful:
        await forgetful.forget_fields([seat.player_id])
    await seat.one(bet("b3b", "1", round_id="r3", game_id="g1"))
    await rounds.CloseRound(closing_of(seat, "c1", "r1"), timeout=TIMEOUT_S)

    listed, token = list[str](), ""
    while True:
        request = pb.ListOpenRoundsRequest(player_id=seat.player_id, page_size=2, page_token=token)
        page = await rounds.ListOpenRounds(request, timeout=TIMEOUT_S)
        listed += [played.round_id for played in page.rounds]
        token = page.next_page_token
        if not token:
            break
        stolen = pb.ListOpenRoundsRequest(player_id="somebody else", page_token=token)
        answer = await refusal_of(rounds.ListOpenRounds(stolen, timeout=TIMEOUT_S))
        assert answer.reason == "PAGE_TOKEN_INVALID"

    assert listed == ["r0", "r2", "r3", "r4"]


@pytest.mark.parametrize("token", ["?", "AAAA", "W10=", "bnVsbA==", "WyJhIiwgImIiLCAxLCAyLCAzXQ=="])
async def test_a_token_that_is_none_is_refused(
    seat: Seat, rounds: "RoundServiceAsyncStub", token: str
) -> None:
    request = pb.ListOpenRoundsRequest(player_id=seat.player_id, page_token=token)

    answer = await refusal_of(rounds.ListOpenRounds(request, timeout=TIMEOUT_S))

    assert answer.reason == "PAGE_TOKEN_INVALID"


async def test_a_session_is_resumed(seat: Seat, rounds: "RoundServiceAsyncStub") -> None:
    await seat.one(bet("b1", "10", round_id="r1", game_id="g1"))
    await seat.refused(bet("b2", "1000", round_id="r2", game_id="g1"))
    await seat.one(rollback("x3", "b3"))
    await seat.one(bet("b4", "5"))
    await seat.one(rollback("x4", "b4"))

    request = pb.ResumeSessionRequest(player_id=seat.player_id, source_id=seat.source_id)
    session = await rounds.ResumeSession(request, timeout=TIMEOUT_S)

    assert [(balance.currency_code, balance.cash) for balance in session.balances] == [("EUR", "90.00")]
    assert [played.round_id for played in session.open_rounds] == ["r1"]
    assert not session.more_open_rounds
    states = {
        summary.transaction_id: wallet_service_pb2.TransactionState.Name(summary.state).removeprefix(
            "TRANSACTION_STATE_"
        )
        for summary in session.transactions
    }
    assert states == {
        "b1": "APPLIED",
        "b2": "REFUSED",
        "b3": "TOMBSTONED",
        "x3": "APPLIED",
        "b4": "ROLLED_BACK",
        "x4": "APPLIED",
    }
    by_id = {summary.transaction_id: summary for summary in session.transactions}
    assert by_id["b4"].rollback_transaction_id == "x4"
    assert by_id["b3"].rollback_transaction_id == "x3"
    assert by_id["b2"].refusal_reason > 0
    assert by_id["b1"].amount.amount == "10.00"


async def test_a_session_of_a_stranger_is_empty(rounds: "RoundServiceAsyncStub", seat: Seat) -> None:
    request = pb.ResumeSessionRequest(player_id=f"{seat.player_id} nobody")

    assert await rounds.ResumeSession(request, timeout=TIMEOUT_S) == pb.ResumeSessionResponse()


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ResumeSessionRequest(player_id="p", max_rounds=201), "max_rounds"),
        (pb.ResumeSessionRequest(player_id="p", max_transactions=-1), "max_transactions"),
        (pb.ResumeSessionRequest(), "player_id"),
    ],
)
async def test_a_session_that_is_asked_for_wrongly_is_refused(
    rounds: "RoundServiceAsyncStub", request_: pb.ResumeSessionRequest, field: str
) -> None:
    answer = await refusal_of(rounds.ResumeSession(request_, timeout=TIMEOUT_S))

    assert answer.details.fields == (field,)


async def test_reviews_are_listed_and_one_that_is_none_is_not_found(
    rounds: "RoundServiceAsyncStub", seat: Seat
) -> None:
    listed = await rounds.ListReviews(pb.ListReviewsRequest(player_id=seat.player_id), timeout=TIMEOUT_S)
    request = pb.ResolveReviewRequest(review_id=2**60, resolved_by="eve", note="seen")
    answer = await refusal_of(rounds.ResolveReview(request, timeout=TIMEOUT_S))

    assert not listed.reviews
    assert (answer.code, answer.reason) == ("NOT_FOUND", "REVIEW_NOT_FOUND")
    for wrong, field in (
        (pb.ResolveReviewRequest(resolved_by="eve", note="seen"), "review_id"),
        (pb.ResolveReviewRequest(review_id=1, note="seen"), "resolved_by"),
        (pb.ResolveReviewRequest(review_id=1, resolved_by="eve"), "note"),
    ):
        answer = await refusal_of(rounds.ResolveReview(wrong, timeout=TIMEOUT_S))
        assert answer.details.fields == (field,)


async def test_a_source_keeps_the_horizon_that_was_put(api: WalletApi) -> None:
    seat = await seated(api, policies=Policies())
    for horizon in (Duration(seconds=60), Duration(seconds=90, nanos=500_000_000), None):
        source = admin_service_pb2.Source(source_id=seat.source_id, orphan_horizon=horizon)
        answer = await api.admin.PutSource(
            admin_service_pb2.PutSourceRequest(source=source), timeout=TIMEOUT_S
        )
        assert answer.source.HasField("orphan_horizon") == (horizon is not None)
        assert answer.source.orphan_horizon == (horizon or Duration())


@pytest.mark.parametrize("seconds", [-1, 0, 59, 10 * 365 * 86_400 + 1])
async def test_a_horizon_out_of_reason_is_refused(api: WalletApi, seat: Seat, seconds: int) -> None:
    source = admin_service_pb2.Source(source_id=seat.source_id, orphan_horizon=Duration(seconds=seconds))

    answer = await refusal_of(
        api.admin.PutSource(admin_service_pb2.PutSourceRequest(source=source), timeout=TIMEOUT_S)
    )

    assert answer.details.fields == ("source.orphan_horizon",)
