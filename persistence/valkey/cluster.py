"""Runs scripts in a Valkey Cluster: each on the primary that has its keys' slot."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from lua import Script
from persistence.errors import (
    DeadlineExceeded,
    IncarnationChanged,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from persistence.valkey.addresses import NodeAddress, StoreAddress
from persistence.valkey.batcher import ScriptBatcher
from persistence.valkey.stages import OnStage, Stage
from persistence.valkey.topology import Topology, read_topology

_log = structlog.get_logger(__name__)

_Said = TypeVar("_Said")

LOOK_EVERY_S = 0.1
"""How much time lies between two looks at the topology, however many calls find it wrong."""
MOST_NODES = 3
"""On how many nodes one call is tried, each time because the one before certainly did not run it."""


class ClusterRunner:
    """A ScriptBatcher for each primary, made on demand by ``batcher_of`` from the node's address. Use as an
    async context manager. ``max_waiting`` bounds the calls that wait for all nodes together.

    The topology is only a hint, and looked at again when a node refuses a call or cannot be reached. A call
    is sent to another node only after the first has certainly not run it, and where it names an incarnation,
    only if that node has this very one. So a slot's new primary, promoted or migrated to, is used after the
    partition has been taken over there, and not before.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        batcher_of: Callable[[str], ScriptBatcher],
        timeout_s: float,
        max_waiting: int,
    ) -> None:
        self._address = address
        self._batcher_of = batcher_of
        self._timeout_s = timeout_s
        self._max_waiting = max_waiting
        self._topology: Topology | None = None
        self._look_time = 0.0
        self._looking: asyncio.Task[Topology] | None = None
        self._batchers: dict[NodeAddress, ScriptBatcher] = {}
        self._is_stopping = False
        self.on_batch: Callable[[int], None] = lambda size: None
        self.on_unconfirmed: Callable[[], None] = lambda: None
        self.on_stage: OnStage = lambda stage, seconds: None

    async def __aenter__(self) -> "ClusterRunner":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_stopping = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(batcher.stop() for batcher in self._batchers.values()))

    @property
    def waiting_count(self) -> int:
        return sum(batcher.waiting_count for batcher in self._batchers.values())

    async def connect(self) -> None:
        """Connects and checks all primaries that can be reached; the others are when they are needed.

        Raises StoreUnavailable where none can be, or StoreUnsafe with what to change.
        """
        primaries = (await self._look()).primaries
        connecting = (self._batcher_at(node).connect() for node in primaries)
        problems = [said for said in await asyncio.gather(*connecting, return_exceptions=True) if said]
        for problem in problems:
            if not isinstance(problem, StoreUnavailable) or len(problems) == len(primaries):
                raise problem
            _log.warning("store_node_unreachable", error=str(problem))

    async def incarnation(self, key: str) -> str:
        """The incarnation of the primary that has the key's slot. Raises as ``connect`` does."""
        deadline = asyncio.get_running_loop().time() + MOST_NODES * self._timeout_s
        return await self._on_primary(key, lambda batcher: batcher.incarnation(key), deadline)

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None = None,
    ) -> Sequence[bytes]:
        """As ScriptBatcher does. All keys have one hash tag."""
        if self.waiting_count >= self._max_waiting:
            raise Overloaded("too many calls are waiting for the store", retry_delay_ms=100)
        return await self._on_primary(
            keys[0],
            lambda batcher: batcher.run(script, keys, arguments, deadline=deadline, incarnation=incarnation),
            deadline,
        )

    def submit(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None = None,
    ) -> "asyncio.Future[Sequence[bytes]]":
        """As ScriptBatcher does. Raises everything in the future: where a call runs may have to be found."""
        return asyncio.get_running_loop().create_task(
            self._submit(script, keys, arguments, deadline, incarnation)
        )

    async def _submit(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        deadline: float,
        incarnation: str | None,
    ) -> Sequence[bytes]:
        async def ask(batcher: ScriptBatcher) -> Sequence[bytes]:
            return await batcher.submit(script, keys, arguments, deadline=deadline, incarnation=incarnation)

        return await self._on_primary(keys[0], ask, deadline)

    async def _on_primary(
        self, key: str, ask: Callable[[ScriptBatcher], Awaitable[_Said]], deadline: float
    ) -> _Said:
        """Asks the key's primary; after a new look another one, where the first has not done anything."""
        if self._is_stopping:
            raise StoreUnavailable("the service is stopping")
        problem: StoreUnavailable | IncarnationChanged | None = None
        before: NodeAddress | None = None
        topology = self._topology or await self._look_by(deadline)
        for _ in range(MOST_NODES):
            try:
                node = topology.primary_of(key)
                if problem is not None and node == before:
                    break
                before = node
                return await ask(self._batcher_at(node))
            except (StoreUnavailable, IncarnationChanged) as error:
                problem = error
            except OutcomeUnknown:
                if not self._is_stopping:
                    self._start_look()
                raise
            topology = await self._look_by(deadline)
        assert problem is not None
        raise problem

    def _batcher_at(self, node: NodeAddress) -> ScriptBatcher:
        batcher = self._batchers.get(node)
        if batcher is None:
            batcher = self._batchers[node] = self._batcher_of(self._address.url_of(node))
            batcher.on_batch = self._observe_batch
            batcher.on_unconfirmed = self._observe_unconfirmed
            batcher.on_stage = self._observe_stage
            batcher.start()
        return batcher

    def _observe_batch(self, size: int) -> None:
        self.on_batch(size)

    def _observe_unconfirmed(self) -> None:
        self.on_unconfirmed()

    def _observe_stage(self, stage: Stage, seconds: float) -> None:
        self.on_stage(stage, seconds)

    async def _look_by(self, deadline: float) -> Topology:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._look()
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed while the store's primaries were looked for"
            ) from None

    async def _look(self) -> Topology:
        """The topology, looked at anew, once for all who ask at the same time."""
        looking = self._start_look()
        try:
            return await asyncio.shield(looking)
        except asyncio.CancelledError:
            if looking.cancelled():  # and not who asked
                raise StoreUnavailable("the service is stopping") from None
            raise

    def _start_look(self) -> "asyncio.Task[Topology]":
        if self._is_stopping:
            raise StoreUnavailable("the service is stopping")
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_again(), name="topology")
            self._looking.add_done_callback(self._looked)
        return self._looking

    def _looked(self, task: "asyncio.Task[Topology]") -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()

    async def _look_again(self) -> Topology:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._look_time - loop.time()))
        try:
            known = self._topology.nodes if self._topology else ()
            self._topology = await read_topology(self._address, known, timeout_s=self._timeout_s)
        finally:
            self._look_time = loop.time() + LOOK_EVERY_S
        await self._retire(self._topology)
        return self._topology

    async def _retire(self, topology: Topology) -> None:
        """Stops the batchers of nodes that are no primaries any more, as soon as nobody waits for them."""
        primaries = set(topology.primaries)
        for node in [node for node in self._batchers if node not in primaries]:
            if self._batchers[node].is_idle:
                await self._batchers.pop(node).stop()
