"""LedgerService over a real channel: what was played stands in the ledger, in words that people use."""

from collections.abc import AsyncIterator, Awaitable
from itertools import pairwise
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio

from stakehold.v1 import error_reason_pb2, transaction_pb2
from stakehold.v1 import ledger_service_pb2 as pb
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused, refused
from tests.deployment import Deployment
from tests.reference import Rollback
from tests.steps import bet, win
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S, WalletApi

if TYPE_CHECKING:  # this exists for type checkers only
    from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub

ROLLBACK = transaction_pb2.TRANSACTION_KIND_ROLLBACK


@pytest_asyncio.fixture(scope="session")
async def ledger(deployment: Deployment) -> AsyncIterator["LedgerServiceAsyncStub"]:
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        yield LedgerServiceStub(channel)


@pytest_asyncio.fixture
async def played(seat: Seat, ledger: "LedgerServiceAsyncStub") -> Seat:
    """A bet won, a bet rolled back, a bet refused, and a rollback before its bet; all drained."""
    await seat.play(bet("b1", "10", round_id="r1", game_id="slots"))
    await seat.play(win("w1", "25", round_id="r1", game_id="slots"))
    await seat.play(bet("b2", "5", round_id="r2", game_id="slots"))
    await seat.play(Rollback("x2", "b2"))
    await seat.refused(bet("b3", "999"))
    await seat.play(Rollback("x4", "b4"))

    async def drained() -> bool:
        return len((await listed(ledger, seat)).entries) == 9

    await until(drained, what="the player's entries are in the ledger")
    return seat


async def listed(ledger: "LedgerServiceAsyncStub", seat: Seat) -> pb.ListEntriesResponse:
    return await ledger.ListEntries(pb.ListEntriesRequest(player_id=seat.player_id), timeout=TIMEOUT_S)


async def refusal(call: Awaitable[object]) -> Refused:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return refused(caught.value)


async def test_the_ledger_says_what_happened_not_only_how_much(
    played: Seat, ledger: "LedgerServiceAsyncStub"
) -> None:
    entries = (await listed(ledger, played)).entries

    assert [entry.title for entry in entries] == [
        "Wallet Opened",
        "Deposit Received",
        "Bet Placed",
        "Win Settled",
        "Bet Placed",
        "Bet Placed (rolled back)",
        "Bet Placed (refused)",
        "Rollback Without Movement",
        "Rollback Came First",
    ]
    undone, undoing = entries[4], entries[5]
    assert undone.rolled_back_by_transaction_id == undoing.transaction_id == "x2"
    assert (undoing.kind, undoing.reference_transaction_id) == (ROLLBACK, "b2")
    assert entries[6].refusal_reason == error_reason_pb2.ERROR_REASON_INSUFFICIENT_FUNDS
    assert entries[7].outcome == transaction_pb2.OUTCOME_NO_ORIGINAL
    assert [entry.version for entry in entries] == [1, 2, 3, 4, 5, 6, 0, 0, 0]
    assert all(earlier.hash != later.hash for earlier, later in pairwise(entries))


async def test_an_entry_has_the_id_that_its_caller_was_given(
    played: Seat, ledger: "LedgerServiceAsyncStub"
) -> None:
    replayed = await played.one(bet("b1", "10", round_id="r1", game_id="slots"))

    (entry,) = [entry for entry in (await listed(ledger, played)).entries if entry.transaction_id == "b1"]

    assert entry.entry_id == replayed.entry_id


async def test_pages_make_up_the_whole_list(played: Seat, ledger: "LedgerServiceAsyncStub") -> None:
    whole = (await listed(ledger, played)).entries
    request = pb.ListEntriesRequest(player_id=played.player_id, page_size=4)
    entries: list[pb.Entry] = []
    while True:
        page = await ledger.ListEntries(request, timeout=TIMEOUT_S)
        entries += page.entries
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token

    assert entries == list(whole)


async def test_a_statement_adds_up(played: Seat, ledger: "LedgerServiceAsyncStub") -> None:
    statement = await ledger.GetStatement(
        pb.GetStatementRequest(player_id=played.player_id, currency_code="EUR"), timeout=TIMEOUT_S
    )

    assert [(line.entry.title, line.change, line.running_balance) for line in statement.lines] == [
        ("Deposit Received", "100.00", "100.00"),
        ("Bet Placed", "-10.00", "90.00"),
        ("Win Settled", "25.00", "115.00"),
        ("Bet Placed", "-5.00", "110.00"),
        ("Bet Placed (rolled back)", "5.00", "115.00"),
    ]
    assert (statement.opening_balance, statement.closing_balance) == ("0.00", "115.00")
    assert (statement.player_id, statement.currency_code) == (played.player_id, "EUR")


