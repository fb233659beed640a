"""Questions that cost about as much one by one as many together."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from persistence.errors import Overloaded

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST_WAITING = 4096
_RETRY_DELAY_MS = 100


class Gathering(Generic[Question, Answer]):
    """Answers questions, all together that came while earlier ones were being answered.

    ``answer`` returns one answer for each question, in order; what it raises is raised to all who asked. At
    most ``most`` questions go together, in at most ``at_once`` tasks; MOST_WAITING wait for their turn.
    Use as an async context manager.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        at_once: int,
    ) -> None:
        self._answer = answer
        self._most = most
        self._at_once = at_once
        self._waiting: OrderedDict[asyncio.Future[Answer], Question] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Gathering[Question, Answer]":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, question: Question) -> Answer:
        """The answer. Whoever stops waiting for it does not hold up the others, nor takes their room.

        Raises Overloaded where too many wait; the question is not asked then.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded("too many questions are waiting for the ledger", retry_delay_ms=_RETRY_DELAY_MS)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[future] = question
        if len(self._tasks) < self._at_once:
            task = asyncio.create_task(self._work(), name="gathering")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            return await future
        finally:
            self._waiting.pop(future, None)

    async def _work(self) -> None:
        while self._waiting:
            count = min(self._most, len(self._waiting))
            wanted = [self._waiting.popitem(last=False) for _ in range(count)]
            try:
                answers = await self._answer([question for _, question in wanted])
            except BaseException as error:
                for future, _ in wanted:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for (future, _), answer in zip(wanted, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
