"""Questions that cost about as much one by one as many together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """Answers questions, all together that came while earlier ones were being answered.

    ``answer`` returns one answer for each question, in order; what it raises is raised to all who asked. At
    most ``most`` questions go together, in at most ``at_once`` tasks. Use as an async context manager.
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
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Gathering[Question, Answer]":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ask(self, question: Question) -> Answer:
        """The answer. Whoever stops waiting for it does not hold up the others."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if len(self._tasks) < self._at_once:
            task = asyncio.create_task(self._work(), name="gathering")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            count = min(self._most, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            wanted = [(question, future) for question, future in batch if not future.done()]
            try:
                answers = await self._answer([question for question, _ in wanted])
            except BaseException as error:
                for _, future in wanted:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, future), answer in zip(wanted, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
