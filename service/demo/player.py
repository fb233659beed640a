"""Plays a play: many players at once, each player's turns in order."""

import asyncio
from collections import deque
from collections.abc import Sequence

from service.demo.caller import Caller, Progress
from service.demo.expectations import surprise
from service.demo.plays import Line, Turn, acts_of, turns_of
from service.demo.tally import Tally


async def play(
    lines: Sequence[Line], caller: Caller, tally: Tally, *, concurrency: int, progress: Progress
) -> None:
    """Plays act after act. In an act of players, the earliest turn that may be played comes first.

    ``progress`` is told of each line, and of each command of a submission that is decided.
    """
    for act in acts_of(lines):
        turns = {player: deque(theirs) for player, theirs in turns_of(act).items()}
        for turn in turns.pop("", ()):
            await _play_turn(turn, caller, tally, progress)
            progress(len(turn))
        if turns:
            await _play_act(turns, caller, tally, concurrency=concurrency, progress=progress)


async def _play_act(
    turns: dict[str, deque[Turn]], caller: Caller, tally: Tally, *, concurrency: int, progress: Progress
) -> None:
    waiting: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
    for player, theirs in turns.items():
        waiting.put_nowait((theirs[0][0].number, player))

    async def take_turns() -> None:
        while True:
            _, player = await waiting.get()
            turn = turns[player].popleft()
            await _play_turn(turn, caller, tally, progress)
            progress(len(turn))
            if turns[player]:
                waiting.put_nowait((turns[player][0][0].number, player))
            waiting.task_done()

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(take_turns()) for _ in range(concurrency)]
        await waiting.join()
        for worker in workers:
            worker.cancel()


async def _play_turn(turn: Turn, caller: Caller, tally: Tally, progress: Progress) -> None:
    if len(turn) == 1:
        await _play_line(turn[0], caller, tally, progress)
        return
    async with asyncio.TaskGroup() as group:
        for line in turn:
            group.create_task(_play_line(line, caller, tally, progress))


async def _play_line(line: Line, caller: Caller, tally: Tally, progress: Progress) -> None:
    if line.lost:
        await caller.lose(line)
        tally.lost += 1
        return
    sent = await (caller.ask_until(line, progress=progress) if line.until_s else caller.send(line))
    tally.take(line, sent, surprise(line.expect, sent.answer, asked_again=sent.retries > 0))
