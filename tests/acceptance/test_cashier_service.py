"""Deposits, withdrawals and corrections as a payment service and the house's people meet them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from stakehold.v1 import ledger_service_pb2 as ledger_pb
from stakehold.v1.error_reason_pb2 import ErrorReason
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.cashier_api import (
    TIMEOUT_S,
    CashierApi,
    cashier_api,
    correction_state,
    deposit_state,
    withdrawal_state,
)
from tests.deployment import Deployment
from tests.reference import Policies
from tests.steps import bet, debit, rollback
from tests.waiting import until
from tests.wallet_api import WalletApi

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def at_the_desk(seat: Seat, deployment: Deployment) -> AsyncIterator[CashierApi]:
    async with cashier_api(deployment.address, seat.source_id, seat.player_id) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def desk(seat: Seat, deployment: Deployment) -> AsyncIterator[CashierApi]:
    """A player with 100.00 EUR."""
    async with at_the_desk(seat, deployment) as opened:
        yield opened


async def money(seat: Seat) -> tuple[str, str, str]:
    balance = await seat.balance()
    return balance.cash, balance.bonus, balance.held


async def entries_of(deployment: Deployment, player: str, count: int) -> list[ledger_pb.Entry]:
    """The player's entries, oldest first, once there are so many."""
    found: list[ledger_pb.Entry] = []
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        stub = LedgerServiceStub(channel)

        async def there() -> bool:
            request = ledger_pb.ListEntriesRequest(player_id=player, page_size=100)
            found[:] = (await stub.ListEntries(request, timeout=TIMEOUT_S)).entries
            return len(found) >= count

        await until(there, what=f"{count} entries of {player}")
    return found


# Deposits


async def test_a_deposit_is_credited_once_however_often_it_is_told(desk: CashierApi, seat: Seat) -> None:
    created = await desk.deposit("d1", "50.00")
    again = await desk.deposit("d1", "50.00")
    await desk.about_deposit("MarkDepositPending", "d1")
    answers = [await desk.ask("CreditDeposit", deposit_id="d1", amount="50.00") for _ in range(3)]

    assert (created.replayed, again.replayed) == (False, True)
    assert [deposit_state(answer.deposit) for answer in answers] == ["CREDITED"] * 3
    assert [answer.replayed for answer in answers] == [False, True, True]
    assert len({answer.deposit.credit_entry_id for answer in answers} - {""}) == 1
    assert await money(seat) == ("150.00", "0.00", "0.00")


async def test_fifty_credits_at_once_credit_once(desk: CashierApi, seat: Seat) -> None:
    await desk.deposit("d1", "50.00")

    states = await asyncio.gather(*(desk.about_deposit("CreditDeposit", "d1") for _ in range(50)))

    assert set(states) <= {"CREDITED", "CREDITING"}
    assert await seat.cash() == "150.00"


async def test_a_deposit_id_with_another_content_is_a_conflict(desk: CashierApi) -> None:
    await desk.deposit("d1", "50.00")

    with pytest.raises(Refused) as refused:
        await desk.deposit("d1", "51.00")

    assert (refused.value.code, refused.value.reason) == ("ALREADY_EXISTS", "CASE_ID_CONFLICT")


async def test_a_deposit_credited_again_with_another_amount_is_refused_and_raised(
    desk: CashierApi, seat: Seat
) -> None:
    await desk.deposit("d1", "50.00")
    await desk.about_deposit("CreditDeposit", "d1")

    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await desk.about_deposit("CreditDeposit", "d1", amount="51.00")
        assert refused.value.reason == "INVALID_TRANSITION"
        assert refused.value.details.metadata["state"] == "credited"

    assert await seat.cash() == "150.00"
    assert await desk.reviews() == ["CASHIER_CONTRADICTION"]


async def test_a_failed_deposit_moves_nothing_and_cannot_be_credited_or_charged_back(
    desk: CashierApi, seat: Seat
) -> None:
    await desk.deposit("d1")
    assert await desk.about_deposit("FailDeposit", "d1", reason="card declined") == "FAILED"
    assert await desk.about_deposit("FailDeposit", "d1") == "FAILED"

    for rpc in ("CreditDeposit", "ChargeBackDeposit"):
        with pytest.raises(Refused) as refused:
            await desk.about_deposit(rpc, "d1")
        assert refused.value.reason == "INVALID_TRANSITION"

    assert await seat.cash() == "100.00"
    assert await desk.reviews() == ["CASHIER_CONTRADICTION"] * 2


