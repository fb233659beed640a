"""Sends a play's calls through the generated stubs, as a careful provider would."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc

from service.demo.answers import Answer, answer_of, answer_of_error
from service.demo.expectations import surprise
from service.demo.plays import Line
from service.demo.services import methods_of

RETRIED = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
RETRY_FOR_S = 60.0
POLL_S = 0.2
FIRST_DELAY_S, LONGEST_DELAY_S = 0.05, 2.0
Progress = Callable[[int], None]
"""Told how much more was done."""
PATIENCE_S = 0.004
"""Calls that are given up are given up within so many seconds: some before they are applied, some after."""


class ServiceGone(Exception):
    """The service does not answer, or not any more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer, with how long the last attempt took and how many attempts came before it."""

    answer: Answer
    latency_s: float
    retries: int


class Caller:
    """At most ``concurrency`` calls are in the air at a time."""

    def __init__(self, channel: grpc.aio.Channel, *, concurrency: int) -> None:
        self._methods = methods_of(channel)
        self._in_the_air = asyncio.Semaphore(concurrency)

    async def send(self, line: Line) -> Sent:
        """Sends until there is an answer: codes that mean "ask again with the same id" are asked again."""
        give_up = time.monotonic() + RETRY_FOR_S
        retries, delay_s = 0, FIRST_DELAY_S
        while True:
            started = time.perf_counter()
            answer = await self._attempt(line)
            latency_s = time.perf_counter() - started
            if answer.code not in RETRIED:
                return Sent(answer, latency_s, retries)
            if time.monotonic() > give_up:
                raise ServiceGone(
                    f"{line} was not answered for {RETRY_FOR_S:.0f} s; the last word was {answer}"
                )
            await asyncio.sleep(max(answer.retry_delay_s, delay_s))
            retries, delay_s = retries + 1, min(2 * delay_s, LONGEST_DELAY_S)

    async def ask_until(self, line: Line, *, progress: Progress) -> Sent:
        """Asks again and again, for as long as the line says, until the answer is one that is allowed."""
        give_up, seen = time.monotonic() + line.until_s, 0
        while True:
            sent = await self.send(line)
            decided = sent.answer.decided()
            progress(max(decided - seen, 0))
            seen = max(decided, seen)
            fits = not surprise(line.expect, sent.answer, asked_again=sent.retries > 0)
            if fits or sent.answer.final or time.monotonic() > give_up:
                return sent
            await asyncio.sleep(POLL_S)

    async def lose(self, line: Line) -> None:
        """Sends once and never learns the answer."""
        if line.lost == "dropped":
            await self.send(line)
            return
        async with self._in_the_air:
            call = self._start(line)
            outcome = asyncio.ensure_future(_outcome(call))
            # The line's own moment, the same in every run.
            await asyncio.wait({outcome}, timeout=Random(line.number).uniform(0, PATIENCE_S))
            call.cancel()
            await outcome

    async def _attempt(self, line: Line) -> Answer:
        async with self._in_the_air:
            answer = await _outcome(self._start(line))
        if answer.next_page_token:
            rest = await self._attempt(line.page(answer.next_page_token))
            return rest.after(answer)
        return answer

    def _start(self, line: Line) -> Any:
        method = self._methods[line.rpc]
        return method.start(method.request(line.request))


async def _outcome(call: Any) -> Answer:
    try:
        return answer_of(await call)
    except grpc.aio.AioRpcError as error:
        return answer_of_error(error)
    except asyncio.CancelledError:
        if call.cancelled():
            return Answer("CANCELLED")
        raise
