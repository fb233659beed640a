"""A server that stops, or is killed, in the middle of batches and streams."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from service.embedded import EmbeddedValkey
from service.embedded.children import Child
from service.embedded.ports import LOOPBACK, free_port
from stakehold.v1 import command_pb2
from tests.acceptance.seat import Seat, seated
from tests.answers import Refused
from tests.bulk_api import Answer, BulkApi, OpenStream, bulk_api, command, said
from tests.deployment import service_environment
from tests.integration.test_serve_command import started
from tests.serving import Grounds
from tests.steps import bet
from tests.waiting import until
from tests.wallet_api import wallet_api

STREAMS = 3
PLAYERS = 10
"""Of each stream, and of the batch."""
MOST = 1_000
"""Bets of 0.01 in a batch."""

STOPPING = "UNAVAILABLE STOPPING"


@dataclass(slots=True)
class Played:
    """One stream's bets: those sent, in turn over its players, and how the stream ended."""

    seats: list[Seat]
    prefix: str
    stream: OpenStream
    sent: list[str] = field(default_factory=list)
    told_to_stop: bool = False
    end: str = ""

    async def play(self) -> None:
        writing = asyncio.create_task(self._write())
        try:
            while await self.stream.receive():
                self.told_to_stop = said(next(reversed(self.stream.received.values()))) == STOPPING
            self.end = "OK"
        except Refused as ended:
            self.end = f"{ended.code} {ended.reason or ended.details.message}"
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    async def _write(self) -> None:
        for number in range(4 * MOST):
            name = f"{self.prefix}-{number}"
            if self.told_to_stop:
                return
            self.sent.append(name)
            await self.stream.send(name, self.command(number))

    def command(self, number: int) -> command_pb2.Command:
        return command(self.seats[number % PLAYERS], bet(f"{self.prefix}-{number}", "0.01"))


@dataclass(frozen=True, slots=True)
class Table:
    """A server process, and players of one source, for each stream and for the batch."""

    address: str
    server: Child
    seats: list[list[Seat]]


@asynccontextmanager
async def table(valkey: EmbeddedValkey, ledger_dsn: str, folder: Path) -> AsyncIterator[Table]:
    address = f"{LOOPBACK}:{free_port()}"
    settings = {"STAKEHOLD_SHUTDOWN_GRACE_S": "30"}
    environment = service_environment(valkey.url, ledger_dsn, address=address, settings=settings)
    async with started(folder, environment) as server, wallet_api(address) as api:
        source_id = (await seated(api)).source_id

        async def some_seats() -> list[Seat]:
            return [replace(await seated(api, start="1000"), source_id=source_id) for _ in range(PLAYERS)]

        yield Table(address, server, [await some_seats() for _ in range(STREAMS + 1)])


async def streams_under_way(made: Table, bulk: BulkApi) -> tuple[list[Played], "asyncio.Future[list[None]]"]:
    """Returns once all of them have had many answers."""
    played = [Played(made.seats[number], f"s{number}", bulk.stream()) for number in range(STREAMS)]
    playing = asyncio.gather(*(one.play() for one in played))

    async def are_under_way() -> bool:
        return all(len(one.stream.received) > 100 for one in played)

    await until(are_under_way, what="streams are under way")
    return played, playing


async def test_a_server_that_stops_answers_what_it_has_read_and_nothing_else_was_done(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with table(private_valkey, ledger_dsn, tmp_path) as made, bulk_api(made.address) as bulk:
        commands = [
            command(made.seats[STREAMS][number % PLAYERS], bet(f"b{number}", "0.01"))
            for number in range(MOST)
        ]
        played, playing = await streams_under_way(made, bulk)
        batching = asyncio.create_task(words_of_batch(bulk, commands))
        await asyncio.sleep(0.02)
        made.server.process.send_signal(signal.SIGTERM)
        await playing
        batch = await batching
        assert await made.server.exited() == 0, made.server.log_tail()

    assert [one.end for one in played] == [STOPPING] * STREAMS
    assert set(batch) <= {"APPLIED", STOPPING}
    async with Grounds(private_valkey.url, ledger_dsn).serving() as after:
        async with bulk_api(after.address) as again:
            replays = await again.batch(commands)
        assert [said(answer) == "APPLIED again" for answer in replays] == [
            word == "APPLIED" for word in batch
        ]
        for one in played:
            assert one.told_to_stop, "the server stopped in the middle"
            await require_all_consistent(after.address, one, lost_may_be_done=False)


async def test_a_server_that_is_killed_loses_and_doubles_nothing(
    private_valkey: EmbeddedValkey, ledger_dsn: str, tmp_path: Path
) -> None:
    async with table(private_valkey, ledger_dsn, tmp_path) as made, bulk_api(made.address) as bulk:
        played, playing = await streams_under_way(made, bulk)
        made.server.process.kill()
        await playing

    assert {one.end.split()[0] for one in played} <= {"UNAVAILABLE", "INTERNAL", "UNKNOWN"}
    async with Grounds(private_valkey.url, ledger_dsn).serving() as after:
        for one in played:
            await require_all_consistent(after.address, one, lost_may_be_done=True)


async def words_of_batch(bulk: BulkApi, commands: list[command_pb2.Command]) -> list[str]:
    """What each command was told, also where the whole batch came too late."""
    try:
        return [said(answer) for answer in await bulk.batch(commands)]
    except Refused as refused:
        return [f"{refused.code} {refused.reason}"] * len(commands)


async def require_all_consistent(address: str, one: Played, *, lost_may_be_done: bool) -> None:
    """Sends again all that the stream was sent, in batches, and compares; the money must agree, too."""
    sent = one.sent
    again: dict[str, Answer] = {}
    async with bulk_api(address) as bulk:
        for start in range(0, len(sent), MOST):
            names = sent[start : start + MOST]
            answers = await bulk.batch([one.command(start + number) for number in range(len(names))])
            again |= dict(zip(names, answers, strict=True))
    for name, second in again.items():
        first = one.stream.received.get(name)
        if first is None or isinstance(first, Refused):
            assert first is None or said(first) == STOPPING, said(first)
            assert said(second) == "APPLIED" or (lost_may_be_done and first is None)
        else:
            assert not isinstance(second, Refused)
            assert said(second) == "APPLIED again", f"{name} was answered and is gone"
            assert second[0].entry_id == first[0].entry_id
    async with wallet_api(address) as api:
        cash = [Decimal(await replace(seat, api=api).cash()) for seat in one.seats]
    assert sum(cash) == PLAYERS * 1_000 - len(again) / Decimal(100)
