"""Holds and slips as their callers see them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from stakehold.v1 import ledger_service_pb2, money_pb2, transaction_pb2
from stakehold.v1 import sportsbook_service_pb2 as pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceStub
from stakehold.v1.wallet_service_pb2_grpc import WalletServiceStub
from tests.acceptance.seat import Seat
from tests.answers import Refused, refused
from tests.deployment import Deployment
from tests.steps import rollback
from tests.waiting import until
from tests.wallet_api import TIMEOUT_S

if TYPE_CHECKING:  # these exist for type checkers only
    from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceAsyncStub
    from stakehold.v1.sportsbook_service_pb2_grpc import SportsbookServiceAsyncStub
    from stakehold.v1.wallet_service_pb2_grpc import WalletServiceAsyncStub

BET, WITHDRAWAL = transaction_pb2.TRANSACTION_KIND_BET, transaction_pb2.TRANSACTION_KIND_WITHDRAWAL


def euros(amount: str, currency: str = "EUR") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency, amount=amount)


def moment(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Book:
    """A player at a sportsbook. Every call raises Refused for any answer other than OK."""

    seat: Seat
    wallets: "WalletServiceAsyncStub"
    slips: "SportsbookServiceAsyncStub"
    ledger: "LedgerServiceAsyncStub"

    async def ask(self, request: Message) -> Any:
        """The method whose request this is, for this player and source."""
        name = type(request).__name__.removesuffix("Request")
        stub = self.wallets if hasattr(self.wallets, name) else self.slips
        named = type(request)()
        named.CopyFrom(request)
        named.source_id, named.player_id = self.seat.source_id, self.seat.player_id  # type: ignore[attr-defined]
        try:
            return await getattr(stub, name)(named, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise refused(error) from None

    async def change(self, request: Message) -> transaction_pb2.TransactionResult:
        result = (await self.ask(request)).result
        assert isinstance(result, transaction_pb2.TransactionResult)
        return result

    async def state(self, request: Message) -> str:
        """Of the slip after a change."""
        return state_of((await self.change(request)).slip)

    async def refusal(self, request: Message) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.ask(request)
        return caught.value

    async def amounts(self) -> tuple[str, str]:
        """Cash and held."""
        balance = await self.seat.balance()
        return balance.cash, balance.held


def state_of(slip: transaction_pb2.Slip) -> str:
    return transaction_pb2.SlipState.Name(slip.state).removeprefix("SLIP_STATE_")


@pytest_asyncio.fixture
async def book(seat: Seat, deployment: Deployment) -> AsyncIterator[Book]:
    """A player with 100.00 EUR."""
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        yield Book(
            seat, WalletServiceStub(channel), SportsbookServiceStub(channel), LedgerServiceStub(channel)
        )


def held(
    name: str = "s", amount: str = "60", *, kind: transaction_pb2.TransactionKind.ValueType = BET
) -> Any:
    return wallet_pb.HoldRequest(transaction_id=name, kind=kind, amount=euros(amount))


async def test_a_hold_is_captured_in_part_and_the_rest_released(book: Book) -> None:
    hold = await book.change(held())
    assert (hold.outcome, state_of(hold.slip)) == (transaction_pb2.OUTCOME_APPLIED, "HELD")
    assert (hold.balance_after.cash, hold.balance_after.held) == ("40.00", "60.00")
    capture = wallet_pb.CaptureRequest(transaction_id="c", slip_id="s", amount=euros("45"), final=True)
    captured = await book.change(capture)
    assert (state_of(captured.slip), captured.slip.staked.amount) == ("OPEN", "45.00")
    again = await book.change(capture)
    assert (again.replayed, again.entry_id, again.slip) == (True, captured.entry_id, captured.slip)
    assert await book.amounts() == ("55.00", "0.00")
    over = await book.refusal(wallet_pb.CaptureRequest(transaction_id="c2", slip_id="s", amount=euros("1")))
    assert (over.code, over.reason) == ("FAILED_PRECONDITION", "HOLD_CLOSED")
    assert over.details.metadata["related_transaction_id"] == "c"


async def test_reserve_debit_debit_commit(book: Book) -> None:
    await book.change(held(amount="20"))
    for name, amount, state in (("d1", "12", "HELD"), ("d2", "8", "OPEN")):
        capture = wallet_pb.CaptureRequest(transaction_id=name, slip_id="s", amount=euros(amount))
        assert await book.state(capture) == state
    closed = await book.refusal(wallet_pb.ReleaseRequest(transaction_id="commit", slip_id="s"))
    assert closed.reason == "HOLD_CLOSED"
    assert await book.amounts() == ("80.00", "0.00")


async def test_cancelled_before_the_reserve(book: Book) -> None:
    await book.seat.one(rollback("cancel", "s"))
    assert (await book.refusal(held())).reason == "TRANSACTION_ROLLED_BACK"
    assert await book.amounts() == ("100.00", "0.00")


async def test_steps_of_one_call(book: Book) -> None:
    steps = [
        wallet_pb.TransactStep(hold=wallet_pb.HoldStep(transaction_id="s", kind=BET, amount=euros("20"))),
        wallet_pb.TransactStep(
            capture=wallet_pb.CaptureStep(transaction_id="c", slip_id="s", amount=euros("5"))
        ),
        wallet_pb.TransactStep(release=wallet_pb.ReleaseStep(transaction_id="r", slip_id="s")),
    ]
    answer = await book.ask(wallet_pb.TransactRequest(steps=steps))
    assert [state_of(result.slip) for result in answer.results] == ["OPEN"] * 3
    assert await book.amounts() == ("95.00", "0.00")


async def test_a_slip_from_the_stake_to_its_last_settlement(book: Book) -> None:
    place = pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"), game_id="derby")
    assert await book.state(place) == "OPEN"
    steps: list[tuple[Message, str, str]] = [
        (pb.SettleSlipRequest(transaction_id="w", slip_id="s", amount=euros("25")), "SETTLED", "115.00"),
        (pb.ResettleSlipRequest(transaction_id="x1", slip_id="s", total=euros("40")), "SETTLED", "130.00"),
        (pb.ResettleSlipRequest(transaction_id="x2", slip_id="s", total=euros("0")), "SETTLED", "90.00"),
        (pb.ResettleSlipRequest(transaction_id="x3", slip_id="s", total=euros("0")), "SETTLED", "90.00"),
        (pb.UnsettleSlipRequest(transaction_id="u", slip_id="s"), "OPEN", "90.00"),
        (pb.VoidSlipRequest(transaction_id="v", slip_id="s"), "VOIDED", "100.00"),
        (pb.ReopenSlipRequest(transaction_id="o", slip_id="s"), "OPEN", "90.00"),
        (
            pb.CashOutSlipRequest(transaction_id="co", slip_id="s", amount=euros("6"), stake=euros("4")),
            "OPEN",
            "96.00",
        ),
        (
            pb.SettleSlipRequest(transaction_id="p", slip_id="s", amount=euros("3"), partial=True),
            "OPEN",
            "99.00",
        ),
        (pb.SettleSlipRequest(transaction_id="l", slip_id="s", amount=euros("0")), "SETTLED", "99.00"),
    ]
    for request, state, cash in steps:
        assert (await book.state(request), await book.seat.cash()) == (state, cash), request
    answer = await book.ask(pb.GetSlipRequest(slip_id="s"))
    slip = answer.slip
    assert answer.wallet_currency_code == "EUR"
    assert (slip.staked.amount, slip.live.amount, slip.paid.amount, slip.cashed.amount) == (
        "10.00",
        "6.00",
        "3.00",
        "6.00",
    )
    assert slip.last_transaction_id == "l"
    undone = await book.seat.one(rollback("r", "l"))
    assert undone.outcome == "APPLIED"
    assert (await book.ask(pb.GetSlipRequest(slip_id="s"))).slip.undone_by_transaction_id == "r"


async def test_the_ledger_tells_each_change_of_a_slip(book: Book) -> None:
    await book.change(pb.PlaceSlipRequest(transaction_id="s", stake=euros("10")))
    await book.change(pb.SettleSlipRequest(transaction_id="w", slip_id="s", amount=euros("25")))
    await book.change(held("h", "60", kind=WITHDRAWAL))
    await book.change(wallet_pb.CaptureRequest(transaction_id="paid", slip_id="h", amount=euros("60")))
    wanted = ledger_service_pb2.ListEntriesRequest(
        player_id=book.seat.player_id, source_id=book.seat.source_id
    )

    async def all_there() -> bool:
        return len((await book.ledger.ListEntries(wanted, timeout=TIMEOUT_S)).entries) == 4

    await until(all_there, what="the slips are in the ledger")
    entries = (await book.ledger.ListEntries(wanted, timeout=TIMEOUT_S)).entries
    assert [entry.title for entry in entries] == [
        "Bet Placed",
        "Slip Settled",
        "Withdrawal Held",
        "Withdrawal Sent",
    ]
    assert [state_of(entry.slip) for entry in entries] == ["OPEN", "SETTLED", "HELD", "CAPTURED"]
    assert [
        [(posting.owner_kind, posting.bucket, posting.amount.amount) for posting in entry.postings]
        for entry in entries[1:]
    ] == [
        [("player", "cash", "25.00"), ("source", "settlement", "-25.00")],
        [("player", "cash", "-60.00"), ("player", "held", "60.00")],
        [("player", "held", "-60.00"), ("source", "clearing", "60.00")],
    ]
    page = await book.ask(pb.ListSlipsRequest(page_size=1))
    [newest] = page.slips
    assert (newest.slip.slip_id, newest.kind, state_of(newest.slip)) == ("h", WITHDRAWAL, "CAPTURED")
    [other] = (await book.ask(pb.ListSlipsRequest(page_size=1, page_token=page.next_page_token))).slips
    assert other.slip.slip_id == "s"
    settled = await book.ask(pb.ListSlipsRequest(states=[transaction_pb2.SLIP_STATE_SETTLED]))
    assert [each.slip.slip_id for each in settled.slips] == ["s"]


REFUSALS: dict[str, tuple[list[Message], Message]] = {
    "HOLD_CLOSED": (
        [pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"))],
        wallet_pb.ReleaseRequest(transaction_id="t", slip_id="s"),
    ),
    "HOLD_RELEASED": (
        [held(), wallet_pb.ReleaseRequest(transaction_id="r", slip_id="s")],
        wallet_pb.CaptureRequest(transaction_id="t", slip_id="s", amount=euros("1")),
    ),
    "HOLD_EXPIRED": (
        [
            wallet_pb.HoldRequest(
                transaction_id="s", kind=BET, amount=euros("5"), expire_time=moment(1_000_000_000)
            )
        ],
        wallet_pb.CaptureRequest(transaction_id="t", slip_id="s", amount=euros("1")),
    ),
    "HOLD_EXCEEDED": (
        [held()],
        wallet_pb.CaptureRequest(transaction_id="t", slip_id="s", amount=euros("60.01")),
    ),
    "SLIP_NOT_PLACED": (
        [held()],
        pb.SettleSlipRequest(transaction_id="t", slip_id="s", amount=euros("1")),
    ),
    "SLIP_SETTLED": (
        [
            pb.PlaceSlipRequest(transaction_id="s", stake=euros("10")),
            pb.SettleSlipRequest(transaction_id="w", slip_id="s", amount=euros("0")),
        ],
        pb.VoidSlipRequest(transaction_id="t", slip_id="s"),
    ),
    "SLIP_NOT_SETTLED": (
        [pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"))],
        pb.ResettleSlipRequest(transaction_id="t", slip_id="s", total=euros("1")),
    ),
    "SLIP_VOIDED": (
        [
            pb.PlaceSlipRequest(transaction_id="s", stake=euros("10")),
            pb.VoidSlipRequest(transaction_id="v", slip_id="s"),
        ],
        pb.SettleSlipRequest(transaction_id="t", slip_id="s", amount=euros("1")),
    ),
    "SLIP_NOT_VOIDED": (
        [pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"))],
        pb.ReopenSlipRequest(transaction_id="t", slip_id="s"),
    ),
    "SLIP_CASHED_OUT": (
        [
            pb.PlaceSlipRequest(transaction_id="s", stake=euros("10")),
            pb.CashOutSlipRequest(transaction_id="x", slip_id="s", amount=euros("9")),
        ],
        pb.SettleSlipRequest(transaction_id="t", slip_id="s", amount=euros("1")),
    ),
    "STAKE_EXCEEDED": (
        [pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"))],
        pb.CashOutSlipRequest(transaction_id="t", slip_id="s", amount=euros("9"), stake=euros("10.01")),
    ),
    "SLIP_MOVED_ON": (
        [
            pb.PlaceSlipRequest(transaction_id="s", stake=euros("10")),
            pb.SettleSlipRequest(transaction_id="w", slip_id="s", amount=euros("1")),
        ],
        wallet_pb.RollbackRequest(transaction_id="t", original_transaction_id="s"),
    ),
    "REFERENCE_NOT_FOUND": ([], pb.VoidSlipRequest(transaction_id="t", slip_id="s")),
    "REFERENCE_MISMATCH": (
        [pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"))],
        pb.SettleSlipRequest(transaction_id="t", slip_id="s", amount=euros("1", "USD")),
    ),
    "INSUFFICIENT_FUNDS": ([], held(amount="100.01")),
    "VERSION_MISMATCH": (
        [pb.PlaceSlipRequest(transaction_id="s", stake=euros("10"))],
        pb.VoidSlipRequest(transaction_id="t", slip_id="s", expected_version=2),
    ),
    "SLIP_NOT_FOUND": ([], pb.GetSlipRequest(slip_id="s")),
}
PASSING = {"SLIP_NOT_PLACED", "REFERENCE_NOT_FOUND", "VERSION_MISMATCH", "SLIP_NOT_FOUND"}
CODES = {
    "REFERENCE_NOT_FOUND": "NOT_FOUND",
    "SLIP_NOT_FOUND": "NOT_FOUND",
    "VERSION_MISMATCH": "ABORTED",
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_what_is_refused_says_why_and_moves_nothing(book: Book, reason: str) -> None:
    before, request = REFUSALS[reason]
    for step in before:
        await book.ask(step)
    amounts = await book.amounts()
    told = await book.refusal(request)
    assert (told.code, told.reason) == (CODES.get(reason, "FAILED_PRECONDITION"), reason)
    assert await book.amounts() == amounts
    again = await book.refusal(request)
    assert again.reason == reason
    assert bool(again.details.refusal and again.details.refusal.replayed) == (reason not in PASSING)


MALFORMED: dict[str, Message] = {
    "kind": wallet_pb.HoldRequest(
        transaction_id="s", kind=transaction_pb2.TRANSACTION_KIND_TIP, amount=euros("1")
    ),
    "amount": held(amount="0"),
    "amount.amount": held(amount="1.001"),
    "expire_time": wallet_pb.HoldRequest(
        transaction_id="s", kind=BET, amount=euros("1"), expire_time=moment(-1)
    ),
    "transaction_id": wallet_pb.ReleaseRequest(transaction_id="s", slip_id="s"),
    "slip_id": pb.VoidSlipRequest(transaction_id="t"),
    "stake": pb.CashOutSlipRequest(transaction_id="t", slip_id="s", amount=euros("1"), stake=euros("0")),
    "stake.currency_code": pb.CashOutSlipRequest(
        transaction_id="t", slip_id="s", amount=euros("1"), stake=euros("1", "USD")
    ),
    "total": pb.ResettleSlipRequest(transaction_id="t", slip_id="s"),
    "expected_version": pb.UnsettleSlipRequest(transaction_id="t", slip_id="s", expected_version=0),
    "states[0]": pb.ListSlipsRequest(states=[77]),  # type: ignore[list-item]
    "steps[0].capture.slip_id": wallet_pb.TransactRequest(
        steps=[wallet_pb.TransactStep(capture=wallet_pb.CaptureStep(transaction_id="c", amount=euros("1")))]
    ),
}


@pytest.mark.parametrize("field", MALFORMED)
async def test_what_is_malformed_is_told_with_its_field(book: Book, field: str) -> None:
    told = await book.refusal(MALFORMED[field])
    assert (told.code, told.reason, told.details.fields) == ("INVALID_ARGUMENT", "INVALID_FIELD", (field,))


@pytest.mark.parametrize(
    "make", [lambda: held("s", "1"), lambda: pb.PlaceSlipRequest(transaction_id="s", stake=euros("1"))]
)
async def test_a_frozen_wallet_opens_no_slip_but_settles_those_it_has(
    book: Book, make: Callable[[], Message]
) -> None:
    await book.change(pb.PlaceSlipRequest(transaction_id="earlier", stake=euros("10")))
    await book.change(held("held", "20"))
    await book.seat.api.set_status(book.seat.player_id, "EUR", "DEBITS_FROZEN")
    assert (await book.refusal(make())).reason == "WALLET_FROZEN"
    settle = pb.SettleSlipRequest(transaction_id="w", slip_id="earlier", amount=euros("25"))
    assert await book.state(settle) == "SETTLED"
    capture = wallet_pb.CaptureRequest(transaction_id="c", slip_id="held", amount=euros("20"))
    assert await book.state(capture) == "OPEN"
    assert await book.amounts() == ("95.00", "0.00")


async def test_parallel_captures_never_take_more_than_is_held(book: Book) -> None:
    await book.change(held(amount="60"))

    async def one(number: int) -> str:
        capture = wallet_pb.CaptureRequest(transaction_id=f"c{number}", slip_id="s", amount=euros("10"))
        try:
            await book.ask(capture)
        except Refused as told:
            return told.reason
        return "captured"

    calls: list[Awaitable[str]] = [one(number) for number in range(20)]
    told = await asyncio.gather(*calls)
    assert told.count("captured") == 6
    assert {*told} <= {"captured", "HOLD_EXCEEDED", "HOLD_CLOSED"}
    assert await book.amounts() == ("40.00", "0.00")
