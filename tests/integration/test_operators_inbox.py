"""Submissions and dead letters by the command line."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.embedded import embedded_valkey
from stakehold.v1 import submission_service_pb2 as pb
from tests.acceptance.seat import Seat, seated
from tests.deployment import Deployment, deployed
from tests.ledgers import Ledgers
from tests.operating import Desk, told
from tests.reference import Step
from tests.steps import bet, win
from tests.submissions import TIMEOUT_S, SubmissionApi, command, submission_api
from tests.waiting import until
from tests.wallet_api import WalletApi, new_name, wallet_api
from tests.working import working

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


@pytest_asyncio.fixture(scope="module")
async def api(house: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(house.address) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module")
async def inbox(house: Deployment) -> AsyncIterator[SubmissionApi]:
    async with submission_api(house.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def given_up(
    house: Deployment, api: WalletApi, inbox: SubmissionApi
) -> AsyncIterator[tuple[Seat, str]]:
    """A submission of a bet, of one beyond the player's means, and of two wins whose bets never came."""
    seat, name = await seated(api), new_name("match")
    steps: list[Step] = [
        bet("b1", "1"),
        bet("b2", "1000"),
        win("w1", "2", of="late"),
        win("w2", "3", of="never"),
    ]
    commands = [command(seat.source_id, seat.player_id, step) for step in steps]
    await inbox.submit(seat.source_id, name, commands)
    async with working(house, settings={"STAKEHOLD_WORK_MISSING_S": "0"}):
        await inbox.until_decided(seat.source_id, name)

        async def is_finished() -> bool:
            request = pb.ListSubmissionsRequest(source_id=seat.source_id, unfinished_only=True)
            return not (await inbox.stub.ListSubmissions(request, timeout=TIMEOUT_S)).submissions

        await until(is_finished, what=f"{name} is finished")
    yield seat, name


async def test_a_submission_is_shown_and_its_results_listed(
    house: Deployment, inbox: SubmissionApi, given_up: tuple[Seat, str]
) -> None:
    desk, (seat, name) = Desk(house.address), given_up
    of = ("--source", seat.source_id)

    shown = (await desk.says("submission", "show", name, *of, "--output", "json")).document()
    [row] = (await desk.says("submission", "show", name, *of, "--output", "csv")).rows()
    lines = (await desk.says("submission", "show", name, *of)).lines()
    [listed] = (await desk.says("submission", "list", *of, "--output", "json")).document()
    waiting = (await desk.says("submission", "list", *of, "--unfinished", "--output", "csv")).rows()
    [head, _] = (await desk.says("submission", "list", *of)).lines()

    assert shown["submission"] == told(await inbox.progress(seat.source_id, name))
    assert [row[count] for count in ("applied_count", "refused_count", "dead_count")] == ["1", "1", "2"]
    assert ["dead_count", "2"] in [line.split() for line in lines]
    assert listed["receipt"] == shown["submission"]["receipt"]
    assert waiting == []
    assert head.split()[:2] == ["source_id", "submission_id"]

    results = ("submission", "results", name, *of)
    document = (await desk.says(*results, "--output", "json")).document()
    rows = (await desk.says(*results, "--output", "csv", "--state", "dead", "--state", "refused")).rows()
    table = (await desk.says(*results)).lines()
    assert document == [told(one) for one in await inbox.results(seat.source_id, name)]
    assert [(one["index"], one["state"], one["reason"]) for one in rows] == [
        ("1", "REFUSED", "INSUFFICIENT_FUNDS"),
        ("2", "DEAD", "REFERENCE_NOT_FOUND"),
        ("3", "DEAD", "REFERENCE_NOT_FOUND"),
    ]
    assert len(table) == 5


async def test_dead_letters_are_listed_and_redriven(
    house: Deployment, inbox: SubmissionApi, given_up: tuple[Seat, str]
) -> None:
    desk, (seat, name) = Desk(house.address), given_up
    of = ("--source", seat.source_id)
    listing = ("dead-letters", "list", *of, "--submission", name)

    document = (await desk.says(*listing, "--output", "json")).document()
    rows = (await desk.says(*listing, "--output", "csv")).rows()
    table = (await desk.says(*listing)).lines()

    assert document == [told(letter) for letter in await inbox.dead_letters(seat.source_id, name)]
    assert [(row["transaction_id"], row["operation"], row["reason"]) for row in rows] == [
        ("w1", "credit", "REFERENCE_NOT_FOUND"),
        ("w2", "credit", "REFERENCE_NOT_FOUND"),
    ]
    assert '"reference_transaction_id": "late"' in rows[0]["command"]
    assert len(table) == 3

    await seat.one(bet("late", "1"))
    refused = await desk.says("dead-letters", "redrive", name, *of, typed="n\n")
    [one] = (
        await desk.says("dead-letters", "redrive", name, *of, "--index", "2", "--yes", "--output", "csv")
    ).rows()
    async with working(house, settings={"STAKEHOLD_WORK_MISSING_S": "0"}):
        await inbox.until_decided(seat.source_id, name)

    assert refused.status == 1
    assert f"{name} has 2 dead letters. Have all tried again?" in refused.errors
    assert one == {"redriven_count": "1"}
    [left] = (await desk.says(*listing, "--output", "json")).document()
    assert left["outcome"]["transaction_id"] == "w2"
    again = await desk.says("dead-letters", "redrive", name, *of, "--index", "2", "--yes")
    everything = await desk.says("dead-letters", "redrive", name, *of, "--yes", "--output", "json")
    assert again.lines() == ["redriven_count  0"]
    assert everything.document() == {"redriven_count": 1}
    async with working(house, settings={"STAKEHOLD_WORK_MISSING_S": "0"}):
        await inbox.until_decided(seat.source_id, name)


async def test_a_submission_that_is_not_there_is_told_so(house: Deployment, api: WalletApi) -> None:
    desk, seat = Desk(house.address), await seated(api)
    of = ("--source", seat.source_id)

    for words in (
        ("submission", "show", "none", *of),
        ("submission", "results", "none", *of),
        ("dead-letters", "list", "--submission", "none", *of),
        ("dead-letters", "redrive", "none", *of, "--yes"),
    ):
        ended = await desk.says(*words, "--output", "json")
        assert ended.status == 1, words
        assert ended.errors.endswith(" (SUBMISSION_NOT_FOUND).\n")
    without = await desk.says("dead-letters", "list", "--submission", "none")
    assert without.status == 2
