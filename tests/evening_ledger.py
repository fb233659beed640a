"""A small evening in a ledger, and how tests read it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.reading.entries import RecordedEntry
from persistence.postgres.reading.entry_lists import EntryFilter
from persistence.postgres.reading.ledger_reader import LedgerReader
from persistence.postgres.reading.statements import StatementPage, StatementPeriod
from persistence.transactions import (
    PlayerId,
    TransactionKind,
    WalletStatus,
)
from persistence.valkey.engine import deadline_after
from tests.drained_ledger import USD, Wallets, close_round, movement, rollback
from tests.waiting import until

BET, WIN, DEPOSIT, TIP = (
    TransactionKind.BET,
    TransactionKind.WIN,
    TransactionKind.DEPOSIT,
    TransactionKind.TIP,
)
ANNA, BOB = PlayerId("anna"), PlayerId("bob")


@asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[LedgerReader]:
    async with ledger_pool(dsn, role=LedgerRole.READER, size=2, statement_timeout_s=10.0) as pool:
        yield LedgerReader(pool)


async def list_all(
    reader: LedgerReader, wanted: EntryFilter, *, page_size: int = 1000
) -> list[RecordedEntry]:
    """All pages of a list."""
    entries: list[RecordedEntry] = []
    token = ""
    while True:
        page = await reader.list_entries(
            wanted, page_size=page_size, page_token=token, deadline=deadline_after(10.0)
        )
        assert len(page.entries) <= page_size
        entries += page.entries
        token = page.next_page_token
        if not token:
            return entries


def ids(entries: list[RecordedEntry]) -> list[str]:
    return [recorded.chained.entry.transaction_id for recorded in entries]


async def an_evening(money: Wallets) -> None:
    """Anna and Bob play: one entry of every sort."""
    await money.open(ANNA)
    await money.open(ANNA, USD)
    await money.open(BOB)
    await money.move(ANNA, movement(DEPOSIT, "d1", 10_000), source="cashier")
    await money.move(ANNA, movement(BET, "b1", 1_000, round_id="r1", game="slots"))
    await money.move(ANNA, movement(WIN, "w1", 2_500, round_id="r1", game="slots"))
    await money.move(ANNA, movement(BET, "b2", 500, round_id="r2", game="slots"))
    await money.move(ANNA, rollback("x2", "b2"))
    await money.move(ANNA, rollback("x2b", "b2"))
    await money.move(ANNA, rollback("x3", "b3"))
    await money.refused(ANNA, movement(BET, "b4", 99_999))
    await money.move(BOB, movement(DEPOSIT, "d1", 3_000), source="cashier")
    await money.move(BOB, movement(BET, "b1", 0, round_id="r9", game="slots"))
    await money.move(BOB, close_round("c9", "r9", "slots"))
    await money.set_status(ANNA, WalletStatus.DEBITS_FROZEN)
    await money.drain()


async def read_statement(
    reader: LedgerReader, period: StatementPeriod, *, page_size: int = 1000, page_token: str = ""
) -> StatementPage:
    return await reader.read_statement(
        period, page_size=page_size, page_token=page_token, deadline=deadline_after(10.0)
    )


def moment(recorded: RecordedEntry) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=recorded.chained.booked_ms)


async def next_millisecond() -> None:
    """Waits until the clock has moved on, so that two bookings have two times."""
    start = datetime.now(UTC)

    async def passed() -> bool:
        return datetime.now(UTC) - start > timedelta(milliseconds=2)

    await until(passed, what="the next millisecond")
