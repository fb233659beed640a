"""How much of the ledger waits for a person, and what the last audit of everything has found."""

from collections.abc import Mapping
from dataclasses import dataclass

from persistence.errors import SetupRefused
from persistence.postgres.adopting import IncidentKind
from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reviews import ReviewKind


@dataclass(frozen=True, slots=True)
class LastVerification:
    """``count`` is how many there have been; ``ended_s`` is in Unix seconds."""

    count: int
    ended_s: float
    finding_count: int


@dataclass(frozen=True, slots=True)
class LedgerCondition:
    """What is open. ``last_verification`` is None before the first one."""

    incidents: Mapping[IncidentKind, int]
    reviews: Mapping[ReviewKind, int]
    quarantined_records: int
    last_verification: LastVerification | None


async def read_condition(connection: Connection) -> LedgerCondition:
    """Raises LedgerUnavailable, and SetupRefused for a database that is no ledger."""
    with translated_errors():
        incidents = await connection.fetch(query("open_incidents_by_kind"))
        reviews = await connection.fetch(query("open_reviews_by_kind"))
        quarantined = await connection.fetchval(query("quarantined_record_count"))
    last = await _last_verification(connection)
    return LedgerCondition(
        dict.fromkeys(IncidentKind, 0) | {IncidentKind(row["kind"]): row["count"] for row in incidents},
        dict.fromkeys(ReviewKind, 0) | {ReviewKind(row["kind"]): row["count"] for row in reviews},
        quarantined,
        last,
    )


async def _last_verification(connection: Connection) -> LastVerification | None:
    """None, too, where the ledger is of a release that did not note them."""
    try:
        with translated_errors():
            last = await connection.fetchrow(query("last_verification"))
    except SetupRefused:
        return None
    if last is None:
        return None
    return LastVerification(last["verification_id"], last["ended_time"].timestamp(), last["finding_count"])