async def test_a_chargeback_takes_the_deposit_back_once_and_is_called_so(
    desk: CashierApi, seat: Seat, deployment: Deployment
) -> None:
    await desk.deposit("d1", "50.00")
    await desk.about_deposit("CreditDeposit", "d1")

    states = [await desk.about_deposit("ChargeBackDeposit", "d1", reason="stolen card") for _ in range(3)]

    assert states == ["CHARGED_BACK"] * 3
    assert await seat.cash() == "100.00"
    newest = (await entries_of(deployment, seat.player_id, 4))[-1]
    assert newest.title == "Deposit Charged Back"
    assert newest.metadata["stakehold.deposit"] == "d1"
    assert newest.metadata["stakehold.ending_reason"] == "stolen card"


@pytest.mark.parametrize(
    ("shortfall", "cash", "receivable"),
    [("NEGATIVE", "-30.00", "0.00"), ("CLAMP", "0.00", "30.00")],
)
async def test_a_chargeback_of_money_that_is_gone_follows_the_sources_policy(
    api: WalletApi, deployment: Deployment, shortfall: str, cash: str, receivable: str
) -> None:
    seat = await seated(api, start="", policies=Policies(shortfall=shortfall))
    async with at_the_desk(seat, deployment) as desk:
        await desk.deposit("d1", "50.00")
        await desk.about_deposit("CreditDeposit", "d1")
        await seat.one(bet("b1", "30.00"))

        state = await desk.about_deposit("ChargeBackDeposit", "d1")

    balance = await seat.balance()
    assert (state, balance.cash, balance.receivable) == ("CHARGED_BACK", cash, receivable)


async def test_a_chargeback_that_the_policy_rejects_is_raised_and_may_be_told_again(
    api: WalletApi, deployment: Deployment
) -> None:
    seat = await seated(api, start="", policies=Policies(shortfall="REJECT"))
    async with at_the_desk(seat, deployment) as desk:
        await desk.deposit("d1", "50.00")
        await desk.about_deposit("CreditDeposit", "d1")
        await seat.one(bet("b1", "30.00"))

        with pytest.raises(Refused) as refused:
            await desk.about_deposit("ChargeBackDeposit", "d1")

        assert refused.value.reason == "INSUFFICIENT_FUNDS"
        assert await seat.cash() == "20.00"
        assert await desk.reviews() == ["CASHIER_STUCK"]
        got = await desk.ask("GetDeposit", deposit_id="d1")
        assert deposit_state(got.deposit) == "CREDITED"
        assert got.deposit.refusal_reason == ErrorReason.ERROR_REASON_INSUFFICIENT_FUNDS

        await seat.one(rollback("rb1", "b1"))
        assert await desk.about_deposit("ChargeBackDeposit", "d1") == "CHARGED_BACK"
        assert await seat.cash() == "0.00"


async def test_a_deposit_without_a_wallet_is_credited_once_there_is_one(
    api: WalletApi, deployment: Deployment
) -> None:
    seat = await seated(api, start="")
    async with cashier_api(deployment.address, seat.source_id, f"{seat.player_id}-new") as desk:
        await desk.deposit("d1", "50.00")
        with pytest.raises(Refused) as refused:
            await desk.about_deposit("CreditDeposit", "d1")
        assert refused.value.reason == "WALLET_NOT_FOUND"
        assert await desk.reviews() == ["CASHIER_STUCK"]

        await api.open_wallet(desk.player, "EUR")
        assert await desk.about_deposit("CreditDeposit", "d1") == "CREDITED"

    [balance] = await api.balances(desk.player)
    assert balance.cash == "50.00"


async def test_a_deposit_for_a_closed_wallet_is_refused_again_and_again_and_raised_once(
    desk: CashierApi, seat: Seat
) -> None:
    await desk.deposit("d1")
    await seat.api.set_status(seat.player_id, "EUR", "CLOSED")

    answers = []
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await desk.about_deposit("CreditDeposit", "d1")
        answers.append(refused.value)

    assert [answer.reason for answer in answers] == ["WALLET_CLOSED"] * 2
    assert [answer.details.refusal.replayed for answer in answers if answer.details.refusal] == [False, True]
    assert await desk.reviews() == ["CASHIER_STUCK"]


