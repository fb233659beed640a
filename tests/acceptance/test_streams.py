"""BulkService.Stream: commands as they come, answered as they are decided."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from stakehold.v1 import command_pb2
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.bulk_api import BulkApi, bulk_api, command, said
from tests.deployment import Deployment
from tests.steps import bet, deposit, rollback, win
from tests.wallet_api import WalletApi

SOME = 300


@pytest_asyncio.fixture(scope="session")
async def bulk(deployment: Deployment) -> AsyncIterator[BulkApi]:
    async with bulk_api(deployment.address) as opened:
        yield opened


async def test_every_command_of_a_stream_is_answered_under_its_own_name(bulk: BulkApi, seat: Seat) -> None:
    stream = bulk.stream()
    await stream.send("one", command(seat, bet("b1", "10")))
    await stream.send("two", command(seat, win("w1", "25", of="b1")))
    await stream.send("three", command(seat, bet("b2", "1"), bet("b3", "2")))
    await stream.send("four", command(seat, rollback("rb2", "b2")))

    answers = await stream.receive_all()

    assert {name: said(answer) for name, answer in answers.items()} == {
        "one": "APPLIED",
        "two": "APPLIED",
        "three": "APPLIED APPLIED",
        "four": "APPLIED",
    }
    assert await seat.cash() == "113.00"


async def test_a_stream_answers_while_it_is_open(bulk: BulkApi, seat: Seat) -> None:
    stream = bulk.stream()
    for number in range(3):
        await stream.send(f"c{number}", command(seat, bet(f"b{number}", "1")))
        while f"c{number}" not in stream.received:
            assert await stream.receive()

    assert await stream.receive_all()
    assert await seat.cash() == "97.00"


async def test_a_bad_apple_of_any_sort_spoils_only_itself(bulk: BulkApi, seat: Seat) -> None:
    stream = bulk.stream()
    await stream.send("malformed", command(seat, bet("m1", "1e1")))
    await stream.send("empty", command_pb2.Command())
    await stream.send("stranger", command(replace(seat, source_id="never put"), bet("b2", "1")))
    await stream.send("poor", command(seat, bet("b4", "1000")))
    await stream.send("x" * 129, command(seat, bet("b5", "1")))
    await stream.call.write(b"\xff\xff")
    await stream.send("good", command(seat, bet("b7", "1")))

    answers = await stream.receive_all()

    assert {name: said(answer) for name, answer in answers.items()} == {
        "malformed": "INVALID_ARGUMENT INVALID_FIELD",
        "empty": "INVALID_ARGUMENT INVALID_FIELD",
        "stranger": "NOT_FOUND SOURCE_NOT_FOUND",
        "poor": "FAILED_PRECONDITION INSUFFICIENT_FUNDS",
        "x" * 129: "INVALID_ARGUMENT INVALID_FIELD",
        "": "INVALID_ARGUMENT INVALID_FIELD",
        "good": "APPLIED",
    }
    nameless = answers["x" * 129]
    assert isinstance(nameless, Refused)
    assert nameless.details.fields == ("correlation_id",)
    assert await seat.cash() == "99.00"


async def test_commands_of_one_player_are_applied_in_the_order_sent(bulk: BulkApi, seat: Seat) -> None:
    """Each bet can only be paid by the deposit right before it."""
    stream = bulk.stream()
    for number in range(100):
        await stream.send(f"d{number}", command(seat, deposit(f"d{number}", "1000")))
        await stream.send(f"b{number}", command(seat, bet(f"b{number}", "1000")))

    answers = await stream.receive_all()

    assert {said(answer) for answer in answers.values()} == {"APPLIED"}
    assert len(answers) == 200
    assert await seat.cash() == "100.00"


async def test_closing_ones_side_leaves_nothing_unanswered(bulk: BulkApi, api: WalletApi) -> None:
    seats = [await seated(api) for _ in range(5)]
    stream = bulk.stream()
    for number in range(SOME):
        await stream.send(f"c{number}", command(seats[number % 5], bet(f"b{number}", "0.10")))

    answers = await stream.receive_all()

    assert answers.keys() == {f"c{number}" for number in range(SOME)}
    assert {said(answer) for answer in answers.values()} == {"APPLIED"}
    assert {await seat.cash() for seat in seats} == {"94.00"}


async def test_streams_with_the_same_ids_apply_each_once(bulk: BulkApi, seat: Seat) -> None:
    async def streamed() -> list[str]:
        stream = bulk.stream()
        for number in range(50):
            await stream.send(f"c{number}", command(seat, bet(f"b{number}", "0.10")))
        answers = await stream.receive_all()
        return [said(answers[f"c{number}"]) for number in range(50)]

    for same in zip(*await asyncio.gather(*(streamed() for _ in range(4))), strict=True):
        assert sorted(same) == ["APPLIED", *["APPLIED again"] * 3]
    assert await seat.cash() == "95.00"


async def test_after_a_cancelled_stream_every_id_has_one_answer(bulk: BulkApi, seat: Seat) -> None:
    stream = bulk.stream()
    for number in range(SOME):
        await stream.send(f"c{number}", command(seat, bet(f"b{number}", "0.10")))
    assert await stream.receive()
    stream.call.cancel()

    again = await bulk.batch([command(seat, bet(f"b{number}", "0.10")) for number in range(SOME)])

    assert {said(answer) for answer in again} <= {"APPLIED", "APPLIED again"}
    for name, first in stream.received.items():
        second = again[int(name[1:])]
        assert not isinstance(first, Refused)
        assert not isinstance(second, Refused)
        assert second[0].replayed
        assert second[0].entry_id == first[0].entry_id
    assert await seat.cash() == "70.00"


async def test_a_stream_whose_deadline_comes_ends_so_and_says_what_was_done(
    bulk: BulkApi, seat: Seat
) -> None:
    stream = bulk.stream(timeout_s=1.0)
    await stream.send("c1", command(seat, bet("b1", "1")))

    assert await stream.receive()
    with pytest.raises(Refused) as caught:
        await stream.receive()

    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert said(stream.received["c1"]) == "APPLIED"
