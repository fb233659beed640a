"""A submission is accepted as a whole or not at all, and once."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import grpc
import pytest
import pytest_asyncio

from stakehold.v1 import command_pb2
from stakehold.v1 import submission_service_pb2 as pb
from stakehold.v1 import wallet_service_pb2 as wallet_pb
from tests.acceptance.seat import Seat
from tests.answers import Refused
from tests.deployment import Deployment
from tests.steps import bet, win
from tests.submissions import SubmissionApi, command, submission_api, submit_requests
from tests.waiting import until
from tests.wallet_api import new_name


@pytest_asyncio.fixture
async def inbox(deployment: Deployment) -> AsyncIterator[SubmissionApi]:
    async with submission_api(deployment.address) as opened:
        yield opened


def bets(seat: Seat, count: int, *, prefix: str = "b") -> list[command_pb2.Command]:
    return [
        command(seat.source_id, seat.player_id, bet(f"{prefix}{number}", "0.01")) for number in range(count)
    ]


async def rows_of(deployment: Deployment, player_id: str) -> int:
    """How many commands of a player Postgres has, visible or not to anybody else."""
    connection = await asyncpg.connect(deployment.ledger_dsn)
    try:
        count = await connection.fetchval(
            "SELECT count(*) FROM inbox.commands WHERE player_id = $1", player_id
        )
    finally:
        await connection.close()
    assert isinstance(count, int)
    return count


async def refusal(inbox: SubmissionApi, *messages: pb.SubmitRequest) -> Refused:
    with pytest.raises(Refused) as caught:
        await inbox.send(messages)
    return caught.value


async def test_what_was_accepted_waits_to_be_applied(inbox: SubmissionApi, seat: Seat) -> None:
    name = new_name("match")

    accepted = await inbox.submit(seat.source_id, name, bets(seat, 2500), chunk=700, command_count=2500)
    found = await inbox.progress(seat.source_id, name)

    assert not accepted.replayed
    assert accepted.receipt.command_count == 2500
    assert found.receipt == accepted.receipt
    assert (found.waiting_count, found.applied_count) == (2500, 0)
    assert found.HasField("oldest_waiting")
    assert not found.HasField("finish_time")
    listed = await inbox.results(seat.source_id, name)
    assert [one.transaction_id for one in listed] == [f"b{number}" for number in range(2500)]


async def test_the_same_commands_again_get_the_same_receipt(inbox: SubmissionApi, seat: Seat) -> None:
    name = new_name("match")

    first = await inbox.submit(seat.source_id, name, bets(seat, 100))
    again = await inbox.submit(seat.source_id, name, bets(seat, 100), chunk=7)

    assert again.replayed
    assert again.receipt == first.receipt
    assert len(await inbox.results(seat.source_id, name)) == 100


@pytest.mark.parametrize("count", [99, 101])
async def test_other_commands_under_the_id_are_refused(inbox: SubmissionApi, seat: Seat, count: int) -> None:
    name = new_name("match")
    await inbox.submit(seat.source_id, name, bets(seat, 100))

    conflict = await refusal(inbox, *submit_requests(seat.source_id, name, bets(seat, count)))

    assert (conflict.code, conflict.reason) == ("ALREADY_EXISTS", "SUBMISSION_ID_CONFLICT")
    assert conflict.details.metadata == {"submission_id": name}
    assert len(await inbox.results(seat.source_id, name)) == 100


async def test_of_many_at_once_one_is_accepted_and_all_get_its_receipt(
    inbox: SubmissionApi, seat: Seat, deployment: Deployment
) -> None:
    name = new_name("match")

    answers = await asyncio.gather(*(inbox.submit(seat.source_id, name, bets(seat, 600)) for _ in range(4)))

    assert sorted(answer.replayed for answer in answers) == [False, True, True, True]
    assert len({answer.receipt.SerializeToString() for answer in answers}) == 1
    assert await rows_of(deployment, seat.player_id) == 600


async def test_of_two_contents_at_once_one_is_accepted(
    inbox: SubmissionApi, seat: Seat, deployment: Deployment
) -> None:
    name = new_name("match")

    answers = await asyncio.gather(
        inbox.submit(seat.source_id, name, bets(seat, 600)),
        inbox.submit(seat.source_id, name, bets(seat, 600, prefix="c")),
        return_exceptions=True,
    )

    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert [refused.reason for refused in refusals] == ["SUBMISSION_ID_CONFLICT"]
    assert await rows_of(deployment, seat.player_id) == 600


async def test_an_id_is_of_its_source(inbox: SubmissionApi, seat: Seat) -> None:
    name = new_name("match")
    other = Seat(seat.api, new_name("games"), seat.player_id)
    await seat.api.put_source(other.source_id)

    await inbox.submit(seat.source_id, name, bets(seat, 1))
    accepted = await inbox.submit(other.source_id, name, bets(other, 2))

    assert not accepted.replayed


async def test_a_malformed_command_refuses_all_of_it_with_its_place(
    inbox: SubmissionApi, seat: Seat, deployment: Deployment
) -> None:
    name = new_name("match")
    wrong = bets(seat, 1000)
    wrong[700] = command(seat.source_id, seat.player_id, win("w1", "1e1"))
    wrong[701] = command_pb2.Command()

    refused = await refusal(inbox, *submit_requests(seat.source_id, name, wrong, chunk=600))

    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    assert refused.details.fields == ("commands[700].credit.amount.amount",)
    assert await rows_of(deployment, seat.player_id) == 0
    with pytest.raises(Refused, match="SUBMISSION_NOT_FOUND"):
        await inbox.progress(seat.source_id, name)
    assert not (await inbox.submit(seat.source_id, name, bets(seat, 3))).replayed


async def test_what_makes_no_sense_is_refused_with_the_field(inbox: SubmissionApi, seat: Seat) -> None:
    source, name, one = seat.source_id, new_name("match"), bets(seat, 1)
    foreign = command_pb2.Command(debit=wallet_pb.DebitRequest(source_id="another"))
    cases: dict[str, list[pb.SubmitRequest]] = {
        "submission_id": [pb.SubmitRequest(source_id=source, commands=one)],
        "commands": [pb.SubmitRequest(source_id=source, submission_id=name)],
        "commands[0].operation": [
            pb.SubmitRequest(source_id=source, submission_id=name, commands=[command_pb2.Command()])
        ],
        "commands[1].debit.source_id": [
            pb.SubmitRequest(source_id=source, submission_id=name, commands=[*one, foreign])
        ],
        "command_count": [
            pb.SubmitRequest(source_id=source, submission_id=name, commands=one, command_count=2)
        ],
        "source_id": [
            pb.SubmitRequest(source_id=source, submission_id=name, commands=one),
            pb.SubmitRequest(source_id="another", commands=one),
        ],
    }

    for field, messages in cases.items():
        refused = await refusal(inbox, *messages)
        assert (refused.code, refused.details.fields) == ("INVALID_ARGUMENT", (field,)), refused

    unknown = await refusal(inbox, pb.SubmitRequest(source_id="nobody", submission_id=name, commands=one))
    assert unknown.reason == "SOURCE_NOT_FOUND"
    nothing = await refusal(inbox)
    assert nothing.details.fields == ("submission_id",)


async def test_a_stream_that_is_cut_off_leaves_nothing(
    inbox: SubmissionApi, seat: Seat, deployment: Deployment
) -> None:
    name = new_name("match")
    messages = list(submit_requests(seat.source_id, name, bets(seat, 3000)))
    stream = inbox.stub.Submit(timeout=60.0)
    for message in messages[:2]:
        await stream.write(message)

    async def is_being_written() -> bool:
        connection = await asyncpg.connect(deployment.ledger_dsn)
        try:
            return bool(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND state = 'idle in transaction'"
                )
            )
        finally:
            await connection.close()

    await until(is_being_written, what="the first messages are copied")
    stream.cancel()

    async def is_given_up() -> bool:
        return not await is_being_written()

    await until(is_given_up, what="the transaction is rolled back")
    assert stream.cancelled()
    with pytest.raises(Refused, match="SUBMISSION_NOT_FOUND"):
        await inbox.progress(seat.source_id, name)
    assert await rows_of(deployment, seat.player_id) == 0
    assert not (await inbox.submit(seat.source_id, name, bets(seat, 3000))).replayed


async def test_a_submission_that_is_not_known_is_not_found(inbox: SubmissionApi, seat: Seat) -> None:
    with pytest.raises(Refused) as caught:
        await inbox.progress(seat.source_id, "none")

    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "SUBMISSION_NOT_FOUND")
    for method in (inbox.results, inbox.dead_letters, inbox.redrive):
        with pytest.raises(grpc.RpcError) as refused:
            await method(seat.source_id, "none")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_submissions_are_listed_newest_first_page_by_page(inbox: SubmissionApi, seat: Seat) -> None:
    names = [new_name("match") for _ in range(5)]
    for name in names:
        await inbox.submit(seat.source_id, name, bets(seat, 1, prefix=name))

    listed: list[str] = []
    token = ""
    while True:
        page = await inbox.stub.ListSubmissions(
            pb.ListSubmissionsRequest(
                source_id=seat.source_id, unfinished_only=True, page_size=2, page_token=token
            )
        )
        listed += [one.receipt.submission_id for one in page.submissions]
        token = page.next_page_token
        if not token:
            break

    assert listed == names[::-1]