async def test_a_deposit_that_never_came_expires_and_is_not_credited_later(
    desk: CashierApi, seat: Seat
) -> None:
    await desk.deposit("d1", expire_time=Timestamp(seconds=1))
    await desk.deposit("d2", expire_time=Timestamp(seconds=1))

    with pytest.raises(Refused) as refused:
        await desk.about_deposit("CreditDeposit", "d1")

    assert refused.value.details.metadata["state"] == "expired"
    assert await seat.cash() == "100.00"
    got = await desk.ask("GetDeposit", deposit_id="d1")
    assert [(said.message, said.accepted, said.state_after) for said in got.messages] == [
        ("open", True, "created"),
        ("expire", True, "expired"),
        ("credit", False, "expired"),
    ]


# Withdrawals


async def test_a_withdrawal_holds_the_money_and_paid_three_times_takes_it_once(
    desk: CashierApi, seat: Seat
) -> None:
    answer = await desk.withdrawal("w1", "60.00")
    assert withdrawal_state(answer.withdrawal) == "REQUESTED"
    assert await money(seat) == ("40.00", "0.00", "60.00")
    await desk.about_withdrawal("ApproveWithdrawal", "w1", approver="alice")
    await desk.about_withdrawal("MarkWithdrawalSent", "w1", references={"tx_hash": "0x1"})

    states = [await desk.about_withdrawal("MarkWithdrawalPaid", "w1") for _ in range(3)]

    assert states == ["PAID"] * 3
    assert await money(seat) == ("40.00", "0.00", "0.00")


async def test_a_withdrawal_that_failed_three_times_gives_the_money_back_once(
    desk: CashierApi, seat: Seat
) -> None:
    await desk.sent_withdrawal("w1", "60.00")

    states = [await desk.about_withdrawal("FailWithdrawal", "w1", reason="no such iban") for _ in range(3)]

    assert states == ["FAILED"] * 3
    assert await money(seat) == ("100.00", "0.00", "0.00")


@pytest.mark.parametrize(
    ("first", "then", "state", "left"),
    [
        ("MarkWithdrawalPaid", "FailWithdrawal", "paid", "40.00"),
        ("FailWithdrawal", "MarkWithdrawalPaid", "failed", "100.00"),
    ],
)
async def test_contradictory_ends_of_a_withdrawal_are_refused_and_raised(
    desk: CashierApi, seat: Seat, first: str, then: str, state: str, left: str
) -> None:
    await desk.sent_withdrawal("w1", "60.00")
    await desk.about_withdrawal(first, "w1")

    with pytest.raises(Refused) as refused:
        await desk.about_withdrawal(then, "w1")

    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "INVALID_TRANSITION")
    assert refused.value.details.metadata["state"] == state
    assert await money(seat) == (left, "0.00", "0.00")
    assert await desk.reviews() == ["CASHIER_CONTRADICTION"]


async def test_of_paid_and_failed_at_once_exactly_one_wins(desk: CashierApi, seat: Seat) -> None:
    for number in range(10):
        name = f"w{number}"
        await desk.sent_withdrawal(name, "10.00")
        before = await seat.cash()
        told = [
            desk.about_withdrawal(rpc, name)
            for rpc in ("MarkWithdrawalPaid", "FailWithdrawal", "MarkWithdrawalPaid", "FailWithdrawal")
        ]

        answers = await asyncio.gather(*told, return_exceptions=True)

        ended = {answer for answer in answers if isinstance(answer, str)}
        refused = [answer for answer in answers if isinstance(answer, Refused)]
        assert {answer.reason for answer in refused} <= {"INVALID_TRANSITION"}
        assert len(refused) == 2
        assert ended in ({"PAID"}, {"FAILED"}, {"PAID", "PAYING"}, {"FAILED", "FAILING"})
        got = await desk.ask("GetWithdrawal", withdrawal_id=name)
        is_paid = withdrawal_state(got.withdrawal) == "PAID"
        gained = float(await seat.cash()) - float(before)
        assert gained == (0.0 if is_paid else 10.0)
    assert (await seat.balance()).held == "0.00"


