"""Statements and balances, read from a ledger that the engine and the drainer filled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from persistence.errors import BalanceNotFound, WalletNotFound
from persistence.postgres.reading.entry_lists import EntryFilter
from persistence.postgres.reading.statements import StatementPeriod
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    PlayerId,
    WalletStatus,
)
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey, embedded_valkey
from tests.drained_ledger import EUR, USD, Wallets, movement, wallets
from tests.evening_ledger import (
    ANNA,
    BET,
    BOB,
    DEPOSIT,
    WIN,
    an_evening,
    list_all,
    moment,
    next_millisecond,
    read_statement,
    reading,
)
from tests.ledgers import Ledgers

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def money(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Wallets]:
    """Wallets in a store and a ledger of this test's own."""
    async with wallets(private_valkey.url, ledger_dsn) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def evening(tmp_path_factory: pytest.TempPathFactory, ledgers: Ledgers) -> AsyncIterator[str]:
    """The address of a ledger with one evening in it, for tests that only read."""
    folder = tmp_path_factory.mktemp("evening")
    async with embedded_valkey(folder) as store, ledgers.fresh() as dsn:
        async with wallets(store.url, dsn) as made:
            await an_evening(made)
        yield dsn


async def test_a_statement_leads_from_its_opening_to_its_closing_balance(evening: str) -> None:
    async with reading(evening) as reader:
        statement = await read_statement(reader, StatementPeriod(ANNA, EUR, None, None))

    lines = [line.chained.entry for line in statement.lines]
    assert statement.opening_balance == 0
    assert [line.transaction_id for line in lines] == ["d1", "b1", "w1", "b2", "x2"]
    assert [line.change.total() for line in lines] == [10_000, -1_000, 2_500, -500, 500]
    assert [line.after.total() for line in lines if line.after] == [10_000, 9_000, 11_500, 11_000, 11_500]
    assert statement.closing_balance == 11_500
    assert statement.next_page_token == ""


async def test_the_statements_of_two_neighbouring_periods_fit_together(money: Wallets) -> None:
    await an_evening(money)
    await next_millisecond()
    await money.move(ANNA, movement(WIN, "w5", 700))
    await money.drain()
    async with reading(money.ledger_dsn) as reader:
        whole = await read_statement(reader, StatementPeriod(ANNA, EUR, None, None))
        border = moment(whole.lines[-1])

        first = await read_statement(reader, StatementPeriod(ANNA, EUR, None, border))
        second = await read_statement(reader, StatementPeriod(ANNA, EUR, border, None))
        empty = await read_statement(reader, StatementPeriod(ANNA, EUR, border, border))

    assert [*first.lines, *second.lines] == whole.lines
    assert len(second.lines) == 1
    assert first.closing_balance == second.opening_balance == 11_500
    assert second.closing_balance == whole.closing_balance == 12_200
    assert (empty.opening_balance, list(empty.lines), empty.closing_balance) == (11_500, [], 11_500)


async def test_all_pages_of_a_statement_are_of_what_its_first_page_found(money: Wallets) -> None:
    await an_evening(money)
    period = StatementPeriod(ANNA, EUR, None, None)
    async with reading(money.ledger_dsn) as reader:
        whole = await read_statement(reader, period)
        page = await read_statement(reader, period, page_size=2)
        pages = [page]
        while page.next_page_token:
            await money.move(ANNA, movement(WIN, f"w{len(pages)}0", 1))
            await money.drain()
            page = await read_statement(reader, period, page_size=2, page_token=page.next_page_token)
            pages.append(page)

    assert [line for page in pages for line in page.lines] == whole.lines
    assert [len(page.lines) for page in pages] == [2, 2, 1]
    assert {page.opening_balance for page in pages} == {0}
    assert {page.closing_balance for page in pages} == {11_500}


async def test_a_statement_of_a_wallet_that_the_ledger_does_not_know_is_refused(evening: str) -> None:
    async with reading(evening) as reader:
        for player, currency in [(BOB, USD), (PlayerId("nobody"), EUR)]:
            with pytest.raises(WalletNotFound):
                await read_statement(reader, StatementPeriod(player, currency, None, None))


