"""A bet that its session refuses is refused under its id: all copies of it are answered alike, and none takes
money after another was refused.
"""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from persistence.calls import SessionFault, Step
from persistence.errors import RefusalDetails, RefusalReason, Refused
from persistence.transactions import Outcome, TransactionKind
from service.embedded import EmbeddedValkey
from stakehold.v1 import provider_service_pb2 as pb
from tests.books import audited
from tests.deployment import Deployment
from tests.drained_ledger import Wallets, movement, rollback, wallets
from tests.forgetful import oblivion
from tests.integration.providers.seats import seat, two_servers
from tests.ledgers import Ledgers
from tests.providers_house import HUB88, ProviderApi, Reply, hub88_bet, provider_api, write_file
from tests.waiting import until
from tests.wallet_api import new_name

pytestmark = pytest.mark.asyncio(loop_scope="session")

BET = "/transaction/bet"
ADA = "ada"
STAKE = movement(TransactionKind.BET, "b1", 10, game="g", round_id="r1")


@pytest.fixture
def deployment_settings(tmp_path: Path) -> dict[str, str]:
    return {"STAKEHOLD_PROVIDERS_FILE": str(write_file(tmp_path / "providers"))}


async def test_a_copy_that_comes_late_is_refused_as_the_first_answer_was(
    valkey: EmbeddedValkey, ledgers: Ledgers, tmp_path: Path
) -> None:
    async with two_servers(ledgers, valkey, tmp_path) as (here, there):
        one = await seat(here)

        async def is_known_there() -> bool:
            bet = hub88_bet(one.player, one.token, amount=0)
            return (await there.hub88(BET, bet)).status == "RS_OK"

        await until(is_known_there, what="the other server knows the source and the session")
        bet = hub88_bet(one.player, one.token)
        await here.providers.CloseSession(pb.CloseSessionRequest(token=one.token))

        refused = await here.hub88(BET, bet)
        late = await there.hub88(BET, bet)  # to whom the session is still open
        again = await here.hub88(BET, bet)

        assert refused.status == "RS_ERROR_TOKEN_EXPIRED"
        assert refused.body == late.body == again.body
        assert await here.cash(one.player) == "100.00"


async def test_a_session_that_is_closed_while_a_bet_waits_for_the_store_ends_no_copy_of_it(
    private_deployment: Deployment,
) -> None:
    store = private_deployment.valkey.process
    async with provider_api(private_deployment.address) as api:
        await api.wallets.put_source(HUB88)
        await api.wallets.put_source("cashier")
        one = await seat(api)
        bet = hub88_bet(one.player, one.token)
        sql = await asyncpg.connect(private_deployment.ledger_dsn)
        try:

            async def sent_times(times: int) -> "asyncio.Task[Reply]":
                """The bet, once it is on record for so many times."""
                asked = asyncio.create_task(api.hub88(BET, {**bet, "request_uuid": f"request-{times}"}))

                async def are_recorded() -> bool:
                    return bool(await sql.fetchval("SELECT count(*) FROM providers.callbacks") == times)

                await until(are_recorded, what="the callback is on record")
                return asked

            store.send_signal(signal.SIGSTOP)
            try:
                first = await sent_times(1)
                await api.providers.CloseSession(pb.CloseSessionRequest(token=one.token))
                second = await sent_times(2)
            finally:
                store.send_signal(signal.SIGCONT)
            await asyncio.wait((first, second))
            statuses = {(await api.hub88(BET, bet)).status for _ in range(2)}
            cash = await api.cash(one.player)
        finally:
            await sql.close()

    told = {reply.status for reply in (first.result(), second.result()) if reply.status_code == 200}
    assert told <= statuses
    assert (statuses, cash) in (({"RS_OK"}, "90.00"), ({"RS_ERROR_TOKEN_EXPIRED"}, "100.00"))