async def test_more_than_there_is_is_refused_as_a_hold_is_and_stays_refused(
    desk: CashierApi, seat: Seat
) -> None:
    answers = []
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await desk.withdrawal("w1", "100.01")
        answers.append(refused.value)
        await seat.one(debit("t1", "TIP", "1.00"))

    assert [answer.reason for answer in answers] == ["INSUFFICIENT_FUNDS"] * 2
    for answer, replayed in zip(answers, (False, True), strict=True):
        told = answer.details.refusal
        assert told is not None
        assert told.balance is not None
        assert (told.transaction_id, told.replayed, told.balance.cash) == ("w1", replayed, "100.00")
    assert await money(seat) == ("99.00", "0.00", "0.00")


async def test_without_a_wallet_a_withdrawal_is_refused_and_not_held_later(
    api: WalletApi, deployment: Deployment, seat: Seat
) -> None:
    player = f"{seat.player_id}-new"
    async with cashier_api(deployment.address, seat.source_id, player) as desk:
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await desk.withdrawal("w1", "10.00")
            assert refused.value.reason == "WALLET_NOT_FOUND"
            await api.open_wallet(player, "EUR")


async def test_only_cash_is_withdrawable_whatever_the_credit_line(
    api: WalletApi, deployment: Deployment
) -> None:
    seat = await seated(api, credit_line="500.00")
    async with at_the_desk(seat, deployment) as desk:
        with pytest.raises(Refused) as refused:
            await desk.withdrawal("w1", "100.01")
        assert refused.value.reason == "INSUFFICIENT_FUNDS"
        await desk.withdrawal("w2", "100.00")

    assert await money(seat) == ("0.00", "0.00", "100.00")


async def test_nobody_but_the_cashier_moves_what_a_withdrawal_holds(desk: CashierApi, seat: Seat) -> None:
    await desk.withdrawal("w1", "60.00")

    await seat.one(rollback("rb1", "w1"))

    assert await money(seat) == ("40.00", "0.00", "60.00")


@pytest.mark.parametrize(
    ("rpc", "fields", "state"),
    [
        ("RejectWithdrawal", {"rejected_by": "alice", "reason": "fraud"}, "REJECTED"),
        ("CancelWithdrawal", {"reason": "changed my mind"}, "CANCELLED"),
    ],
)
async def test_before_it_is_sent_a_withdrawal_can_be_taken_back(
    desk: CashierApi, seat: Seat, rpc: str, fields: dict[str, str], state: str
) -> None:
    await desk.withdrawal("w1", "60.00")

    assert await desk.about_withdrawal(rpc, "w1", **fields) == state
    assert await desk.about_withdrawal(rpc, "w1", **fields) == state
    with pytest.raises(Refused) as refused:
        await desk.about_withdrawal("MarkWithdrawalPaid", "w1")

    assert refused.value.reason == "INVALID_TRANSITION"
    assert await money(seat) == ("100.00", "0.00", "0.00")


async def test_what_was_sent_cannot_be_cancelled(desk: CashierApi, seat: Seat) -> None:
    await desk.sent_withdrawal("w1", "60.00")

    with pytest.raises(Refused) as refused:
        await desk.about_withdrawal("CancelWithdrawal", "w1")

    assert refused.value.reason == "INVALID_TRANSITION"
    assert await money(seat) == ("40.00", "0.00", "60.00")
    assert await desk.reviews() == []


async def test_a_withdrawal_that_nobody_approved_cannot_be_paid(desk: CashierApi, seat: Seat) -> None:
    await desk.withdrawal("w1", "60.00")

    with pytest.raises(Refused) as refused:
        await desk.about_withdrawal("MarkWithdrawalPaid", "w1")

    assert refused.value.reason == "INVALID_TRANSITION"
    assert await money(seat) == ("40.00", "0.00", "60.00")
    assert await desk.reviews() == ["CASHIER_CONTRADICTION"]


async def test_who_asked_for_a_withdrawal_does_not_approve_it(desk: CashierApi) -> None:
    await desk.withdrawal("w1", "60.00", requested_by="alice")

    with pytest.raises(Refused) as refused:
        await desk.about_withdrawal("ApproveWithdrawal", "w1", approver="alice")

    assert refused.value.reason == "APPROVAL_BY_SAME_PERSON"
    assert await desk.about_withdrawal("ApproveWithdrawal", "w1", approver="bob") == "APPROVED"


# Corrections


