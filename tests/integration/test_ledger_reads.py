"""Lists, statements and balances, read from a ledger that the engine and the drainer filled."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from persistence.errors import BalanceNotFound, LedgerUnavailable, PageTokenInvalid, WalletNotFound
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.reading.entries import RecordedEntry
from persistence.postgres.reading.entry_lists import EntryFilter
from persistence.postgres.reading.ledger_reader import LedgerReader
from persistence.postgres.reading.statements import StatementPage, StatementPeriod
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    EntryType,
    PlayerId,
    TransactionKind,
    WalletStatus,
)
from persistence.valkey.engine import deadline_after
from service.conversions.ledger import entry_message
from service.embedded import EmbeddedValkey, embedded_valkey
from stakehold.v1 import ledger_service_pb2 as pb
from tests.drained_ledger import EUR, USD, Wallets, movement, rollback, wallets
from tests.ledgers import Ledgers
from tests.waiting import until

BET, WIN, DEPOSIT, TIP = (
    TransactionKind.BET,
    TransactionKind.WIN,
    TransactionKind.DEPOSIT,
    TransactionKind.TIP,
)
ANNA, BOB = PlayerId("anna"), PlayerId("bob")

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
    await money.set_status(ANNA, WalletStatus.DEBITS_FROZEN)
    await money.drain()


async def test_a_list_has_every_entry_once_in_the_order_of_booking(evening: str) -> None:
    async with reading(evening) as reader:
        whole = await list_all(reader, EntryFilter())
        by_threes = await list_all(reader, EntryFilter(), page_size=3)
        by_ones = await list_all(reader, EntryFilter(), page_size=1)

    assert len(whole) == 15
    assert by_threes == whole
    assert by_ones == whole
    places = [(e.chained.booked_ms, e.chained.entry_id.partition, e.chained.chain_position) for e in whole]
    assert places == sorted(places)
    assert {recorded.chained.entry.type for recorded in whole} == set(EntryType)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EntryFilter(player_id="bob"), ["open-EUR", "d1", "b1"]),
        (EntryFilter(player_id="anna", currency="USD"), ["open-USD"]),
        (EntryFilter(player_id="anna", round_id="r1"), ["b1", "w1"]),
        (EntryFilter(round_id="r9"), ["b1"]),
        (EntryFilter(source_id="cashier"), ["d1", "d1"]),
        (EntryFilter(player_id="anna", source_id="stakehold"), ["open-EUR", "open-USD", "status-EUR-7"]),
        (EntryFilter(player_id="anna", kinds=(BET,)), ["b1", "b2", "b4"]),
        (EntryFilter(player_id="anna", kinds=(TransactionKind.ROLLBACK,)), ["x2", "x2b", "x3"]),
        (EntryFilter(player_id="anna", kinds=(WIN, DEPOSIT)), ["d1", "w1"]),
        (EntryFilter(player_id="anna", kinds=(WIN, TransactionKind.ROLLBACK)), ["w1", "x2", "x2b", "x3"]),
        (EntryFilter(player_id="nobody"), []),
        (EntryFilter(round_id="r1", currency="USD"), []),
    ],
)
async def test_every_filter_that_is_set_must_hold(
    evening: str, wanted: EntryFilter, expected: list[str]
) -> None:
    async with reading(evening) as reader:
        listed = await list_all(reader, wanted, page_size=2)

    assert ids(listed) == expected


async def test_a_period_includes_its_start_and_excludes_its_end(evening: str) -> None:
    async with reading(evening) as reader:
        whole = await list_all(reader, EntryFilter())
        moments = [moment(recorded) for recorded in whole]
        middle = moments[len(moments) // 2]

        before = await list_all(reader, EntryFilter(end=middle), page_size=2)
        after = await list_all(reader, EntryFilter(start=middle), page_size=2)
        nothing = await list_all(reader, EntryFilter(start=middle, end=middle))

    assert before + after == whole
    assert moment(after[0]) == middle
    assert nothing == []


async def test_an_entry_carries_its_postings_and_what_undid_it(evening: str) -> None:
    async with reading(evening) as reader:
        listed = await list_all(reader, EntryFilter(player_id=ANNA))

    by_id = {str(recorded.chained.entry.transaction_id): recorded for recorded in listed}
    bet, undone, tombstone = by_id["b1"], by_id["b2"], by_id["b3"]
    assert [
        (leg.account.owner_kind, leg.account.owner_id, leg.account.bucket, leg.amount) for leg in bet.legs
    ] == [
        ("player", "anna", "cash", -1_000),
        ("source", "games", "settlement", 1_000),
    ]
    assert (bet.rolled_back_by, undone.rolled_back_by, tombstone.rolled_back_by) == ("", "x2", "x3")
    assert by_id["b4"].legs == ()


async def test_two_players_rollbacks_of_the_same_id_are_not_mixed_up(money: Wallets) -> None:
    for player in (ANNA, BOB):
        await money.open(player)
        await money.move(player, movement(DEPOSIT, "d1", 1_000), source="cashier")
        await money.move(player, movement(BET, "b1", 100))
    await money.move(BOB, rollback("x1", "b1"))
    await money.drain()

    async with reading(money.ledger_dsn) as reader:
        listed = await list_all(reader, EntryFilter(kinds=(BET,)))
        of_anna = await list_all(reader, EntryFilter(player_id=ANNA, kinds=(BET,)))

    assert {(entry.chained.player, entry.rolled_back_by) for entry in listed} == {(ANNA, ""), (BOB, "x1")}
    assert [entry.rolled_back_by for entry in of_anna] == [""]


async def test_entries_that_arrive_while_a_list_is_paged_neither_disturb_nor_prolong_it(
    money: Wallets,
) -> None:
    await an_evening(money)
    async with reading(money.ledger_dsn) as reader:
        expected = await list_all(reader, EntryFilter())
        page = await reader.list_entries(
            EntryFilter(), page_size=4, page_token="", deadline=deadline_after(10.0)
        )
        listed = list(page.entries)

        number = 0
        while page.next_page_token:
            number += 1
            await money.move(BOB, movement(TIP, f"late-{number}", 1))
            await money.drain()
            page = await reader.list_entries(
                EntryFilter(), page_size=4, page_token=page.next_page_token, deadline=deadline_after(10.0)
            )
            listed += page.entries

    assert listed == expected


async def test_a_page_token_is_good_only_for_the_list_and_the_filters_that_it_came_from(
    evening: str,
) -> None:
    wanted = EntryFilter(player_id=ANNA)
    async with reading(evening) as reader:
        page = await reader.list_entries(wanted, page_size=1, page_token="", deadline=deadline_after(10.0))
        token = page.next_page_token
        statement = await read_statement(reader, StatementPeriod(ANNA, EUR, None, None), page_size=1)
        flipped = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]

        for other_filter, other_token in [
            (replace(wanted, player_id=BOB), token),
            (replace(wanted, kinds=(BET,)), token),
            (replace(wanted, end=datetime(2100, 1, 1, tzinfo=UTC)), token),
            (wanted, flipped),
            (wanted, token[:-4]),
            (wanted, token + "AAAA"),
            (wanted, token + "\n"),
            (wanted, "ä"),
            (wanted, "1"),
            (wanted, statement.next_page_token),
        ]:
            with pytest.raises(PageTokenInvalid):
                await reader.list_entries(
                    other_filter, page_size=1, page_token=other_token, deadline=deadline_after(10.0)
                )


async def read_statement(
    reader: LedgerReader, period: StatementPeriod, *, page_size: int = 1000, page_token: str = ""
) -> StatementPage:
    return await reader.read_statement(
        period, page_size=page_size, page_token=page_token, deadline=deadline_after(10.0)
    )


def moment(recorded: RecordedEntry) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=recorded.chained.booked_ms)


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
    await _next_millisecond()
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
    await _next_millisecond()
    await money.move(ANNA, movement(DEPOSIT, "d1", 100), source="cashier")
    await _next_millisecond()
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


async def test_a_page_stays_within_what_a_caller_can_receive(money: Wallets) -> None:
    metadata = json.dumps({f"key-{number}": "é" * 256 for number in range(16)})
    await money.open(ANNA)
    for call in range(25):
        await money.move(
            ANNA, *(movement(DEPOSIT, f"d{call}-{step}", 1, metadata=metadata) for step in range(16))
        )
    await money.drain()

    async with reading(money.ledger_dsn) as reader:
        first = await reader.list_entries(
            EntryFilter(), page_size=1000, page_token="", deadline=deadline_after(10.0)
        )
        whole = await list_all(reader, EntryFilter())
        statement = await read_statement(reader, StatementPeriod(ANNA, EUR, None, None))

    assert len(whole) == len({entry.chained.entry_id for entry in whole}) == 401
    for page in (first.entries, statement.lines):
        message = pb.ListEntriesResponse(entries=[entry_message(entry, _Euros()) for entry in page])
        assert 1_000_000 < message.ByteSize() < 4 * 2**20


class _Euros:
    def scale_of(self, code: str) -> int:
        return 2


async def test_a_read_that_outlives_its_deadline_is_given_up(money: Wallets) -> None:
    async with reading(money.ledger_dsn) as reader:
        with pytest.raises(LedgerUnavailable):
            await reader.trial_balance(None, deadline=deadline_after(-0.001))
        lines = await reader.trial_balance(None, deadline=deadline_after(10.0))

    assert lines == []


async def _next_millisecond() -> None:
    """Waits until the clock has moved on, so that two bookings have two times."""
    start = datetime.now(UTC)

    async def passed() -> bool:
        return datetime.now(UTC) - start > timedelta(milliseconds=2)

    await until(passed, what="the next millisecond")
