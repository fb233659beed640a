"""Brings back into the store's memory what it has not, or not any more: players, ids, rounds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import filterfalse
from typing import Protocol

from lua import Script
from persistence.errors import DeadlineExceeded, LedgerUnavailable
from persistence.gathering import Gathering
from persistence.player_memory import PlayerMemory, Question, Recollection
from persistence.transactions import SEPARATOR, PlayerId
from persistence.valkey.requests import Request
from persistence.valkey.residence import LOAD_PLAYER, RECALL, load_arguments, recall_arguments
from persistence.witness import Witness

_STALE_PAUSE_S = 0.02
_MOST_TOGETHER = 64
_QUERIES_AT_ONCE = 2
_OLDER_IN_A_TURN = 500
"""A filter of more fields is made beside the loop: each takes 10 µs, and others wait for their calls."""


class Runner(Protocol):
    """Runs a script where its keys are."""

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None,
    ) -> Sequence[bytes]: ...


class Memory(Protocol):
    """What the ledger knows of players: persistence.postgres.reading.memory."""

    async def players(
        self, players: Sequence[PlayerId], *, since_ms: int, most_ids: int, most_older: int
    ) -> Sequence[PlayerMemory]: ...

    async def recall(self, questions: Sequence[Question]) -> Sequence[Recollection]: ...


@dataclass(slots=True)
class HydrationCounts:
    """What was done since the start. ``unchecked`` calls had ids that were taken as new, unasked."""

    loaded: int = 0
    recalled: int = 0
    unchecked: int = 0


class Hydration:
    """Loads players and recalls ids for one engine. Use as an async context manager.

    ``window_s`` is how far back ids are loaded with a player; ``now_ms`` the clock that it is counted from.
    Not more than ``most_ids`` are: the rest, and all that is older, is recalled when it is asked for. Loading
    one player takes at most ``load_timeout_s``, whoever waits for it; asking about ids at most
    ``recall_timeout_s``, after which the ledger counts as away. Both raise LedgerUnavailable, Overloaded and
    DeadlineExceeded, and what running a script raises; nothing that moves money was done then.
    """

    def __init__(
        self,
        runner: Runner,
        memory: Memory,
        *,
        window_s: float,
        now_ms: Callable[[], int],
        most_ids: int = 1000,
        most_older: int = 20_000,
        load_timeout_s: float = 10.0,
        recall_timeout_s: float = 1.0,
    ) -> None:
        self._runner = runner
        self._memory = memory
        self._window_ms = round(window_s * 1000)
        self._now_ms = now_ms
        self._most_ids = most_ids
        self._most_older = most_older
        self._load_timeout_s = load_timeout_s
        self._recall_timeout_s = recall_timeout_s
        self._players = Gathering(self._read_players, most=_MOST_TOGETHER, at_once=_QUERIES_AT_ONCE)
        self._recollections = Gathering(memory.recall, most=_MOST_TOGETHER, at_once=_QUERIES_AT_ONCE)
        self._loading: dict[PlayerId, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()
        self.counts = HydrationCounts()

    async def __aenter__(self) -> "Hydration":
        await self._stack.enter_async_context(self._players)
        await self._stack.enter_async_context(self._recollections)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await self._stack.aclose()

    async def load(
        self, player_id: PlayerId, keys: Sequence[str], witness: Witness, *, deadline: float
    ) -> None:
        """Makes a player resident, once for all calls that wait for it."""
        task = self._loading.get(player_id)
        if task is None:
            task = asyncio.create_task(self._load(player_id, keys, witness), name="load-player")
            self._loading[player_id] = task
            task.add_done_callback(lambda _: self._loading.pop(player_id, None))
            task.add_done_callback(_retrieve)
        async with _until(deadline):
            await asyncio.shield(task)

    async def recall(
        self,
        player_id: PlayerId,
        keys: Sequence[str],
        witness: Witness,
        request: Request,
        missed: str,
        *,
        deadline: float,
    ) -> None:
        """Puts back what the ledger knows of a request's ids and rounds, and of the one that the script
        missed; the request says afterwards which of them are nowhere.
        """
        recallable = request.recallable()
        request.missed.append(missed)
        ids = dict.fromkeys((*recallable.ids, *filter(_is_id, request.missed)))
        rounds = dict.fromkeys((*recallable.rounds, *filterfalse(_is_id, request.missed)))
        try:
            found = await self._ask_ledger(Question(player_id, tuple(ids), tuple(rounds)), deadline)
        except LedgerUnavailable:
            if missed not in recallable.may_go_unchecked:
                raise
            self.counts.unchecked += 1
            request.tell_unchecked(recallable.may_go_unchecked)
            return
        self.counts.recalled += 1
        if found.ids or found.rounds:
            await self._runner.run(
                RECALL,
                keys,
                [str(witness), *recall_arguments(found)],
                deadline=deadline,
                incarnation=witness.incarnation,
            )
        absent = [field for field in ids if field not in found.ids]
        absent += [field for field in rounds if field not in found.rounds]
        request.tell_absent(found.cursor, absent)

    async def _ask_ledger(self, question: Question, deadline: float) -> Recollection:
        """Raises LedgerUnavailable also where it takes too long: play does not wait for it."""
        latest = asyncio.get_running_loop().time() + self._recall_timeout_s
        try:
            async with _until(min(deadline, latest)):
                return await self._recollections.ask(question)
        except DeadlineExceeded:
            if deadline <= latest:
                raise
            raise LedgerUnavailable("the ledger did not answer in time") from None

    async def _load(self, player_id: PlayerId, keys: Sequence[str], witness: Witness) -> None:
        deadline = asyncio.get_running_loop().time() + self._load_timeout_s
        while True:
            memory = await self._ask_memory(player_id, deadline)
            arguments = await _arguments(memory)
            (word, *_) = await self._runner.run(
                LOAD_PLAYER,
                keys,
                [str(witness), *arguments],
                deadline=deadline,
                incarnation=witness.incarnation,
            )
            if word != b"STALE":
                self.counts.loaded += word == b"OK"
                return
            # What the store handed over is on its way into the ledger: the drainer is not there yet.
            if asyncio.get_running_loop().time() + _STALE_PAUSE_S > deadline:
                raise LedgerUnavailable("the ledger is still being drained")
            await asyncio.sleep(_STALE_PAUSE_S)

    async def _ask_memory(self, player_id: PlayerId, deadline: float) -> PlayerMemory:
        try:
            async with _until(deadline):
                return await self._players.ask(player_id)
        except DeadlineExceeded:
            raise LedgerUnavailable("the ledger did not answer in time") from None

    async def _read_players(self, players: Sequence[PlayerId]) -> Sequence[PlayerMemory]:
        return await self._memory.players(
            players,
            since_ms=self._now_ms() - self._window_ms,
            most_ids=self._most_ids,
            most_older=self._most_older,
        )


async def _arguments(memory: PlayerMemory) -> list[str | bytes]:
    if len(memory.older or ()) <= _OLDER_IN_A_TURN:
        return load_arguments(memory)
    return await asyncio.to_thread(load_arguments, memory)


def _is_id(field: str) -> bool:
    """Whether it is the field of an id; rounds have a separator more."""
    return field.count(SEPARATOR) == 1


@asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    """Raises DeadlineExceeded at the moment, in the loop's time."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise DeadlineExceeded("the deadline passed while the ledger was asked") from None


def _retrieve(task: "asyncio.Task[None]") -> None:
    """Nobody may be waiting any more for what a task raises."""
    if not task.cancelled():
        task.exception()