@pytest.mark.parametrize(("amount", "cash"), [("12.34", "112.34"), ("-12.34", "87.66")])
async def test_a_correction_is_booked_once_another_person_approved_and_leaves_the_original(
    desk: CashierApi, seat: Seat, deployment: Deployment, amount: str, cash: str
) -> None:
    done = await seat.one(bet("b1", "0"))
    original = done.entry_id
    name = f"c-{seat.player_id}"
    proposed = await desk.propose(name, amount, corrected_entry_id=original)
    assert correction_state(proposed.correction) == "PROPOSED"
    assert await seat.cash() == "100.00"
    with pytest.raises(Refused) as refused:
        await desk.ask("ApproveCorrection", correction_id=name, approver="alice")
    assert refused.value.reason == "APPROVAL_BY_SAME_PERSON"

    answers = [await desk.ask("ApproveCorrection", correction_id=name, approver="bob") for _ in range(2)]

    assert [correction_state(answer.correction) for answer in answers] == ["APPLIED"] * 2
    assert await seat.cash() == cash
    *_, before, newest = await entries_of(deployment, seat.player_id, 4)
    assert (newest.title, newest.entry_id) == ("Correction Booked", answers[0].correction.entry_id)
    assert before.entry_id == original
    assert dict(newest.metadata) == {
        "stakehold.correction": name,
        "stakehold.state": "applying",
        "stakehold.opened_by": "alice",
        "stakehold.approved_by": "bob",
        "stakehold.reason": "a typo",
        "stakehold.corrects": original,
    }


async def test_a_rejected_correction_moves_nothing_and_is_not_approved_later(
    desk: CashierApi, seat: Seat
) -> None:
    name = f"c-{seat.player_id}"
    await desk.propose(name, "50.00")
    await desk.ask("RejectCorrection", correction_id=name, rejected_by="bob", reason="no")

    with pytest.raises(Refused) as refused:
        await desk.ask("ApproveCorrection", correction_id=name, approver="carol")

    assert refused.value.reason == "INVALID_TRANSITION"
    assert await seat.cash() == "100.00"


async def test_a_correction_of_more_than_there_is_stays_refused(desk: CashierApi, seat: Seat) -> None:
    name = f"c-{seat.player_id}"
    await desk.propose(name, "-100.01")

    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await desk.ask("ApproveCorrection", correction_id=name, approver="bob")
        assert refused.value.reason == "INSUFFICIENT_FUNDS"

    got = await desk.ask("GetCorrection", correction_id=name)
    assert correction_state(got.correction) == "REFUSED"
    assert await seat.cash() == "100.00"


@pytest.mark.parametrize("amount", ["0", "-0", "", "+5", "1e1", "1.234", "--5", " 5"])
async def test_a_malformed_correction_is_refused_with_its_field(desk: CashierApi, amount: str) -> None:
    with pytest.raises(Refused) as refused:
        await desk.propose("c1", amount)

    assert (refused.value.code, refused.value.details.fields) == ("INVALID_ARGUMENT", ("amount",))


# Lists


async def test_cases_are_listed_newest_first_page_by_page(desk: CashierApi, seat: Seat) -> None:
    for number in range(5):
        await desk.deposit(f"d{number}")
    await desk.about_deposit("FailDeposit", "d3")

    names, token = [], ""
    while True:
        page = await desk.ask("ListDeposits", player_id=seat.player_id, page_size=2, page_token=token)
        names.append([deposit.deposit_id for deposit in page.deposits])
        token = page.next_page_token
        if not token:
            break
    failed = await desk.ask("ListDeposits", player_id=seat.player_id, states=["DEPOSIT_STATE_FAILED"])

    assert names == [["d4", "d3"], ["d2", "d1"], ["d0"]]
    assert [deposit.deposit_id for deposit in failed.deposits] == ["d3"]
    with pytest.raises(Refused) as refused:
        await desk.ask("ListDeposits", page_token="nonsense")
    assert refused.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("rpc", "fields"),
    [
        ("CreditDeposit", {"deposit_id": "none"}),
        ("GetWithdrawal", {"withdrawal_id": "none"}),
        ("GetCorrection", {"correction_id": "none"}),
    ],
)
async def test_what_is_not_there_is_not_found(desk: CashierApi, rpc: str, fields: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        await desk.ask(rpc, **fields)

    assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "CASE_NOT_FOUND")
