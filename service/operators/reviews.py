"""Reviews: what a person should look at."""

from service.operators.cells import Column
from service.operators.office import Office
from service.operators.paging import Page, Paged
from service.operators.reports import Listing, Record
from stakehold.v1 import round_service_pb2 as pb
from stakehold.v1.round_service_pb2_grpc import RoundServiceStub


def _review_columns(path: str = "") -> list[Column]:
    return [
        Column("review_id", f"{path}review_id", is_number=True),
        Column("raised_time", f"{path}raised_time"),
        Column("kind", f"{path}kind"),
        Column("player_id", f"{path}player_id"),
        Column("source_id", f"{path}source_id"),
        Column("transaction_id", f"{path}transaction_id"),
        Column("game_id", f"{path}game_id"),
        Column("round_id", f"{path}round_id"),
        Column("description", f"{path}description"),
        Column("action_transaction_id", f"{path}action_transaction_id", in_table=False),
        Column("entry_id", f"{path}entry_id", in_table=False),
        Column("resolved_time", f"{path}resolved_time"),
        Column("resolved_by", f"{path}resolved_by"),
        Column("note", f"{path}note", in_table=False),
    ]


def list_reviews(
    office: Office, player_id: str, source_id: str, *, include_resolved: bool, limit: int | None
) -> Listing:
    """Oldest first."""
    rounds = RoundServiceStub(office.channel)

    def fetch(size: int, token: str) -> Page[pb.Review]:
        request = pb.ListReviewsRequest(
            player_id=player_id,
            source_id=source_id,
            include_resolved=include_resolved,
            page_size=size,
            page_token=token,
        )
        answer = office.ask(rounds.ListReviews, request)
        return Page(answer.reviews, answer.next_page_token)

    return Listing("reviews", "Reviews", _review_columns(), Paged(fetch, limit))


def resolve_review(office: Office, review_id: int, *, resolved_by: str, note: str) -> Record:
    request = pb.ResolveReviewRequest(review_id=review_id, resolved_by=resolved_by, note=note)
    rounds = RoundServiceStub(office.channel)
    return Record(_review_columns("review."), office.change(rounds.ResolveReview, request))
