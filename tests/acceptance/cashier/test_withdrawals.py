"""Withdrawals from the player's wish to the payment: held, approved, sent, and ended once."""

import asyncio

import pytest

from tests.acceptance.cashier.desk import at_the_desk, money
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.cashier_api import (
    CashierApi,
    cashier_api,
    withdrawal_state,
)
from tests.deployment import Deployment
from tests.steps import debit, rollback
from tests.wallet_api import WalletApi

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
