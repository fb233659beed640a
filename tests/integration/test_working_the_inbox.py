"""What was submitted is applied once, in each player's order, whatever becomes of others."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.embedded import embedded_valkey
from stakehold.v1 import (
    command_pb2,
    error_reason_pb2,
    money_pb2,
    sportsbook_service_pb2,
    submission_service_pb2,
    transaction_pb2,
    wallet_service_pb2,
)
from tests.acceptance.seat import Seat, seated
from tests.deployment import Deployment, deployed
from tests.inbox_books import booked_orders, players_of, spread, wanted_orders
from tests.ledgers import Ledgers
from tests.reference import Step
from tests.steps import bet, deposit, win
from tests.submissions import SubmissionApi, command, submission_api
from tests.waiting import until
from tests.wallet_api import WalletApi, new_name, wallet_api
from tests.working import Worker, working

FAST = ("--rate", "20000")
QUICKLY_GIVEN_UP = {"STAKEHOLD_WORK_MISSING_S": "0"}

pytestmark = pytest.mark.timeout(180)


@pytest_asyncio.fixture(scope="module")
async def house(ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """A server and a drainer, without a worker. Afterwards the books must agree."""
    folder = tmp_path_factory.mktemp("house")
    async with (
        embedded_valkey(folder / "valkey") as valkey,
        ledgers.fresh() as dsn,
        deployed(folder / "deployment", valkey, dsn) as running,
    ):
        yield running
        await running.require_agreement()
        status, said = await running.run("verify")
        assert status == 0, said


@pytest_asyncio.fixture(scope="module")
async def api(house: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(house.address) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module")
async def inbox(house: Deployment) -> AsyncIterator[SubmissionApi]:
    async with submission_api(house.address) as opened:
        yield opened


def euros(amount: str) -> money_pb2.Money:
    return money_pb2.Money(currency_code="EUR", amount=amount)


async def submit(
    inbox: SubmissionApi, seat: Seat, *steps: Step
) -> tuple[str, submission_service_pb2.SubmitResponse]:
    """One player's commands, each of one step."""
    name = new_name("match")
    commands = [command(seat.source_id, seat.player_id, step) for step in steps]
    return name, await inbox.submit(seat.source_id, name, commands)


