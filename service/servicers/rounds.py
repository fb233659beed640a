"""RoundService: rounds, how to go on after a lost connection, and what a person should look at."""

from typing import Any

from grpc.aio import ServicerContext

from persistence.errors import FieldInvalid
from persistence.postgres.reviews import ReviewFilter, Reviews
from persistence.rounds import Rounds
from persistence.valkey.engine import Engine
from service.conversions.fields import read_optional_id, read_player_id, read_transaction_id
from service.conversions.results import result_message
from service.conversions.rounds import (
    close_round_call,
    currencies_of,
    open_rounds_message,
    read_most,
    read_note,
    read_page_token,
    read_round_id,
    read_source_filter,
    review_message,
    round_view_message,
    session_message,
)
from service.registry import Registry
from service.servicers.deadlines import Deadlines
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1 import round_service_pb2_grpc

Context = ServicerContext[Any, Any]

_PAGE, _MOST_OF_A_PAGE = 100, 1000
_ROUNDS, _SLIPS, _TRANSACTIONS, _MOST_TO_RESUME = 50, 50, 20, 200


class RoundServicer(round_service_pb2_grpc.RoundServiceServicer):
    """Rounds are closed on the hot path; they are read there, and in the ledger what it has forgotten."""

    def __init__(
        self, engine: Engine, rounds: Rounds, reviews: Reviews, registry: Registry, deadlines: Deadlines
    ) -> None:
        self._engine = engine
        self._rounds = rounds
        self._reviews = reviews
        self._registry = registry
        self._deadlines = deadlines

    async def GetRound(self, request: pb.GetRoundRequest, context: Context) -> pb.GetRoundResponse:
        player_id = read_player_id(request.player_id)
        most = read_most(request.max_transactions, "max_transactions", default=_PAGE, most=_MOST_OF_A_PAGE)
        view = await self._rounds.round(
            player_id,
            self._registry.source(request.source_id).source_id,
            read_optional_id(request.game_id, "game_id"),
            read_round_id(request.round_id),
            deadline=self._deadlines.of(context),
        )
        await self._registry.learn(currencies_of(view.transactions))
        return round_view_message(view, player_id, most, self._registry)

    async def ListOpenRounds(
        self, request: pb.ListOpenRoundsRequest, context: Context
    ) -> pb.ListOpenRoundsResponse:
        player_id = read_player_id(request.player_id)
        source = read_source_filter(request.source_id, self._registry)
        found = await self._rounds.open_rounds(
            player_id,
            source,
            after=read_page_token(request.page_token, player_id, source),
            most=read_most(request.page_size, "page_size", default=_PAGE, most=_MOST_OF_A_PAGE),
            deadline=self._deadlines.of(context),
        )
        return open_rounds_message(found, player_id, source)

    async def CloseRound(self, request: pb.CloseRoundRequest, context: Context) -> pb.CloseRoundResponse:
        call = close_round_call(request, self._registry)
        [result] = await self._engine.transact(call, deadline=self._deadlines.of(context))
        return pb.CloseRoundResponse(result=result_message(result, self._registry))

    async def ResumeSession(
        self, request: pb.ResumeSessionRequest, context: Context
    ) -> pb.ResumeSessionResponse:
        player_id = read_player_id(request.player_id)
        session = await self._rounds.resume(
            player_id,
            read_source_filter(request.source_id, self._registry),
            most_rounds=read_most(request.max_rounds, "max_rounds", default=_ROUNDS, most=_MOST_TO_RESUME),
            most_slips=read_most(request.max_slips, "max_slips", default=_SLIPS, most=_MOST_TO_RESUME),
            most_transactions=read_most(
                request.max_transactions, "max_transactions", default=_TRANSACTIONS, most=_MOST_TO_RESUME
            ),
            recent_only=request.recent_only,
            deadline=self._deadlines.of(context),
        )
        wallets = [str(balance.currency) for balance in session.balances]
        await self._registry.learn([*wallets, *currencies_of([*session.transactions, *session.open_slips])])
        return session_message(session, player_id, self._registry)

    async def ListReviews(self, request: pb.ListReviewsRequest, context: Context) -> pb.ListReviewsResponse:
        page = await self._reviews.list(
            ReviewFilter(
                read_optional_id(request.player_id, "player_id"),
                read_optional_id(request.source_id, "source_id"),
                include_resolved=request.include_resolved,
            ),
            page_size=read_most(request.page_size, "page_size", default=_PAGE, most=_MOST_OF_A_PAGE),
            page_token=request.page_token,
        )
        return pb.ListReviewsResponse(
            reviews=[review_message(review) for review in page.reviews],
            next_page_token=page.next_page_token,
        )

    async def ResolveReview(
        self, request: pb.ResolveReviewRequest, context: Context
    ) -> pb.ResolveReviewResponse:
        if request.review_id < 1:
            raise FieldInvalid("review_id", "must be at least 1")
        review = await self._reviews.resolve(
            request.review_id,
            resolved_by=read_transaction_id(request.resolved_by, "resolved_by"),
            note=read_note(request.note),
        )
        return pb.ResolveReviewResponse(review=review_message(review))
