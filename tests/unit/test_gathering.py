"""Questions that wait for others to be answered: together, and not without end."""

import asyncio
from collections.abc import Sequence

import pytest

from persistence import gathering
from persistence.errors import Overloaded, Shortage
from persistence.gathering import Gathering

ROOM = 4


class Ledger:
    """Answers with the question, once it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked: list[list[int]] = []

    async def answer(self, questions: Sequence[int]) -> list[int]:
        self.asked.append(list(questions))
        await self.may_answer.wait()
        return list(questions)


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_WAITING", ROOM)


async def ask_all(many: Gathering[int, int], questions: Sequence[int]) -> list[asyncio.Task[int]]:
    """They have asked, and wait."""
    tasks = [asyncio.create_task(many.ask(question)) for question in questions]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_a_question_too_many_is_told_so_and_the_others_are_answered() -> None:
    ledger = Ledger()
    async with Gathering(ledger.answer, most=ROOM, at_once=1) as many:
        under_way = await ask_all(many, [0])
        waiting = await ask_all(many, range(1, ROOM + 1))

        with pytest.raises(Overloaded) as full:
            await asyncio.wait_for(many.ask(99), 1.0)
        ledger.may_answer.set()
        answers = await asyncio.gather(*under_way, *waiting)

        assert full.value.cause is Shortage.QUEUE
        assert answers == list(range(ROOM + 1))
        assert await many.ask(99) == 99


async def test_who_gives_up_makes_room() -> None:
    ledger = Ledger()
    async with Gathering(ledger.answer, most=ROOM, at_once=1) as many:
        under_way = await ask_all(many, [0])
        for task in await ask_all(many, range(1, ROOM + 1)):
            task.cancel()
        await asyncio.sleep(0)

        waiting = await ask_all(many, range(10, 10 + ROOM))
        ledger.may_answer.set()
        answers = await asyncio.gather(*under_way, *waiting)

        assert answers == [0, 10, 11, 12, 13]
        assert ledger.asked == [[0], [10, 11, 12, 13]]