async def test_ten_thousand_commands_are_applied_once_in_each_players_order(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    source = new_name("sports")
    await api.put_source(source)
    players = await players_of(api, 37)
    await inbox.submit(source, "all", spread(source, players, 10_000))

    async with working(house, *FAST):
        ended = await inbox.until_decided(source, "all")

    assert (ended.applied_count, ended.refused_count, ended.dead_count) == (10_000, 0, 0)
    assert ended.HasField("finish_time")
    assert ended.most_attempts == 1
    await house.require_agreement()
    assert await booked_orders(house.ledger_dsn, source) == wanted_orders(players, 10_000)


async def test_submissions_of_a_player_are_applied_in_the_order_of_acceptance(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    source = new_name("sports")
    await api.put_source(source)
    players = await players_of(api, 3)
    for name in ("a", "b", "c"):
        await inbox.submit(source, name, spread(source, players, 300, prefix=name))

    async with working(house, *FAST):
        await inbox.until_decided(source, "c")

    await house.require_agreement()
    orders = await booked_orders(house.ledger_dsn, source)
    for player in players:
        expected = [
            one for name in ("a", "b", "c") for one in wanted_orders(players, 300, prefix=name)[player]
        ]
        assert orders[player] == expected


async def test_several_workers_share_the_partitions_and_the_order_stays(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    source = new_name("sports")
    await api.put_source(source)
    players = await players_of(api, 53)
    async with working(house, "--rate", "1000") as first, working(house, "--rate", "1000") as second:
        await first.until_holding(8)
        await second.until_holding(8)
        await inbox.submit(source, "all", spread(source, players, 4000))
        ended = await inbox.until_decided(source, "all")
        await until(lambda: _counted(first, second, 4000), what="both have counted what they did")

        assert min(first.attempts("applied"), second.attempts("applied")) > 0
    assert ended.applied_count == 4000
    await house.require_agreement()
    assert await booked_orders(house.ledger_dsn, source) == wanted_orders(players, 4000)


async def _counted(first: Worker, second: Worker, count: int) -> bool:
    return first.attempts("applied") + second.attempts("applied") == count


async def test_a_worker_that_joins_while_there_is_work_keeps_the_order(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    source = new_name("sports")
    await api.put_source(source)
    players = await players_of(api, 53)
    await inbox.submit(source, "all", spread(source, players, 6000))
    async with working(house, "--rate", "1500") as first:
        await first.until_holding(16)
        async with working(house, "--rate", "1500") as second:
            await second.until_holding(8)
        await inbox.until_decided(source, "all")

    await house.require_agreement()
    assert await booked_orders(house.ledger_dsn, source) == wanted_orders(players, 6000)


async def test_a_win_that_comes_before_its_bet_is_tried_until_the_bet_is_in(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    seat = await seated(api)
    name, _ = await submit(inbox, seat, win("w1", "25", of="b1"))

    async with working(house, *FAST) as worker:

        async def was_tried() -> bool:
            return (await inbox.progress(seat.source_id, name)).retrying_count == 1

        await until(was_tried, what="the win is tried in vain")
        [waiting] = await inbox.results(seat.source_id, name)
        assert waiting.result.error.code == 5
        await seat.one(bet("b1", "10"))
        ended = await inbox.until_decided(seat.source_id, name)
        assert worker.attempts("retried") >= 1

    assert ended.applied_count == 1
    assert ended.most_attempts > 1
    assert await seat.cash() == "115.00"
    [result] = await inbox.results(seat.source_id, name)
    assert result.result.done.results[0].balance_after.cash == "115.00"


async def test_slips_are_settled_and_a_settlement_that_overtook_its_capture_waits_for_it(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    seat = await seated(api)
    source, player = seat.source_id, seat.player_id
    held = wallet_service_pb2.HoldRequest(
        source_id=source,
        player_id=player,
        transaction_id="s1",
        kind=transaction_pb2.TRANSACTION_KIND_BET,
        amount=euros("20"),
    )
    settled = sportsbook_service_pb2.SettleSlipRequest(
        source_id=source, player_id=player, transaction_id="w1", slip_id="s1", amount=euros("50")
    )
    await api.wallets.Hold(held)
    await inbox.submit(source, "slips", [command_pb2.Command(settle_slip=settled)])

    async with working(house, *FAST):

        async def was_tried() -> bool:
            return (await inbox.progress(source, "slips")).retrying_count == 1

        await until(was_tried, what="the settlement is tried in vain")
        [waiting] = await inbox.results(source, "slips")
        assert waiting.result.error.reason == error_reason_pb2.ERROR_REASON_SLIP_NOT_PLACED
        captured = wallet_service_pb2.CaptureRequest(
            source_id=source, player_id=player, transaction_id="c1", slip_id="s1", amount=euros("20")
        )
        await api.wallets.Capture(captured)
        ended = await inbox.until_decided(source, "slips")

    assert ended.applied_count == 1
    assert await seat.cash() == "130.00"


async def test_a_player_whose_command_waits_blocks_nobody_else_and_keeps_its_order(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    blocked, free = await seated(api), await seated(api)
    source = blocked.source_id
    commands = [command(source, blocked.player_id, win("w1", "25", of="b1"))]
    for number in range(100):
        commands.append(command(source, blocked.player_id, deposit(f"late-{number}", "0.01")))
        commands.append(command(source, free.player_id, deposit(f"free-{number}", "0.01")))
    await inbox.submit(source, "all", commands)

    async with working(house, *FAST):

        async def only_the_blocked_wait() -> bool:
            return (await inbox.progress(source, "all")).waiting_count == 101

        await until(only_the_blocked_wait, what="all commands of the other player are decided")
        assert [one.transaction_id for one in await inbox.results(source, "all", "WAITING")][:3] == [
            "w1",
            "late-0",
            "late-1",
        ]
        await blocked.one(bet("b1", "10"))
        ended = await inbox.until_decided(source, "all")

    assert ended.applied_count == 201
    await house.require_agreement()
    orders = await booked_orders(house.ledger_dsn, source)
    assert orders[blocked.player_id] == ["b1", "w1", *(f"late-{number}" for number in range(100))]


async def test_what_does_not_come_in_time_is_a_dead_letter_and_can_be_redriven(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    seat = await seated(api)
    name, _ = await submit(
        inbox, seat, win("w1", "25", of="b1"), win("w2", "5", of="b2"), deposit("d1", "1.00")
    )
    async with working(house, *FAST, settings=QUICKLY_GIVEN_UP) as worker:
        ended = await inbox.until_decided(seat.source_id, name)
        assert (ended.dead_count, ended.applied_count) == (2, 1)
        letters = await inbox.dead_letters(seat.source_id, name, page_size=1)
        assert [letter.outcome.index for letter in letters] == [0, 1]
        assert letters[0].command == command(seat.source_id, seat.player_id, win("w1", "25", of="b1"))
        assert letters[0].outcome.attempts == 1
        assert letters[0].outcome.result.error.metadata["reference_transaction_id"] == "b1"

        await seat.one(bet("b1", "10"))
        assert await inbox.redrive(seat.source_id, name, 0, 2, 77) == 1
        ended = await inbox.until_decided(seat.source_id, name)
        assert (ended.dead_count, ended.applied_count) == (1, 2)

        await seat.one(bet("b2", "10"))
        assert await inbox.redrive(seat.source_id, name) == 1
        assert await inbox.redrive(seat.source_id, name) in {0, 1}
        ended = await inbox.until_decided(seat.source_id, name)
        assert worker.attempts("dead") >= 2

    assert (ended.dead_count, ended.applied_count) == (0, 3)
    assert await seat.cash() == "111.00"
    assert not await inbox.dead_letters(seat.source_id, name)


async def test_final_refusals_are_results_with_their_reason(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    seat = await seated(api)
    await seat.one(bet("b0", "1"))
    name, _ = await submit(inbox, seat, bet("b1", "1000"), bet("b0", "2"), bet("b2", "1"))

    async with working(house, *FAST):
        ended = await inbox.until_decided(seat.source_id, name)

    assert (ended.refused_count, ended.dead_count, ended.applied_count) == (1, 1, 1)
    [refused] = await inbox.results(seat.source_id, name, "REFUSED")
    assert refused.transaction_id == "b1"
    assert refused.result.error.refusal.balance.cash == "99.00"
    [conflict] = await inbox.results(seat.source_id, name, "DEAD")
    assert (conflict.transaction_id, conflict.result.error.code) == ("b0", 6)
    assert (await seat.look_up("b1")).refusal_reason == refused.result.error.reason


async def test_what_was_applied_by_a_call_before_is_replayed(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    seat = await seated(api)
    done = await seat.one(deposit("d1", "5"))
    name, _ = await submit(inbox, seat, deposit("d1", "5"))

    async with working(house, *FAST):
        await inbox.until_decided(seat.source_id, name)

    [found] = await inbox.results(seat.source_id, name)
    [result] = found.result.done.results
    assert (result.replayed, result.entry_id) == (True, done.entry_id)
    assert await seat.cash() == "105.00"


async def test_a_worker_keeps_its_pace(house: Deployment, api: WalletApi, inbox: SubmissionApi) -> None:
    """By counts: what the pace allows from the first attempt to the last, and the burst at the start."""
    source = new_name("sports")
    await api.put_source(source)
    players = await players_of(api, 10)
    await inbox.submit(source, "all", spread(source, players, 300))

    async with working(house, "--rate", "100"):
        await inbox.until_decided(source, "all")

    times = [one.last_attempt_time.ToDatetime() for one in await inbox.results(source, "all")]
    elapsed_s = (max(times) - min(times)).total_seconds()
    assert len(times) <= 100 * elapsed_s + 10


async def test_metrics_tell_what_waits_and_what_was_done(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    seat = await seated(api)
    name, _ = await submit(inbox, seat, deposit("d1", "1"), win("w1", "25", of="b1"))

    async with working(house, *FAST, settings=QUICKLY_GIVEN_UP) as worker:
        await inbox.until_decided(seat.source_id, name)

        async def is_told() -> bool:
            return (
                worker.attempts("applied") == 1
                and worker.attempts("dead") == 1
                and (worker.metric("stakehold_inbox_dead_letters") or 0) >= 1
                and worker.metric("stakehold_inbox_waiting_commands") == 0
                and worker.metric("stakehold_inbox_oldest_seconds") == 0
                and worker.metric("stakehold_inbox_delay_seconds_count") == 2
                and worker.metric("stakehold_job_running", job="inbox") == 1
            )

        await until(is_told, what="the metrics tell it all")


async def test_one_player_with_thousands_is_worked_off_and_holds_up_nobody(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> None:
    source = new_name("sports")
    await api.put_source(source)
    many, few = await players_of(api, 2)
    commands = [*spread(source, [many], 1500), *spread(source, [few], 10, prefix="f")]
    await inbox.submit(source, "all", commands)

    async with working(house, *FAST):
        await inbox.until_decided(source, "all")

    last_of = {
        one.player_id: one.last_attempt_time.ToDatetime() for one in await inbox.results(source, "all")
    }
    assert last_of[few] < last_of[many]
    await house.require_agreement()
    orders = await booked_orders(house.ledger_dsn, source)
    assert orders[many] == [f"d{number}" for number in range(1500)]
