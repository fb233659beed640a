"""Many commands of one caller on their way: each decided by itself, those of one player in their order.

Nothing here waits for a command with a task of its own. What comes back is told by callbacks, and one task
(``run``) begins what may begin: the next command of each player, as long as the flow and the service have
places.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from persistence.calls import Call, StepResult
from persistence.errors import DeadlineExceeded, Overloaded, Shortage
from persistence.tracing import current_call
from persistence.valkey.engine import End, Engine
from service.admission import BULK_GREED, Admission
from service.callers.gate import CommandGate
from service.conversions.commands import command_call, done_result, error_result, player_id_of, reason_of
from service.conversions.results import currencies_of
from service.explanations import currencies_told_by, explanation_at_once, explanation_of
from service.metrics import CallMetrics
from service.quotes import Quotes
from service.rate_limits import RateLimits
from service.registry import Registry
from service.telemetry.traces import CommandTrace, NoTraces, Traces
from stakehold.v1 import command_pb2 as pb

_BEGUN_IN_A_TURN = 64
"""Commands that are begun before others get a turn of the loop: a millisecond or two."""

_PATIENCE_S = 0.5
"""How long a flow that has nothing under way waits for a place, before it says that there is none."""

Tag = TypeVar("Tag")


@dataclass(frozen=True, slots=True)
class Roads:
    """What all flows share."""

    engine: Engine
    registry: Registry
    quotes: Quotes
    rate_limits: RateLimits
    admission: Admission
    metrics: CallMetrics
    most_under_way: int
    """How many commands of one flow may be under way."""
    traces: Traces = field(default_factory=NoTraces)


@dataclass(slots=True)
class _Item(Generic[Tag]):
    """A command, and what it is called by whoever waits for its result. ``call``: once it has been read;
    ``trace``: once it has begun, if it is traced.
    """

    tag: Tag
    command: pb.Command
    deadline: float
    came: float
    call: Call | None = None
    trace: CommandTrace | None = None


class Flow(Generic[Tag]):
    """Use ``run`` as a task, or await it; ``add`` commands; ``close`` when there are no more.

    ``on_result`` is told each command's result once. ``method`` names the flow in metrics and logs. Once
    ``abandon`` was called nothing more is begun or told; what is under way goes on to its end.
    """

    def __init__(
        self,
        roads: Roads,
        gate: CommandGate,
        on_result: Callable[[Tag, pb.CommandResult], None],
        *,
        method: str,
    ) -> None:
        self._roads = roads
        self._gate = gate
        self._on_result = on_result
        self._method = method
        self._observe = roads.metrics.command_observer_of(method)
        self._traces = roads.traces.commands(method)
        self._lanes: dict[str, deque[_Item[Tag]]] = {}
        self._ready: deque[_Item[Tag]] = deque()
        self._under_way = 0
        self._closed = False
        self._abandoned = False
        self._places: Counter[str] = Counter()
        self._in_vain: set[str] = set()
        self._turn_s: float | None = None
        self._woken = asyncio.Event()
        self._explaining: set[asyncio.Task[None]] = set()

    def add(self, tag: Tag, command: pb.Command, *, deadline: float) -> None:
        """One more command, to be begun after all of the same player that were added before it."""
        item = _Item(tag, command, deadline, time.perf_counter())
        player_id = player_id_of(command)
        lane = self._lanes.get(player_id)
        if lane is None:
            self._lanes[player_id] = deque()
            self._ready.append(item)
        else:
            lane.append(item)
        self._woken.set()

    def refuse(self, tag: Tag, error: Exception) -> None:
        """Tells the result of what was no command."""
        explanation = explanation_at_once(error, self._roads.registry, method=self._method)
        self._observe(explanation.code.name, 0.0)
        self._on_result(tag, error_result(explanation))

    def close(self) -> None:
        """Nothing more will be added."""
        self._closed = True
        self._woken.set()

    def abandon(self) -> None:
        """Nobody waits for results any more."""
        self._abandoned = self._closed = True
        self._ready.clear()
        self._lanes.clear()
        self._woken.set()

    async def run(self) -> None:
        """Begins commands until the flow is closed and all of them have results."""
        while not (self._closed and not self._lanes):
            self._woken.clear()
            begun, has_place = self._begin_some()
            if not has_place and not self._under_way:
                await self._wait_for_a_place()
            elif begun == _BEGUN_IN_A_TURN:
                await asyncio.sleep(0)
            else:
                await self._woken.wait()

    def _begin_some(self) -> tuple[int, bool]:
        """How many were begun or ended in this turn, and whether the next one, too, would find a place."""
        now = asyncio.get_running_loop().time()
        for begun in range(_BEGUN_IN_A_TURN):
            if not self._ready or self._under_way >= self._roads.most_under_way:
                return begun, True
            item = self._ready[0]
            try:
                if item.deadline <= now:
                    raise DeadlineExceeded("the deadline passed before the command was begun")
                if item.call is None:
                    self._gate.require_or_note(item.command)
                    item.call = command_call(item.command, self._roads.registry, self._roads.quotes)
                self._enter(item.call.source.source_id)
            except Overloaded as error:
                if self._may_wait(item, error):
                    return begun, False
                self._end_unbegun(item, error)
            except Exception as error:
                self._end_unbegun(item, error)
            else:
                self._begin(item, item.call)
        return _BEGUN_IN_A_TURN, True

    def _enter(self, source_id: str) -> None:
        """Raises Overloaded, and Stopping: then nothing counts."""
        self._roads.admission.enter(source_id, greed=BULK_GREED)
        try:
            self._roads.rate_limits.take(source_id)
        except Overloaded:
            self._roads.admission.leave(source_id)
            raise

    def _may_wait(self, item: _Item[Tag], error: Overloaded) -> bool:
        """Whether it has time until its source may call again. Where there is no place: whether its source
        has something under way here, or has not waited in vain since it last had.
        """
        assert item.call is not None
        self._turn_s = None
        if error.cause is Shortage.RATE:
            self._turn_s = error.retry_delay_ms / 1000
            return asyncio.get_running_loop().time() + self._turn_s < item.deadline
        source_id = item.call.source.source_id
        return bool(self._places[source_id]) or source_id not in self._in_vain

    async def _wait_for_a_place(self) -> None:
        """A source that waited in vain does so once, or those behind it would wait again and again."""
        if self._turn_s is not None:
            await asyncio.sleep(self._turn_s)
            return
        item = self._ready[0]
        assert item.call is not None
        patience_s = min(_PATIENCE_S, item.deadline - asyncio.get_running_loop().time())
        if not await self._roads.admission.until_one_left(max(patience_s, 0.0)):
            self._in_vain.add(item.call.source.source_id)

    def _begin(self, item: _Item[Tag], call: Call) -> None:
        """Whatever happens from here on, ``_ended`` gives the place back once."""
        source_id = call.source.source_id
        self._ready.popleft()
        self._under_way += 1
        self._places[source_id] += 1
        self._in_vain.discard(source_id)
        on_end = partial(self._ended, item, call)
        if self._traces is not None:
            item.trace = self._traces.begin(item.command.WhichOneof("operation") or "")
        tracing = None if item.trace is None else current_call.set(item.trace.call)
        try:
            self._roads.engine.begin(call, on_end, deadline=item.deadline)
        except Exception as error:
            on_end(error)
        finally:
            if tracing is not None:
                current_call.reset(tracing)

    def _end_unbegun(self, item: _Item[Tag], error: Exception) -> None:
        self._ready.popleft()
        self._under_way += 1
        self._tell_error(item, error)

    def _ended(self, item: _Item[Tag], call: Call, end: End) -> None:
        self._places[call.source.source_id] -= 1
        self._roads.admission.leave(call.source.source_id)
        if isinstance(end, Exception):
            self._tell_error(item, end)
        elif self._roads.registry.knows(currencies_of(end)):
            self._tell_done(item, end)
        else:
            self._explain(self._tell_when_learned(item, end))

    def _tell_done(self, item: _Item[Tag], results: tuple[StepResult, ...]) -> None:
        try:
            result = done_result(results, self._roads.registry)
        except Exception as error:
            self._tell_error(item, error)
        else:
            self._tell(item, result, "OK")

    async def _tell_when_learned(self, item: _Item[Tag], results: tuple[StepResult, ...]) -> None:
        """A wallet is in a currency that another server has put a moment ago."""
        try:
            await self._roads.registry.learn(currencies_of(results))
        except Exception as error:
            self._tell_error(item, error)
        else:
            self._tell_done(item, results)

    def _tell_error(self, item: _Item[Tag], error: Exception) -> None:
        if isinstance(error, Overloaded):
            self._roads.metrics.count_shed(error.cause)
        registry = self._roads.registry
        if registry.knows(currencies_told_by(error)):
            explanation = explanation_at_once(error, registry, method=self._method)
            self._tell(item, error_result(explanation), explanation.code.name)
        else:
            self._explain(self._tell_explained(item, error))

    async def _tell_explained(self, item: _Item[Tag], error: Exception) -> None:
        try:
            explanation = await explanation_of(error, self._roads.registry, method=self._method)
        except Exception as bug:
            explanation = explanation_at_once(bug, self._roads.registry, method=self._method)
        self._tell(item, error_result(explanation), explanation.code.name)

    def _explain(self, telling: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(telling, name="explanation")
        self._explaining.add(task)
        task.add_done_callback(self._explaining.discard)

    def _tell(self, item: _Item[Tag], result: pb.CommandResult, code: str) -> None:
        """The command is over: its result is told, and the next one of its player may begin."""
        self._observe(code, time.perf_counter() - item.came)
        if item.trace is not None:
            item.trace.end(code, reason_of(result))
        self._under_way -= 1
        if self._abandoned:
            return
        player_id = player_id_of(item.command)
        lane = self._lanes[player_id]
        if lane:
            self._ready.append(lane.popleft())
        else:
            del self._lanes[player_id]
        self._on_result(item.tag, result)
        self._woken.set()
