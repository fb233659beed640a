"""Lists slips as the ledger has them."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from persistence.postgres.database import Connection, Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reading.entries import unix_ms
from persistence.postgres.reading.page_tokens import read_token, write_token
from persistence.slips import Slip, SlipState
from persistence.transactions import CurrencyCode, PlayerId, SourceId, TransactionId, TransactionKind

_LIST = "slips"


@dataclass(frozen=True, slots=True)
class SlipFilter:
    """Every filter that is set must hold."""

    player_id: PlayerId
    source_id: str = ""
    states: tuple[SlipState, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedSlip:
    """A slip, whose it is, and since when. Times are Unix milliseconds."""

    slip: Slip
    source_id: SourceId
    wallet_currency: CurrencyCode
    kind: TransactionKind
    opened_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class SlipPage:
    slips: Sequence[ListedSlip]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class DueHold:
    """A slip that holds something past its expire time, as far as the ledger knows."""

    player_id: PlayerId
    source_id: SourceId
    slip_id: TransactionId
    partition: int


class SlipReader:
    """Reads ``ledger.slips``. The pool's connections need no more than LedgerRole.READER."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_slips(
        self, wanted: SlipFilter, *, page_size: int, page_token: str, deadline: float
    ) -> SlipPage:
        """A page, newest first. A slip that is opened meanwhile is on none of the later pages.

        ``deadline`` is in the event loop's time. Raises PageTokenInvalid and LedgerUnavailable.
        """
        scope = (_LIST, wanted)
        before, skipped = read_token(page_token, scope, count=2) if page_token else (None, 0)
        async with self._connection(deadline) as connection:
            rows = await connection.fetch(
                query("list_slips"),
                wanted.player_id,
                wanted.source_id or None,
                [str(state) for state in wanted.states] or None,
                before,
                skipped,
                page_size + 1,
            )
        slips = [_listed(row) for row in rows[:page_size]]
        if len(rows) <= page_size:
            return SlipPage(slips, "")
        last = rows[page_size - 1]["opened_us"]
        same = sum(row["opened_us"] == last for row in rows[:page_size])
        token = write_token((last, same + (skipped if last == before else 0)), scope)
        return SlipPage(slips, token)

    async def due_holds(self, *, most: int, without: Sequence[int], deadline: float) -> list[DueHold]:
        """Those that are due longest, of all partitions but some. Raises LedgerUnavailable."""
        async with self._connection(deadline) as connection:
            rows = await connection.fetch(query("due_holds"), list(without), most)
        return [
            DueHold(
                PlayerId(row["player_id"]),
                SourceId(row["source_id"]),
                TransactionId(row["slip_id"]),
                row["partition"],
            )
            for row in rows
        ]

    @asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncIterator[Connection]:
        with translated_errors():
            async with (
                asyncio.timeout_at(deadline),
                self._pool.acquire() as connection,
                connection.transaction(readonly=True),
            ):
                left_ms = math.ceil((deadline - asyncio.get_running_loop().time()) * 1000)
                await connection.execute(query("limit_statements"), str(max(1, left_ms)))
                yield connection


def _listed(row: Row) -> ListedSlip:
    slip = Slip(
        version=row["version"],
        state=SlipState(row["state"]),
        currency=CurrencyCode(row["slip_currency"]),
        held=int(row["held"]),
        staked=int(row["staked"]),
        live=int(row["live"]),
        paid=int(row["paid"]),
        cashed=int(row["cashed"]),
        held_worth=int(row["held_worth"]),
        live_worth=int(row["live_worth"]),
        paid_worth=int(row["paid_worth"]),
        expires_ms=None if row["expires_time"] is None else unix_ms(row["expires_time"]),
        last=TransactionId(row["last_transaction_id"]),
        undone=row["undone_by_transaction_id"] or "",
        slip_id=TransactionId(row["slip_id"]),
    )
    return ListedSlip(
        slip,
        SourceId(row["source_id"]),
        CurrencyCode(row["currency"]),
        TransactionKind(row["kind"]),
        unix_ms(row["opened_time"]),
        unix_ms(row["changed_time"]),
    )
