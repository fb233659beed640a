"""Deposits as a payment service tells them: late, twice, with other amounts, and taken back."""

import asyncio

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from stakehold.v1.error_reason_pb2 import ErrorReason
from tests.acceptance.cashier.desk import at_the_desk, entries_of, money
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.cashier_api import (
    CashierApi,
    cashier_api,
    deposit_state,
)
from tests.deployment import Deployment
from tests.reference import Policies
from tests.steps import bet, rollback
from tests.wallet_api import WalletApi

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