async def test_a_bet_whose_token_was_unknown_is_not_taken_once_it_is_known(house: ProviderApi) -> None:
    player, token = (await seat(house)).player, new_name("a-token-that-is-given-later")
    bet = hub88_bet(player, token)

    refused = await house.hub88(BET, bet)
    await house.open_session(player, token=token)
    again = await house.hub88(BET, bet)
    another = await house.hub88(BET, hub88_bet(player, token))

    assert refused.status == "RS_ERROR_INVALID_TOKEN"
    assert refused.body == again.body
    assert another.said["balance"] == 9_000_000


@pytest.mark.parametrize(
    ("session", "asked", "status"),
    [
        ({"game_id": "this"}, {"game_code": "that"}, "RS_ERROR_INVALID_GAME"),
        ({}, {"currency": "USD"}, "RS_ERROR_WRONG_CURRENCY"),
    ],
    ids=["game", "currency"],
)
async def test_a_session_of_another_kind_refuses_all_copies(
    house: ProviderApi, session: dict[str, str], asked: dict[str, str], status: str
) -> None:
    player = (await seat(house)).player
    await house.wallets.open_wallet(player, "USD")
    token = await house.open_session(player, **session)
    bet = hub88_bet(player, token, **asked)

    replies = [await house.hub88(BET, bet) for _ in range(2)]

    assert [reply.status for reply in replies] == [status, status]
    assert "balance" not in replies[0].said


async def refusal(money: Wallets, step: Step, player: str = ADA) -> RefusalDetails:
    with pytest.raises(Refused) as caught:
        await money.move(player, step)
    return caught.value.details


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (SessionFault.UNKNOWN, RefusalReason.SESSION_UNKNOWN),
        (SessionFault.OVER, RefusalReason.SESSION_OVER),
        (SessionFault.MISMATCH, RefusalReason.SESSION_MISMATCH),
    ],
)
async def test_the_wallet_remembers_it_and_so_does_the_ledger(
    private_valkey: EmbeddedValkey, ledger_dsn: str, fault: SessionFault, reason: RefusalReason
) -> None:
    async with (
        wallets(private_valkey.url, ledger_dsn) as money,
        oblivion(private_valkey.url, ledger_dsn) as forgetful,
    ):
        await money.open(ADA)
        await money.move(ADA, movement(TransactionKind.DEPOSIT, "start", 100), source="cashier")

        first = await refusal(money, replace(STAKE, session_fault=fault))
        without_wallet = await refusal(money, replace(STAKE, session_fault=fault), "nobody")
        late = await refusal(money, STAKE)
        await money.drain()
        await forgetful.forget_players([ADA, "nobody"])
        recalled = await refusal(money, STAKE)
        [undone] = await money.move(ADA, rollback("u1", "b1"))
        await money.drain()
        sql = await asyncpg.connect(ledger_dsn)
        try:
            told = await sql.fetch(
                "SELECT player_id, refusal_reason FROM ledger.entries WHERE transaction_id = 'b1'"
            )
        finally:
            await sql.close()
        findings, _ = await audited(ledger_dsn, private_valkey.url)

    assert [(one.reason, one.replayed) for one in (first, late, recalled)] == [
        (reason, False),
        (reason, True),
        (reason, True),
    ]
    assert without_wallet.reason == reason
    assert first.entry_id == late.entry_id == recalled.entry_id != ""
    assert undone.outcome is Outcome.ORIGINAL_REFUSED
    assert sorted(map(tuple, told)) == [(ADA, reason), ("nobody", reason)]
    assert findings == []


async def test_a_bet_that_was_taken_before_gets_its_answer(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with wallets(private_valkey.url, ledger_dsn) as money:
        await money.open(ADA)
        await money.move(ADA, movement(TransactionKind.DEPOSIT, "start", 100), source="cashier")

        [taken] = await money.move(ADA, STAKE)
        [again] = await money.move(ADA, replace(STAKE, session_fault=SessionFault.OVER))
        other = await refusal(money, replace(STAKE, amount=11, session_fault=SessionFault.OVER))

    assert (taken.replayed, again.replayed) == (False, True)
    assert again.balance_after == taken.balance_after
    assert other.reason is RefusalReason.TRANSACTION_ID_CONFLICT
