"""What the database itself enforces about rates, and what reading them waits for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from persistence.postgres.database import Connection, LedgerRole, Pool, ledger_connection, ledger_pool
from persistence.postgres.rate_reader import RateReader
from persistence.valkey.engine import deadline_after
from tests.fx_api import now_ms

RATE = """
    INSERT INTO fx.rates (source, base, quote, mid, published_time, state, pushed_by, reason)
    VALUES ('feed', 'EUR', 'USD', $1::numeric, $2, $3, '', $4) RETURNING rate_id
"""
DECISION = "INSERT INTO fx.rate_decisions VALUES ($1, $2, 'bob', now(), '')"
CURRENCY = "INSERT INTO registry.currencies VALUES ($1, $1, 2, 'fiat', 'enabled') ON CONFLICT DO NOTHING"
PAIR = "INSERT INTO fx.pairs VALUES ($1, $2, $3, $4, $5, $6::numeric, $7)"


@dataclass(frozen=True, slots=True)
class Book:
    """A ledger with one pair, for which there is one rate of each kind. ``sql`` is its owner's."""

    sql: Connection
    registrars: Pool
    accepted: int
    held: int

    async def rate(
        self, mid: str = "1", *, state: str = "accepted", reason: str = "", age: timedelta = timedelta()
    ) -> int:
        published: datetime = await self.sql.fetchval("SELECT now()") - age
        rate_id: int = await self.sql.fetchval(RATE, mid, published, state, reason)
        return rate_id


@pytest_asyncio.fixture
async def book(ledger_dsn: str) -> AsyncIterator[Book]:
    async with (
        ledger_connection(ledger_dsn, role=None, statement_timeout_s=5.0) as sql,
        ledger_pool(ledger_dsn, role=LedgerRole.REGISTRAR, size=2, statement_timeout_s=5.0) as registrars,
    ):
        for code in ("EUR", "USD"):
            await sql.execute(CURRENCY, code)
        await sql.execute(PAIR, "EUR", "USD", 60, 100, 500, None, 0)
        made = Book(sql, registrars, 0, 0)
        accepted, held = await made.rate(), await made.rate(state="held", reason="a jump")
        await sql.execute(DECISION, held, "confirmed")
        yield Book(sql, registrars, accepted, held)


def constraint_of(refused: pytest.ExceptionInfo[asyncpg.PostgresError]) -> str:
    return str(refused.value.as_dict()["constraint_name"])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fx.rates SET mid = 2",
        "DELETE FROM fx.rates",
        "TRUNCATE fx.rates CASCADE",
        "UPDATE fx.rate_decisions SET decision = 'rejected'",
        "DELETE FROM fx.rate_decisions",
        "TRUNCATE fx.rate_decisions",
    ],
)
async def test_not_even_the_owner_rewrites_history(book: Book, statement: str) -> None:
    before = await book.sql.fetch("SELECT * FROM fx.judged_rates")

    with pytest.raises(asyncpg.RestrictViolationError, match="rates are append-only") as refused:
        await book.sql.execute(statement)

    assert constraint_of(refused) == "rates_are_append_only"
    assert await book.sql.fetch("SELECT * FROM fx.judged_rates") == before


@pytest.mark.parametrize(
    ("mid", "constraint"),
    [
        ("0", "a_rate_is_a_positive_number"),
        ("-1", "a_rate_is_a_positive_number"),
        ("NaN", "a_rate_is_a_positive_number"),
        ("Infinity", "a_rate_is_a_positive_number"),
        ("1." + "1" * 36, "a_rate_has_at_most_36_significant_digits"),
        ("1" * 37, "a_rate_has_at_most_36_significant_digits"),
    ],
)
async def test_a_rate_is_a_positive_number_of_36_digits(book: Book, mid: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await book.rate(mid)

    assert constraint_of(refused) == constraint
    await book.rate("1." + "1" * 35)
    await book.rate("0." + "0" * 17 + "1")


async def test_a_rate_of_the_future_is_none(book: Book) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="a_rate_is_not_of_the_future"):
        await book.rate(age=timedelta(minutes=-2))


async def test_only_what_is_held_is_decided_and_only_once(book: Book) -> None:
    with pytest.raises(asyncpg.RestrictViolationError) as accepted:
        await book.sql.execute(DECISION, book.accepted, "rejected")
    with pytest.raises(asyncpg.UniqueViolationError) as again:
        await book.sql.execute(DECISION, book.held, "rejected")

    assert constraint_of(accepted) == "only_held_rates_are_decided"
    assert constraint_of(again) == "a_rate_is_decided_once"


@pytest.mark.parametrize(
    ("pair", "constraint"),
    [
        (("EUR", "EUR", 60, 100, 500, None, 0), "a_pair_is_of_two_currencies"),
        (("EUR", "XYZ", 60, 100, 500, None, 0), "a_quote_is_a_currency"),
        (("XYZ", "EUR", 60, 100, 500, None, 0), "a_base_is_a_currency"),
        (("USD", "EUR", 0, 100, 500, None, 0), "rates_become_stale"),
        (("USD", "EUR", 60, 0, 500, None, 0), "a_jump_has_a_size"),
        (("USD", "EUR", 60, 100, -1, None, 0), "what_takes_two_persons_has_a_size"),
        (("USD", "EUR", 60, 100, 500, "0", 5), "a_peg_is_a_positive_number"),
        (("USD", "EUR", 60, 100, 500, "1", 0), "a_peg_has_a_band"),
        (("USD", "EUR", 60, 100, 500, None, 5), "a_peg_has_a_band"),
    ],
)
async def test_a_pair_that_cannot_be_meant_is_refused(
    book: Book, pair: tuple[object, ...], constraint: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await book.sql.execute(PAIR, *pair)

    assert constraint_of(refused) == constraint


async def test_a_question_about_a_time_that_has_passed_waits_for_what_is_being_pushed(book: Book) -> None:
    reader = RateReader(book.registrars)
    async with book.sql.transaction():
        await book.sql.execute("SELECT FROM fx.pairs FOR UPDATE")
        pushed = await book.rate("1.5")
        await asyncio.sleep(0.01)
        asked_ms = now_ms()
        answer = asyncio.create_task(
            reader.rate_at("EUR", "USD", at_ms=asked_ms, known_ms=asked_ms, deadline=deadline_after(5.0))
        )
        done, _ = await asyncio.wait([answer], timeout=0.2)
        assert not done

    assert (await answer).rate.rate_id == pushed
