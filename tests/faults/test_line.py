"""Lines break as they say, and are sound again when they are healed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from service.embedded.ports import LOOPBACK
from tests.faults.line import Line, line_to

SOON_S = 0.2
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Talk:
    """A connection to a server that answers each line with the same line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, word: str, *, within_s: float = PATIENCE_S) -> str:
        self.writer.write(f"{word}\n".encode())
        async with asyncio.timeout(within_s):
            return (await self.reader.readuntil()).decode().strip()

    async def ended(self) -> str:
        """How the connection ends, in one word."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return "silence" if await self.reader.read() else "closed"
            except ConnectionResetError:
                return "reset"


@dataclass(slots=True)
class Echo:
    """``heard`` is what reached the server."""

    line: Line
    heard: list[str]

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[Talk]:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.line.port)
        try:
            yield Talk(reader, writer)
        finally:
            writer.transport.abort()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[Echo]:
    heard: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while said := await reader.readline():
                heard.append(said.decode().strip())
                writer.write(said)
        except ConnectionResetError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server, line_to(server.sockets[0].getsockname()[1]) as line:
        yield Echo(line, heard)


async def test_a_sound_line_passes_everything_on_for_several_connections(echo: Echo) -> None:
    async with echo.talking() as one, echo.talking() as other:
        assert [await one.ask("a"), await other.ask("b"), await one.ask("c")] == ["a", "b", "c"]
        assert echo.line.connection_count == 2


async def test_a_cut_resets_what_is_connected_and_lets_callers_connect_again(echo: Echo) -> None:
    async with echo.talking() as talk:
        await talk.ask("a")
        echo.line.cut()
        assert await talk.ended() == "reset"
    async with echo.talking() as talk:
        assert await talk.ask("b") == "b"


async def test_a_half_open_line_delivers_the_question_and_swallows_the_answer(echo: Echo) -> None:
    async with echo.talking() as talk:
        echo.line.swallow(there=False, back=True)
        with pytest.raises(TimeoutError):
            await talk.ask("a", within_s=SOON_S)
        assert echo.heard == ["a"]


async def test_a_half_open_line_swallows_questions_without_a_word(echo: Echo) -> None:
    async with echo.talking() as talk:
        echo.line.swallow(there=True, back=False)
        with pytest.raises(TimeoutError):
            await talk.ask("a", within_s=SOON_S)
        assert echo.heard == []


async def test_a_connection_that_lost_bytes_does_not_survive_the_healing(echo: Echo) -> None:
    async with echo.talking() as talk:
        await talk.ask("a")
        echo.line.swallow()
        with pytest.raises(TimeoutError):
            await talk.ask("b", within_s=SOON_S)
        await echo.line.heal()
        assert await talk.ended() == "reset"
    async with echo.talking() as talk:
        assert await talk.ask("c") == "c"


async def test_a_slow_line_delivers_later(echo: Echo) -> None:
    async with echo.talking() as talk:
        echo.line.delay(SOON_S)
        before = asyncio.get_running_loop().time()
        assert await talk.ask("a") == "a"
        assert asyncio.get_running_loop().time() - before >= 2 * SOON_S


async def test_a_refusing_line_keeps_its_connections_and_takes_no_new_ones(echo: Echo) -> None:
    async with echo.talking() as talk:
        echo.line.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, echo.line.port)
        assert await talk.ask("a") == "a"
    await echo.line.heal()
    async with echo.talking() as talk:
        assert await talk.ask("b") == "b"


async def test_a_line_to_nobody_resets_its_callers() -> None:
    async with line_to(1) as line:
        reader, writer = await asyncio.open_connection(LOOPBACK, line.port)
        assert await Talk(reader, writer).ended() == "reset"
        writer.close()
