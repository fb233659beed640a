"""Rates, pairs and spreads as they stand in the database's rows. Times are whole milliseconds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fx.rate_locks import Side
from fx.rates import Pair, Rate, RateState, Spread
from persistence.postgres.database import Connection, Row
from persistence.postgres.queries import query

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class RecordedRate:
    """A rate in the state that it is in now, and how it came there.

    ``pushed_by`` is empty for a feed's. ``reason`` says why it was held. What is about a decision is empty or
    None where there was none.
    """

    rate: Rate
    pushed_by: str
    reason: str
    decided_by: str = ""
    decided_ms: int | None = None
    decision_reason: str = ""


def rate_of(row: Row) -> Rate:
    return Rate(
        rate_id=row["rate_id"],
        source=row["source"],
        base=row["base"],
        quote=row["quote"],
        mid=row["mid"],
        published_ms=unix_ms(row["published_time"]),
        received_ms=unix_ms(row["received_time"]),
        state=RateState(row["state_now"]),
    )


def recorded_rate_of(row: Row) -> RecordedRate:
    return RecordedRate(
        rate=rate_of(row),
        pushed_by=row["pushed_by"],
        reason=row["reason"],
        decided_by=row["decided_by"] or "",
        decided_ms=unix_ms(row["decided_time"]) if row["decided_time"] else None,
        decision_reason=row["decision_reason"] or "",
    )


def pair_of(row: Row) -> Pair:
    return Pair(
        base=row["base"],
        quote=row["quote"],
        stale_after_s=row["stale_after_s"],
        jump_bps=row["jump_bps"],
        two_person_bps=row["two_person_bps"],
        peg=row["peg"],
        peg_band_bps=row["peg_band_bps"],
    )


async def read_pairs(connection: Connection) -> list[Pair]:
    return [pair_of(row) for row in await connection.fetch(query("pairs"))]


async def read_pivots(connection: Connection) -> list[str]:
    return [row["currency_code"] for row in await connection.fetch(query("pivots"))]


async def read_spreads(connection: Connection) -> list[Spread]:
    return [
        Spread(
            bps=row["bps"],
            currency=row["currency"],
            wallet_currency=row["wallet_currency"],
            side=Side(row["side"]) if row["side"] else None,
            player_group=row["player_group"],
        )
        for row in await connection.fetch(query("spreads"))
    ]


def unix_ms(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND


def time_of(unix_ms: int) -> datetime:
    return _EPOCH + unix_ms * _MILLISECOND
