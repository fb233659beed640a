"""The access log in the ledger's database: who was denied what, and who administered what."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from persistence.postgres.database import Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reading.page_tokens import read_token, write_token

_PAST_THE_END = (1 << 63) - 1


class AccessKind(StrEnum):
    BEGUN = "begun"
    """An administrative call is about to take effect."""
    ENDED = "ended"
    """Its outcome."""
    DENIED = "denied"
    UNLISTED = "unlisted"
    """Denials that have no record of their own, for there were too many."""


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """What is written. ``record_id`` makes that writing it again does nothing.

    ``call_id`` joins what began with what ended. What is not known, or does not apply, is "".
    """

    record_id: UUID
    kind: AccessKind
    first_time: datetime
    last_time: datetime
    count: int = 1
    call_id: str = ""
    caller: str = ""
    identified_by: str = ""
    claimed: str = ""
    peer: str = ""
    method: str = ""
    verb: str = ""
    source_id: str = ""
    player_id: str = ""
    transaction_id: str = ""
    details: Mapping[str, str] | None = None
    why: str = ""
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WrittenRecord:
    """A record as it stands in the log."""

    position: int
    record: AccessRecord
    server_id: str
    recorded_time: datetime
    hash: bytes


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """Which records. What is empty does not matter."""

    caller: str = ""
    method: str = ""
    kinds: tuple[AccessKind, ...] = ()
    code: str = ""
    player_id: str = ""
    call_id: str = ""
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccessPage:
    """Some records, newest first. ``next_page_token`` is empty where there are no more."""

    records: Sequence[WrittenRecord]
    next_page_token: str


class AccessTable:
    """Writes over a pool of LedgerRole.RECORDER's connections. ``server_id`` names this process."""

    def __init__(self, pool: Pool, *, server_id: str) -> None:
        self._pool = pool
        self._server_id = server_id

    async def write(self, records: Sequence[AccessRecord], *, deadline: float) -> None:
        """Writes all of them or none, in one statement. Raises LedgerUnavailable: then they may be written.

        ``deadline`` is in the event loop's time.
        """
        rows = [_row(record, self._server_id) for record in records]
        with translated_errors():
            async with asyncio.timeout_at(deadline):
                await self._pool.execute(query("record_access"), json.dumps(rows))


class AccessReader:
    """Reads the log over a pool of connections that may read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list(
        self, wanted: AccessFilter, *, page_size: int, page_token: str, deadline: float
    ) -> AccessPage:
        """A page. Raises PageTokenInvalid and LedgerUnavailable."""
        scope = (
            "access_records",
            wanted.caller,
            wanted.method,
            wanted.kinds,
            wanted.code,
            wanted.player_id,
            wanted.call_id,
            wanted.start,
            wanted.end,
        )
        [before] = read_token(page_token, scope, count=1) if page_token else (_PAST_THE_END,)
        arguments = (
            before,
            wanted.caller,
            wanted.method,
            [str(kind) for kind in wanted.kinds],
            wanted.code,
            wanted.player_id,
            wanted.call_id,
            wanted.start,
            wanted.end,
            page_size + 1,
        )
        with translated_errors():
            async with (
                asyncio.timeout_at(deadline),
                self._pool.acquire() as connection,
                connection.transaction(readonly=True),
            ):
                await connection.execute(query("plan_by_arguments"))
                rows = await connection.fetch(query("list_access_records"), *arguments)
        records = [_written(row) for row in rows[:page_size]]
        is_last = len(rows) <= page_size
        return AccessPage(records, "" if is_last else write_token([records[-1].position], scope))


def _row(record: AccessRecord, server_id: str) -> dict[str, object]:
    return {
        "record_id": str(record.record_id),
        "kind": record.kind,
        "call_id": record.call_id,
        "caller": record.caller,
        "identified_by": record.identified_by,
        "claimed": record.claimed,
        "peer": record.peer,
        "method": record.method,
        "verb": record.verb,
        "source_id": record.source_id,
        "player_id": record.player_id,
        "transaction_id": record.transaction_id,
        "details": dict(record.details or {}),
        "why": record.why,
        "code": record.code,
        "reason": record.reason,
        "count": record.count,
        "first_time": record.first_time.isoformat(),
        "last_time": record.last_time.isoformat(),
        "server_id": server_id,
    }


def _written(row: Row) -> WrittenRecord:
    return WrittenRecord(
        position=row["position"],
        record=AccessRecord(
            record_id=row["record_id"],
            kind=AccessKind(row["kind"]),
            first_time=row["first_time"],
            last_time=row["last_time"],
            count=row["count"],
            call_id=row["call_id"],
            caller=row["caller"],
            identified_by=row["identified_by"],
            claimed=row["claimed"],
            peer=row["peer"],
            method=row["method"],
            verb=row["verb"],
            source_id=row["source_id"],
            player_id=row["player_id"],
            transaction_id=row["transaction_id"],
            details=json.loads(row["details"]),
            why=row["why"],
            code=row["code"],
            reason=row["reason"],
        ),
        server_id=row["server_id"],
        recorded_time=row["recorded_time"],
        hash=row["hash"],
    )