async def test_a_past_balance_is_the_one_right_after_a_version_or_a_moment(evening: str) -> None:
    deadline = deadline_after(10.0)
    async with reading(evening) as reader:
        (win,) = (
            e for e in await list_all(reader, EntryFilter(player_id=ANNA)) if e.chained.entry.kind is WIN
        )

        opened = await reader.balance_at(ANNA, EUR, version=1, deadline=deadline)
        frozen = await reader.balance_at(ANNA, EUR, version=7, deadline=deadline)
        then = await reader.balance_at(ANNA, EUR, end=datetime(2100, 1, 1, tzinfo=UTC), deadline=deadline)
        at_win = await reader.balance_at(ANNA, EUR, version=win.chained.entry.version, deadline=deadline)

    assert (opened.balance.buckets, opened.balance.status) == (Buckets(), WalletStatus.ACTIVE)
    assert (frozen.balance.buckets.cash, frozen.balance.status) == (11_500, WalletStatus.DEBITS_FROZEN)
    assert then == frozen
    assert at_win.balance.buckets == win.chained.entry.after
    assert at_win.booked_time == moment(win)


async def test_a_moment_counts_what_was_booked_at_it_and_nothing_later(money: Wallets) -> None:
    await money.open(ANNA)
    await next_millisecond()
    await money.move(ANNA, movement(DEPOSIT, "d1", 100), source="cashier")
    await next_millisecond()
    await money.move(ANNA, movement(DEPOSIT, "d2", 10), source="cashier")
    await money.drain()
    microsecond = timedelta(microseconds=1)
    async with reading(money.ledger_dsn) as reader:
        opened, first, second = [moment(e) for e in await list_all(reader, EntryFilter(player_id=ANNA))]
        cash = {}
        for end in (opened + microsecond, first, first + microsecond, second, second + microsecond):
            past = await reader.balance_at(ANNA, EUR, end=end, deadline=deadline_after(10.0))
            cash[end] = past.balance.buckets.cash

    assert list(cash.values()) == [0, 0, 100, 100, 110]


async def test_a_version_or_moment_that_the_wallet_never_saw_is_not_found(evening: str) -> None:
    before = datetime(2000, 1, 1, tzinfo=UTC)

    async with reading(evening) as reader:
        with pytest.raises(BalanceNotFound) as of_version:
            await reader.balance_at(ANNA, EUR, version=8, deadline=deadline_after(10.0))
        with pytest.raises(BalanceNotFound):
            await reader.balance_at(ANNA, EUR, end=before, deadline=deadline_after(10.0))
        with pytest.raises(WalletNotFound):
            await reader.balance_at(BOB, USD, version=1, deadline=deadline_after(10.0))

    assert (of_version.value.currency, of_version.value.version) == ("EUR", 8)


async def test_the_trial_balance_sums_to_zero_in_each_currency(money: Wallets) -> None:
    await an_evening(money)
    await money.move(ANNA, movement(DEPOSIT, "d9", 77, USD), source="cashier")
    await money.drain()

    async with reading(money.ledger_dsn) as reader:
        lines = await reader.trial_balance(None, deadline=deadline_after(10.0))
        dollars = await reader.trial_balance(USD, deadline=deadline_after(10.0))

    assert [(ln.currency, ln.owner_kind, ln.owner_id, ln.bucket, ln.balance) for ln in lines] == [
        ("EUR", "player", "", "cash", 14_500),
        ("EUR", "source", "cashier", "clearing", -13_000),
        ("EUR", "source", "games", "settlement", -1_500),
        ("USD", "player", "", "cash", 77),
        ("USD", "source", "cashier", "clearing", -77),
    ]
    assert list(dollars) == [line for line in lines if line.currency == "USD"]


async def test_amounts_of_36_digits_come_back_exactly(money: Wallets) -> None:
    token = CurrencyCode("ETH")
    amount = 10**36 - 1
    await money.open(ANNA, token)
    await money.move(ANNA, movement(DEPOSIT, "d1", amount, token), source="cashier")
    await money.move(ANNA, movement(BET, "b1", 1, token))
    await money.drain()

    async with reading(money.ledger_dsn) as reader:
        statement = await read_statement(reader, StatementPeriod(ANNA, token, None, None))

    assert statement.closing_balance == amount - 1
    assert statement.lines[0].legs[0].amount == amount
