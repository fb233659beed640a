"""The store, whether it is one primary or a Cluster: what its address says decides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from lua import Script
from persistence.valkey.addresses import StoreAddress
from persistence.valkey.batcher import ScriptBatcher
from persistence.valkey.cluster import ClusterRunner
from persistence.valkey.node import node_connections
from persistence.valkey.stages import OnStage

_log = structlog.get_logger(__name__)


class StoreRunner(Protocol):
    """Runs scripts where their keys are. ``on_batch`` hears the size of every batch, ``on_unconfirmed`` of
    every one that replicas did not confirm, ``on_stage`` where a batch's time has gone.
    """

    on_batch: Callable[[int], None]
    on_unconfirmed: Callable[[], None]
    on_stage: OnStage

    @property
    def waiting_count(self) -> int: ...

    async def connect(self) -> None:
        """Connects and checks all primaries. Raises StoreUnavailable, or StoreUnsafe with what to change."""

    async def incarnation(self, key: str) -> str:
        """The incarnation of the primary that has the key. Raises as ``connect`` does."""

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None = None,
    ) -> Sequence[bytes]:
        """Runs a script and returns its reply once that is durable; see ScriptBatcher."""

    def submit(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes],
        *,
        deadline: float,
        incarnation: str | None = None,
    ) -> "asyncio.Future[Sequence[bytes]]":
        """The same for one of many calls that come together; see ScriptBatcher."""


@asynccontextmanager
async def open_store(
    url: str,
    *,
    scripts: Sequence[Script],
    timeout_s: float,
    max_waiting: int,
    max_batch: int = 512,
    check_every_s: float = 5.0,
    replicas: int = 0,
) -> AsyncIterator[StoreRunner]:
    """A runner that connects when it is first used; the parameters are ScriptBatcher's.

    Raises SetupRefused for an address that is none.
    """

    def batcher_of(node_url: str) -> ScriptBatcher:
        return ScriptBatcher(
            node_connections(node_url, timeout_s),
            scripts=scripts,
            timeout_s=timeout_s,
            max_waiting=max_waiting,
            max_batch=max_batch,
            check_every_s=check_every_s,
            replicas=replicas,
        )

    address = StoreAddress.parse(url)
    if address.is_cluster and not replicas:
        _log.warning(
            "cluster_without_confirmation",
            advice="a primary that is replaced takes answers with it that its replicas had not got yet: set "
            "STAKEHOLD_DURABILITY=replicated",
        )
    if address.is_cluster:
        cluster = ClusterRunner(address, batcher_of=batcher_of, timeout_s=timeout_s, max_waiting=max_waiting)
        async with cluster:
            yield cluster
    else:
        async with batcher_of(url) as batcher:
            yield batcher
