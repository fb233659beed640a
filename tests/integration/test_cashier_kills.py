"""The server is killed between a message's record, its money and the record of that: all is done once.

Nothing is mocked: the store is frozen, or the record locked, until everything waits where it is to be
interrupted.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.answers import Refused
from tests.cashier_api import CashierApi, cashier_api
from tests.deployment import Deployment
from tests.faults.programs import Program
from tests.ledgers import Ledgers
from tests.steps import bet, deposit
from tests.waiting import until
from tests.wallet_api import WalletApi, wallet_api
from tests.working import working

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

SOURCE, STARTS = "payments", "starts"


@dataclass(frozen=True, slots=True)
class Scene:
    """A player who waits for one message, and what they have before and after it: cash and held."""

    player: str
    rpc: str
    fields: dict[str, Any]
    before: tuple[str, str]
    after: tuple[str, str]


SCENES = (
    Scene("credited", "CreditDeposit", {"deposit_id": "d1"}, ("100.00", "0.00"), ("150.00", "0.00")),
    Scene(
        "withdrawing",
        "RequestWithdrawal",
        {"player_id": "withdrawing", "withdrawal_id": "w1", "amount": "60.00"},
        ("100.00", "0.00"),
        ("40.00", "60.00"),
    ),
    Scene("paid", "MarkWithdrawalPaid", {"withdrawal_id": "w2"}, ("40.00", "60.00"), ("40.00", "0.00")),
    Scene("failed", "FailWithdrawal", {"withdrawal_id": "w3"}, ("40.00", "60.00"), ("100.00", "0.00")),
    Scene("charged", "ChargeBackDeposit", {"deposit_id": "d2"}, ("150.00", "0.00"), ("100.00", "0.00")),
    Scene(
        "corrected",
        "ApproveCorrection",
        {"correction_id": "c1", "approver": "bob"},
        ("100.00", "0.00"),
        ("110.00", "0.00"),
    ),
)


@dataclass(frozen=True, slots=True)
class House:
    """A deployment with the scenes set up, and a connection to its ledger."""

    deployment: Deployment
    desk: CashierApi
    wallets: WalletApi
    sql: "asyncpg.Connection[asyncpg.Record]"

    def tell_all(self) -> "asyncio.Task[list[Any]]":
        """All messages at once; answers and refusals."""
        asked = (self.desk.ask(scene.rpc, **scene.fields) for scene in SCENES)
        return asyncio.ensure_future(asyncio.gather(*asked, return_exceptions=True))

    async def money(self) -> dict[str, tuple[str, str]]:
        found = {}
        for scene in SCENES:
            [balance] = await self.wallets.balances(scene.player)
            found[scene.player] = (balance.cash, balance.held)
        return found

    async def until_under_way(self, count: int) -> None:
        async def so_many() -> bool:
            return await self.under_way() == count

        await until(so_many, what=f"{count} cases are under way", deadline_s=60.0)

    async def under_way(self) -> int:
        count = await self.sql.fetchval("SELECT count(*) FROM cashier.cases WHERE due_time IS NOT NULL")
        assert isinstance(count, int)
        return count

    async def kill_server(self) -> None:
        self.deployment.server.process.kill()
        await self.deployment.server.exited()


BEFORE = {scene.player: scene.before for scene in SCENES}
AFTER = {scene.player: scene.after for scene in SCENES}


@asynccontextmanager
async def house(deployment: Deployment) -> AsyncIterator[House]:
    async with (
        wallet_api(deployment.address) as wallets,
        cashier_api(deployment.address, SOURCE, "") as desk,
    ):
        await wallets.put_source(SOURCE)
        await wallets.put_source(STARTS)
        for scene in SCENES:
            await wallets.open_wallet(scene.player, "EUR")
            await wallets.transact(STARTS, scene.player, [deposit("start", "100.00")])
        await desk.ask("CreateDeposit", player_id="credited", deposit_id="d1", amount="50.00")
        for player, name in (("paid", "w2"), ("failed", "w3")):
            await desk.ask("RequestWithdrawal", player_id=player, withdrawal_id=name, amount="60.00")
            await desk.ask("ApproveWithdrawal", withdrawal_id=name, approver="alice")
            await desk.ask("MarkWithdrawalSent", withdrawal_id=name)
        await desk.ask("CreateDeposit", player_id="charged", deposit_id="d2", amount="50.00")
        await desk.ask("CreditDeposit", deposit_id="d2")
        await desk.ask(
            "ProposeCorrection",
            correction_id="c1",
            player_id="corrected",
            currency_code="EUR",
            amount="10.00",
            author="alice",
            reason="a typo",
        )
        sql = await asyncpg.connect(deployment.ledger_dsn)
        try:
            yield House(deployment, desk, wallets, sql)
        finally:
            await sql.close()


@asynccontextmanager
async def another_server(deployment: Deployment) -> AsyncIterator[Program]:
    """In the place of the one that was killed."""
    folder = deployment.folder
    program = Program("serve-again", ["serve"], deployment.environment, folder / "serve-again.log")
    program.start()
    try:
        async with wallet_api(deployment.address) as wallets:

            async def answers() -> bool:
                try:
                    return bool(await wallets.balances("credited"))
                except Refused:
                    return False

            await until(answers, what="the other server answers", deadline_s=60.0)
        yield program
    finally:
        await program.stop()


async def require_all_done_once(made: House) -> None:
    """By a worker alone; and whoever repeats the messages then gets the first answers and moves nothing."""
    deployment = made.deployment
    async with working(deployment):
        await made.until_under_way(0)
    async with another_server(deployment):
        assert await made.money() == AFTER
        async with cashier_api(deployment.address, SOURCE, "") as desk:
            for scene in SCENES:
                assert (await desk.ask(scene.rpc, **scene.fields)).replayed
        assert await made.money() == AFTER
        await deployment.require_agreement()
        status, said = await deployment.run("verify")
        assert status == 0, said


async def test_killed_before_the_record_nothing_has_happened(private_deployment: Deployment) -> None:
    async with house(private_deployment) as made:
        async with made.sql.transaction():
            await made.sql.execute("LOCK TABLE cashier.cases IN EXCLUSIVE MODE")
            telling = made.tell_all()

            async def all_wait() -> bool:
                waiting = await made.sql.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
                    " (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                return bool(waiting >= 4)

            await until(all_wait, what="messages wait for the record")
            await made.kill_server()
            await telling
        async with another_server(private_deployment):
            assert await made.under_way() == 0
            assert await made.money() == BEFORE
            async with cashier_api(private_deployment.address, SOURCE, "") as desk:
                for scene in SCENES:
                    assert not (await desk.ask(scene.rpc, **scene.fields)).replayed
            assert await made.money() == AFTER
            await private_deployment.require_agreement()


async def test_killed_before_the_money_is_known_to_have_moved_a_worker_goes_on(
    private_deployment: Deployment,
) -> None:
    store = private_deployment.valkey.process
    async with house(private_deployment) as made:
        store.send_signal(signal.SIGSTOP)
        try:
            telling = made.tell_all()
            await made.until_under_way(len(SCENES))
            await made.kill_server()
            await telling
        finally:
            store.send_signal(signal.SIGCONT)
        await require_all_done_once(made)


async def test_killed_before_it_is_on_record_that_the_money_moved_a_worker_goes_on(
    private_deployment: Deployment,
) -> None:
    store = private_deployment.valkey.process
    async with house(private_deployment) as made:
        async with made.sql.transaction():
            store.send_signal(signal.SIGSTOP)
            try:
                telling = made.tell_all()
                await made.until_under_way(len(SCENES))
                await made.sql.execute("LOCK TABLE cashier.cases IN EXCLUSIVE MODE")
            finally:
                store.send_signal(signal.SIGCONT)

            async def has_moved() -> bool:
                return await made.money() == AFTER

            await until(has_moved, what="the money has moved")
            await made.kill_server()
            await telling
            assert await made.under_way() == len(SCENES)
        await require_all_done_once(made)


async def test_a_server_that_is_killed_again_and_again_moves_everything_once(
    private_deployment: Deployment,
) -> None:
    rng = Random(20260504)
    deployment = private_deployment
    names = [f"k{number}" for number in range(60)]
    async with house(deployment) as made:
        for name in names:
            await made.desk.ask("CreateDeposit", player_id="credited", deposit_id=name, amount="1.00")
        server = Program("serve", ["serve"], deployment.environment, deployment.folder / "again.log")
        for round_ in range(4):
            wanted = names[15 * round_ : 15 * round_ + 15]
            telling = asyncio.ensure_future(
                asyncio.gather(
                    *(made.desk.ask("CreditDeposit", deposit_id=name) for name in wanted),
                    return_exceptions=True,
                )
            )
            await asyncio.sleep(rng.uniform(0, 0.05))
            if round_ == 0:
                await made.kill_server()
            else:
                await server.kill()
            await telling
            server.start()

            async def answers() -> bool:
                try:
                    return bool(await made.wallets.balances("credited"))
                except Refused:
                    return False

            await until(answers, what="the server answers again", deadline_s=60.0)
        try:
            async with working(deployment):
                await made.until_under_way(0)
                for name in names:
                    await made.desk.ask("CreditDeposit", deposit_id=name)
                [balance] = await made.wallets.balances("credited")
                assert balance.cash == "160.00"
                await deployment.require_agreement()
        finally:
            await server.stop()


async def test_without_postgres_the_cashier_is_unavailable_and_play_goes_on(
    private_deployment: Deployment, ledgers: Ledgers
) -> None:
    async with house(private_deployment) as made:
        await ledgers.cut_off(private_deployment.ledger_dsn)
        try:
            for scene in SCENES:
                with pytest.raises(Refused) as refused:
                    await made.desk.ask(scene.rpc, **scene.fields)
                assert refused.value.code == "UNAVAILABLE"
            await made.wallets.transact(STARTS, "credited", [bet("b1", "1.00")])
        finally:
            await ledgers.let_in_again(private_deployment.ledger_dsn)

        async def is_back() -> bool:
            try:
                await made.desk.ask("CreditDeposit", deposit_id="d1")
            except Refused:
                return False
            return True

        await until(is_back, what="the cashier is back", deadline_s=60.0)
        [balance] = await made.wallets.balances("credited")
        assert balance.cash == "149.00"


async def test_a_deposit_that_cannot_be_credited_now_is_answered_and_credited_by_a_worker(
    private_deployment: Deployment,
) -> None:
    store = private_deployment.valkey.process
    async with house(private_deployment) as made:
        store.send_signal(signal.SIGSTOP)
        try:
            answers = [await made.desk.about_deposit("CreditDeposit", "d1") for _ in range(2)]
            with pytest.raises(Refused) as refused:
                await made.desk.ask(
                    "RequestWithdrawal", player_id="withdrawing", withdrawal_id="w1", amount="60.00"
                )
            got = await made.desk.ask("GetDeposit", deposit_id="d1")
        finally:
            store.send_signal(signal.SIGCONT)
        async with working(private_deployment):
            await made.until_under_way(0)

        assert answers == ["CREDITING", "CREDITING"]
        assert (refused.value.code, refused.value.reason) == ("UNAVAILABLE", "OUTCOME_UNKNOWN")
        assert [said.message for said in got.messages] == ["open", "credit"]
        after = await made.money()
        assert (after["credited"], after["withdrawing"]) == (AFTER["credited"], AFTER["withdrawing"])
        again = await made.desk.ask(
            "RequestWithdrawal", player_id="withdrawing", withdrawal_id="w1", amount="60.00"
        )
        assert again.replayed


@pytest.mark.parametrize("deployment_settings", [{"STAKEHOLD_SECOND_APPROVAL_ABOVE": "USD=1,EUR=60"}])
async def test_above_the_limit_a_withdrawal_takes_two_persons(private_deployment: Deployment) -> None:
    async with house(private_deployment) as made:
        desk = made.desk
        for player, name, amount in (("withdrawing", "at", "60.00"), ("credited", "above", "60.01")):
            await desk.ask("RequestWithdrawal", player_id=player, withdrawal_id=name, amount=amount)
        approved = [await desk.about_withdrawal("ApproveWithdrawal", "at", approver="alice")]
        approved.append(await desk.about_withdrawal("ApproveWithdrawal", "above", approver="alice"))
        with pytest.raises(Refused) as refused:
            await desk.about_withdrawal("ApproveWithdrawal", "above", approver="alice")
        with pytest.raises(Refused) as too_early:
            await desk.about_withdrawal("MarkWithdrawalSent", "above")
        approved.append(await desk.about_withdrawal("ApproveWithdrawal", "above", approver="bob"))

        assert approved == ["APPROVED", "APPROVED_ONCE", "APPROVED"]
        assert refused.value.reason == "APPROVAL_BY_SAME_PERSON"
        assert too_early.value.reason == "INVALID_TRANSITION"


async def test_deposits_that_never_come_are_expired_by_a_worker(private_deployment: Deployment) -> None:
    async with house(private_deployment) as made:
        await made.sql.execute("ALTER TABLE cashier.cases DISABLE TRIGGER USER")
        await made.sql.execute("UPDATE cashier.cases SET expires_time = now() WHERE case_id = 'd1'")
        async with working(private_deployment):

            async def is_expired() -> bool:
                state = await made.sql.fetchval("SELECT state FROM cashier.cases WHERE case_id = 'd1'")
                return bool(state == "expired")

            await until(is_expired, what="the deposit is expired")
        assert await made.money() == BEFORE
