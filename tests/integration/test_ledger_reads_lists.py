"""Lists of entries, read from a ledger that the engine and the drainer filled."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from persistence.errors import LedgerUnavailable, PageTokenInvalid
from persistence.postgres.reading.entry_lists import EntryFilter
from persistence.postgres.reading.statements import StatementPeriod
from persistence.transactions import (
    EntryType,
    TransactionKind,
)
from persistence.valkey.engine import deadline_after
from service.conversions.ledger import entry_message
from service.embedded import EmbeddedValkey, embedded_valkey
from stakehold.v1 import ledger_service_pb2 as pb
from tests.drained_ledger import EUR, Wallets, movement, rollback, wallets
from tests.evening_ledger import (
    ANNA,
    BET,
    BOB,
    DEPOSIT,
    TIP,
    WIN,
    an_evening,
    ids,
    list_all,
    moment,
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


async def test_a_list_has_every_entry_once_in_the_order_of_booking(evening: str) -> None:
    async with reading(evening) as reader:
        whole = await list_all(reader, EntryFilter())
        by_threes = await list_all(reader, EntryFilter(), page_size=3)
        by_ones = await list_all(reader, EntryFilter(), page_size=1)

    assert len(whole) == 16
    assert by_threes == whole
    assert by_ones == whole
    places = [(e.chained.booked_ms, e.chained.entry_id.partition, e.chained.chain_position) for e in whole]
    assert places == sorted(places)
    assert {recorded.chained.entry.type for recorded in whole} == set(EntryType)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (EntryFilter(player_id="bob"), ["open-EUR", "d1", "b1", "c9"]),
        (EntryFilter(player_id="anna", currency="USD"), ["open-USD"]),
        (EntryFilter(player_id="anna", round_id="r1"), ["b1", "w1"]),
        (EntryFilter(round_id="r9"), ["b1", "c9"]),
        (EntryFilter(kinds=(TransactionKind.ROUND_CLOSING,)), ["c9"]),
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
