"""Withdrawals take days, chargebacks months: what the store has forgotten by then comes from the ledger."""

import pytest

from tests.cashier_api import cashier_api
from tests.deployment import Deployment
from tests.forgetful import oblivion
from tests.steps import deposit
from tests.wallet_api import wallet_api

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOURCE = "payments"


@pytest.mark.parametrize("how", ["players", "fields"])
async def test_what_was_forgotten_in_between_is_ended_once_all_the_same(
    private_deployment: Deployment, how: str
) -> None:
    deployment = private_deployment
    async with (
        wallet_api(deployment.address) as wallets,
        cashier_api(deployment.address, SOURCE, "ada") as desk,
        oblivion(deployment.valkey.url, deployment.ledger_dsn) as forgetful,
    ):
        forget = forgetful.forget_players if how == "players" else forgetful.forget_fields
        await wallets.put_source(SOURCE)
        await wallets.open_wallet("ada", "EUR")
        await wallets.transact(SOURCE, "ada", [deposit("start", "100.00")])
        await desk.deposit("d1", "50.00")
        await desk.about_deposit("CreditDeposit", "d1")
        await desk.sent_withdrawal("w1", "60.00")
        await desk.sent_withdrawal("w2", "20.00")

        await forget(["ada"])
        ended = [
            await desk.about_withdrawal("MarkWithdrawalPaid", "w1"),
            await desk.about_withdrawal("FailWithdrawal", "w2"),
            await desk.about_deposit("ChargeBackDeposit", "d1"),
        ]
        await forget(["ada"])
        again = [
            await desk.about_withdrawal("MarkWithdrawalPaid", "w1"),
            await desk.about_withdrawal("FailWithdrawal", "w2"),
            await desk.about_deposit("ChargeBackDeposit", "d1"),
        ]

        assert ended == again == ["PAID", "FAILED", "CHARGED_BACK"]
        [balance] = await wallets.balances("ada")
        assert (balance.cash, balance.held) == ("40.00", "0.00")
        assert await desk.reviews() == []
        await deployment.require_agreement()
