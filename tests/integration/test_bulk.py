"""How much of many commands is under way, and what becomes of the rest."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from service.admission import Admission
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK, free_port
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.bulk_api import BATCH, STREAM, BulkApi, OpenStream, bulk_api, command, said
from tests.integration.test_admission import metric, standing_still, until_metric
from tests.serving import Grounds
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import new_name, wallet_api

COMMANDS = 'stakehold_commands_total{{code="{code}",method="{method}"}}'
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class House:
    """A server with a store of its own, and players of one source."""

    bulk: BulkApi
    seats: list[Seat]
    metrics: str
    valkey: EmbeddedValkey

    async def metric(self, name: str) -> float:
        return await metric(self.metrics, name)

    async def until_in_flight(self, count: int) -> None:
        await until_metric(self.metrics, "stakehold_calls_in_flight", count)


@asynccontextmanager
async def house(
    valkey: EmbeddedValkey, ledger_dsn: str, *, players: int = 1, **limits: Any
) -> AsyncIterator[House]:
    listen = f"{LOOPBACK}:{free_port()}"
    ground = Grounds(valkey.url, ledger_dsn)
    async with (
        ground.serving(metrics_listen=listen, store_timeout_s=PATIENCE_S, **limits) as server,
        wallet_api(server.address) as api,
        bulk_api(server.address) as bulk,
    ):
        first = await seated(api)
        others = [replace(await seated(api), source_id=first.source_id) for _ in range(players - 1)]
        yield House(bulk, [first, *others], listen, valkey)


async def test_what_a_deadline_cuts_off_is_told_apart_before_it_comes(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=6, max_commands_under_way=4) as made:
        commands = [command(seat, bet("b1", "10")) for seat in made.seats]
        with standing_still(private_valkey):
            answers = await made.bulk.batch(commands, timeout_s=1.0)
        again = await made.bulk.batch(commands)

    assert [said(answer) for answer in answers] == [
        *["UNAVAILABLE OUTCOME_UNKNOWN"] * 4,
        *["DEADLINE_EXCEEDED DEADLINE_EXCEEDED"] * 2,
    ]
    assert {said(answer) for answer in again[:4]} <= {"APPLIED", "APPLIED again"}
    assert [said(answer) for answer in again[4:]] == ["APPLIED"] * 2


async def test_a_command_that_finds_no_place_is_told_to_come_again_and_was_not_done(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=4, max_calls_in_flight=1) as made:
        first, *others = made.seats
        with standing_still(private_valkey):
            held = asyncio.create_task(first.one(bet("held", "1")))
            await made.until_in_flight(1)
            answers = await made.bulk.batch([command(seat, bet("b1", "1")) for seat in others])
        await held
        again = await made.bulk.batch([command(seat, bet("b1", "1")) for seat in others])

    assert [said(answer) for answer in answers] == ["RESOURCE_EXHAUSTED OVERLOADED"] * 3
    assert {answer.details.retry_delay_ms for answer in answers if isinstance(answer, Refused)} == {200}
    assert [said(answer) for answer in again] == ["APPLIED"] * 3


async def test_a_large_batch_waits_for_its_own_places_and_leaves_some_to_others(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=30, max_calls_in_flight=20) as made:
        with standing_still(private_valkey):
            batch = asyncio.create_task(
                made.bulk.batch([command(seat, bet("b1", "1")) for seat in made.seats])
            )
            await made.until_in_flight(10)
            lone = asyncio.create_task(made.seats[0].one(bet("lone", "1")))
            await made.until_in_flight(11)
        answers = await batch
        await lone

    assert [said(answer) for answer in answers] == ["APPLIED"] * 30


async def test_an_answer_does_not_wait_for_those_that_were_sent_before_it(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=2) as made:
        one, another = made.seats
        stream = made.bulk.stream()
        with standing_still(private_valkey):
            for number in range(3):
                await stream.send(f"one {number}", command(one, bet(f"b{number}", "1")))
            await stream.send("another", command(another, bet("b0", "1")))
            await made.until_in_flight(2)
        answers = await stream.receive_all()

    assert list(answers) == ["one 0", "another", "one 1", "one 2"]


async def test_a_caller_that_does_not_read_is_not_read_from(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=10, max_commands_under_way=50) as made:
        stream = made.bulk.stream()
        count = 6_000

        async def send() -> None:
            for number in range(count):
                seat = made.seats[number % len(made.seats)]
                await stream.send(str(number), command(seat, bet(f"b{number}", "0.01")))

        sending = asyncio.create_task(send())
        answered = COMMANDS.format(code="OK", method=STREAM)
        await until_it_stands_still(made, answered)
        assert await made.metric(answered) < count / 2

        reading = asyncio.create_task(read_all(stream))
        await sending
        await stream.call.done_writing()
        await reading

    assert Counter(map(said, stream.received.values())) == {"APPLIED": count}


async def read_all(stream: OpenStream) -> None:
    while await stream.receive():
        pass


async def until_it_stands_still(made: House, name: str) -> None:
    """Until a count is above nothing and has not grown between two looks, ten times."""
    seen: list[float] = []

    async def stands_still() -> bool:
        seen.append(await made.metric(name))
        return seen[-1] > 0 and seen[-10:] == [seen[-1]] * 10

    await until(stands_still, what=f"{name} stands still", poll_s=0.05)


async def test_streams_beyond_the_limit_are_shed_until_others_are_given_up(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, max_bulk_calls=2) as made:
        streams = [made.bulk.stream() for _ in range(2)]
        for number, stream in enumerate(streams):
            await stream.send("c", command(made.seats[0], bet(f"b{number}", "1")))
            assert await stream.receive()
        with pytest.raises(Refused) as caught:
            await made.bulk.stream().receive()
        for stream in streams:
            stream.call.cancel()

        async def has_room() -> bool:
            stream = made.bulk.stream()
            try:
                await stream.send("c", command(made.seats[0], bet("b2", "1")))
                await stream.receive_all()
            except Refused:
                return False
            return True

        await until(has_room, what="the places of streams that were given up are free")

    assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")


async def test_what_is_under_way_when_a_stream_is_cancelled_goes_on_to_its_end(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=5) as made:
        stream = made.bulk.stream()
        with standing_still(private_valkey):
            for seat in made.seats:
                await stream.send(seat.player_id, command(seat, bet("b1", "1")))
            await made.until_in_flight(5)
            stream.call.cancel()
            await until_metric(
                made.metrics, f'stakehold_calls_total{{code="CANCELLED",method="{STREAM}"}}', 1
            )
        await made.until_in_flight(0)
        again = await made.bulk.batch([command(seat, bet("b1", "1")) for seat in made.seats])

    assert [said(answer) for answer in again] == ["APPLIED again"] * 5


async def test_commands_are_counted_by_road_and_code(private_valkey: EmbeddedValkey, ledger_dsn: str) -> None:
    async with house(private_valkey, ledger_dsn) as made:
        [seat] = made.seats
        sent = [command(seat, bet("b1", "1")), command(seat, bet("b2", "1000"))]
        await made.bulk.batch(sent)
        stream = made.bulk.stream()
        await stream.send("c", sent[0])
        await stream.receive_all()

        counted = {
            (method, code): await made.metric(COMMANDS.format(code=code, method=method))
            for method in (BATCH, STREAM)
            for code in ("OK", "FAILED_PRECONDITION")
        }
        timed = await made.metric(f'stakehold_command_seconds_count{{method="{BATCH}"}}')

    assert counted == {
        (BATCH, "OK"): 1,
        (BATCH, "FAILED_PRECONDITION"): 1,
        (STREAM, "OK"): 1,
        (STREAM, "FAILED_PRECONDITION"): 0,
    }
    assert timed == 2


async def test_a_large_batch_goes_to_the_store_in_few_batches(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=40) as made:
        commands = [command(made.seats[number % 40], bet(f"b{number}", "0.01")) for number in range(1_000)]
        before = await made.metric("stakehold_batch_calls_count")
        answers = await made.bulk.batch(commands)
        batches = await made.metric("stakehold_batch_calls_count") - before

    assert Counter(map(said, answers)) == {"APPLIED": 1_000}
    assert batches < 100, "forty players, each twenty-five commands after one another"


async def test_batches_of_one_source_leave_room_for_those_of_another(
    private_valkey: EmbeddedValkey, ledger_dsn: str
) -> None:
    async with house(private_valkey, ledger_dsn, players=2, max_bulk_calls=5) as made:
        greedy, other = made.seats
        modest = replace(other, source_id=new_name("games"))
        await other.api.put_source(modest.source_id)
        with standing_still(private_valkey):
            held = [
                asyncio.create_task(made.bulk.batch([command(greedy, bet(f"b{number}", "1"))]))
                for number in range(4)
            ]
            await until_metric(made.metrics, "stakehold_calls_in_flight", 4)
            with pytest.raises(Refused) as caught:
                await made.bulk.batch([command(greedy, bet("b4", "1"))])
            let_in = asyncio.create_task(made.bulk.batch([command(modest, bet("b", "1"))]))
            await until_metric(made.metrics, "stakehold_calls_in_flight", 5)
        answers = [*await asyncio.gather(*held), await let_in]

    assert caught.value.details.metadata == {"cause": "source", "source_id": greedy.source_id}
    assert [said(answer) for [answer] in answers] == ["APPLIED"] * 5


async def test_a_source_without_a_place_holds_up_no_other_one_of_its_batch(
    private_valkey: EmbeddedValkey, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_admissions: list[Admission] = []

    class KeptAdmission(Admission):
        def __init__(self, most: int) -> None:
            super().__init__(most)
            made_admissions.append(self)

    monkeypatch.setattr("service.server.Admission", KeptAdmission)
    async with house(private_valkey, ledger_dsn, players=2, max_calls_in_flight=20) as made:
        busy, other = made.seats
        free = replace(other, source_id=new_name("games"))
        await other.api.put_source(free.source_id)
        admission = made_admissions[0]
        for _ in range(10):
            admission.enter(busy.source_id)
        pairs = [
            (command(busy, bet(f"b{number}", "1")), command(free, bet(f"b{number}", "1")))
            for number in range(20)
        ]
        answers = await made.bulk.batch([sent for pair in pairs for sent in pair])
        for _ in range(10):
            admission.leave(busy.source_id)

    assert [said(answer) for answer in answers[::2]] == ["RESOURCE_EXHAUSTED OVERLOADED"] * 20
    assert [said(answer) for answer in answers[1::2]] == ["APPLIED"] * 20
