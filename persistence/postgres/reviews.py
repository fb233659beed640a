"""What the service did by itself, or could not do, and a person should look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from persistence.errors import ReviewNotFound, ReviewResolved
from persistence.postgres.database import Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reading.page_tokens import read_token, write_token


class ReviewKind(StrEnum):
    BET_SWEPT = "bet_swept"
    """A bet without any settlement was given back."""
    BET_NOT_SWEPT = "bet_not_swept"
    """It could not be given back."""
    CASHIER_CONTRADICTION = "cashier_contradiction"
    """A payment service said what contradicts what is known."""
    CASHIER_STUCK = "cashier_stuck"
    """The wallet does not do what a deposit or withdrawal has come to, or did it otherwise."""


@dataclass(frozen=True, slots=True)
class Review:
    """``action_transaction_id`` and ``entry_id`` are what the service did, "" where it did nothing.

    ``resolved_time`` is None, and what belongs to it "", while it is open.
    """

    review_id: int
    kind: ReviewKind
    player_id: str
    source_id: str
    transaction_id: str
    action_transaction_id: str
    entry_id: str
    game: str
    round: str
    description: str
    raised_time: datetime
    resolved_time: datetime | None
    resolved_by: str
    note: str


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """Which reviews. What is empty does not matter."""

    player_id: str = ""
    source_id: str = ""
    include_resolved: bool = False


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Some reviews, oldest first. ``next_page_token`` is empty where there are no more."""

    reviews: Sequence[Review]
    next_page_token: str


class Reviews:
    """Reads and resolves reviews over a pool of the registrar's connections. All raise LedgerUnavailable."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list(self, wanted: ReviewFilter, *, page_size: int, page_token: str) -> ReviewPage:
        """A page. Raises PageTokenInvalid."""
        scope = ("reviews", wanted.player_id, wanted.source_id, wanted.include_resolved)
        [after] = read_token(page_token, scope, count=1) if page_token else (0,)
        arguments = (after, wanted.player_id, wanted.source_id, wanted.include_resolved, page_size + 1)
        with translated_errors():
            rows = await self._pool.fetch(query("list_reviews"), *arguments)
        reviews = [_review(row) for row in rows[:page_size]]
        is_last = len(rows) <= page_size
        return ReviewPage(reviews, "" if is_last else write_token([reviews[-1].review_id], scope))

    async def resolve(self, review_id: int, *, resolved_by: str, note: str) -> Review:
        """Resolves a review, or finds it resolved like that. Raises ReviewNotFound and ReviewResolved."""
        with translated_errors():
            row = await self._pool.fetchrow(query("resolve_review"), review_id, resolved_by, note)
            if row is None:
                row = await self._pool.fetchrow(query("read_review"), review_id)
        if row is None:
            raise ReviewNotFound(review_id)
        if (row["resolved_by"], row["note"]) != (resolved_by, note):
            raise ReviewResolved(review_id, row["resolved_by"])
        return _review(row)


def _review(row: Row) -> Review:
    return Review(
        row["review_id"],
        ReviewKind(row["kind"]),
        row["player_id"],
        row["source_id"],
        row["transaction_id"],
        row["action_transaction_id"],
        row["entry_id"],
        row["game_id"],
        row["round_id"],
        row["description"],
        row["raised_time"],
        row["resolved_time"],
        row["resolved_by"] or "",
        row["note"] or "",
    )