async def test_a_past_balance_is_read_by_version_and_by_time(
    played: Seat, ledger: "LedgerServiceAsyncStub"
) -> None:
    by_version = await ledger.GetBalanceAt(
        pb.GetBalanceAtRequest(player_id=played.player_id, currency_code="EUR", version=3), timeout=TIMEOUT_S
    )
    entries = (await listed(ledger, played)).entries
    by_time = await ledger.GetBalanceAt(
        pb.GetBalanceAtRequest(player_id=played.player_id, currency_code="EUR", time=entries[5].booked_time),
        timeout=TIMEOUT_S,
    )

    assert (by_version.balance.cash, by_version.balance.version) == ("90.00", 3)
    assert by_version.balance.status == transaction_pb2.WALLET_STATUS_ACTIVE
    assert by_version.booked_time == entries[2].booked_time
    assert (by_time.balance.cash, by_time.balance.version) == ("115.00", 6)


async def test_the_trial_balance_is_zero_in_every_currency(
    played: Seat, ledger: "LedgerServiceAsyncStub"
) -> None:
    trial = await ledger.GetTrialBalance(pb.GetTrialBalanceRequest(), timeout=TIMEOUT_S)
    euros = await ledger.GetTrialBalance(pb.GetTrialBalanceRequest(currency_code="EUR"), timeout=TIMEOUT_S)

    assert all(not any(digit in total.amount for digit in "123456789") for total in trial.totals)
    assert [total.amount for total in euros.totals] == ["0.00"]
    settlement = [line for line in euros.lines if line.owner_id == played.source_id]
    assert [(line.owner_kind, line.bucket, line.balance.amount) for line in settlement] == [
        ("source", "settlement", "-15.00")
    ]


async def test_an_audit_of_one_player_ends_with_its_summary(
    played: Seat, ledger: "LedgerServiceAsyncStub"
) -> None:
    request = pb.AuditRequest(player_id=played.player_id)
    events = [event async for event in ledger.Audit(request, timeout=TIMEOUT_S)]

    assert [event.WhichOneof("event") for event in events] == ["summary"]
    summary = events[0].summary
    assert (summary.entry_count, summary.posting_count, summary.wallet_count) == (9, 10, 1)


async def test_what_the_ledger_does_not_have_is_not_found(
    played: Seat, ledger: "LedgerServiceAsyncStub"
) -> None:
    unknown = await refusal(
        ledger.GetStatement(
            pb.GetStatementRequest(player_id="nobody at all", currency_code="EUR"), timeout=TIMEOUT_S
        )
    )
    later = await refusal(
        ledger.GetBalanceAt(
            pb.GetBalanceAtRequest(player_id=played.player_id, currency_code="EUR", version=99),
            timeout=TIMEOUT_S,
        )
    )

    assert (unknown.code, unknown.reason) == ("NOT_FOUND", "WALLET_NOT_FOUND")
    assert (later.code, later.reason) == ("NOT_FOUND", "BALANCE_NOT_FOUND")


async def test_malformed_reads_are_refused(played: Seat, ledger: "LedgerServiceAsyncStub") -> None:
    of_token = await refusal(
        ledger.ListEntries(pb.ListEntriesRequest(page_token="nonsense"), timeout=TIMEOUT_S)
    )
    of_currency = await refusal(
        ledger.GetTrialBalance(pb.GetTrialBalanceRequest(currency_code="XXX"), timeout=TIMEOUT_S)
    )
    of_point = await refusal(
        ledger.GetBalanceAt(
            pb.GetBalanceAtRequest(player_id=played.player_id, currency_code="EUR"), timeout=TIMEOUT_S
        )
    )

    assert (of_token.code, of_token.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert (of_currency.code, of_currency.reason) == ("INVALID_ARGUMENT", "CURRENCY_UNKNOWN")
    assert (of_point.code, of_point.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_amounts_have_their_currencys_decimals(
    api: WalletApi, ledger: "LedgerServiceAsyncStub"
) -> None:
    seat = await seated(api, start="1", currency="ETH")
    await seat.play(bet("b1", "0.000000000000000001", "ETH"))

    async def drained() -> bool:
        return len((await listed(ledger, seat)).entries) == 3

    await until(drained, what="the player's entries are in the ledger")
    (_, _, entry) = (await listed(ledger, seat)).entries

    assert entry.balance_after.cash == "0.999999999999999999"
    assert entry.postings[0].amount.amount == "-0.000000000000000001"
