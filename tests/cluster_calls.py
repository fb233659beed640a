"""Calls to a real Valkey Cluster, and what is done to it meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from persistence.errors import IncarnationChanged, OutcomeUnknown, StoreUnavailable
from persistence.valkey.addresses import StoreAddress
from persistence.valkey.keys import outbox_key
from persistence.valkey.slots import slot_of
from persistence.valkey.store import StoreRunner, open_store
from persistence.valkey.topology import Topology, read_topology
from service.embedded import EmbeddedCluster, EmbeddedValkey
from tests.hot_path import COUNT, PATIENCE_S, READ, ask, moment
from tests.waiting import until

TIMEOUT_S = 1.0
PARTITIONS = range(16)


def runs_key(partition: int, name: str = "runs") -> str:
    """A key of the partition's."""
    return outbox_key(partition).replace("outbox", name)


@dataclass(slots=True)
class ClusterCalls:
    """Counts under keys. ``answered`` and ``unknown`` are how many calls ended so."""

    runner: StoreRunner
    answered: int = 0
    unknown: int = 0
    batches: list[int] = field(default_factory=list)

    async def count(self, key: str, incarnation: str | None = None) -> int:
        try:
            count, _ = await self.runner.run(
                COUNT, [key], [""], deadline=moment(PATIENCE_S), incarnation=incarnation
            )
        except OutcomeUnknown:
            self.unknown += 1
            raise
        self.answered += 1
        return int(count)

    async def read(self, key: str, incarnation: str | None = None) -> int:
        (count,) = await self.runner.run(
            READ, [key], [], deadline=moment(PATIENCE_S), incarnation=incarnation
        )
        return int(count)

    async def count_until_answered(self, key: str, incarnation: str) -> tuple[int, str]:
        """Counts again and again, taking over what it finds, until a call is answered."""
        while True:
            try:
                return await self.count(key, incarnation), incarnation
            except IncarnationChanged as error:
                incarnation = error.found
            except (StoreUnavailable, OutcomeUnknown):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def cluster_calls(
    cluster: EmbeddedCluster, *, replicas: int = 0, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[ClusterCalls]:
    store = open_store(
        cluster.url,
        scripts=(COUNT, READ),
        timeout_s=timeout_s,
        max_waiting=1000,
        replicas=replicas,
    )
    async with store as runner:
        calls = ClusterCalls(runner)
        runner.on_batch = calls.batches.append
        await runner.connect()
        yield calls


async def topology_of(cluster: EmbeddedCluster) -> Topology:
    return await read_topology(StoreAddress.parse(cluster.url), timeout_s=TIMEOUT_S)


async def primary_of(cluster: EmbeddedCluster, key: str) -> EmbeddedValkey:
    port = (await topology_of(cluster)).primary_of(key).port
    return next(node for node in cluster.nodes if node.port == port)


async def primaries_of(cluster: EmbeddedCluster) -> list[EmbeddedValkey]:
    ports = {node.port for node in (await topology_of(cluster)).primaries}
    return [node for node in cluster.nodes if node.port in ports]


async def asked(node: EmbeddedValkey, command: str) -> object:
    """Any command, on the node itself."""
    async with Redis.from_url(node.url) as client:
        return await ask(client, command)


async def replica_of(node: EmbeddedValkey, cluster: EmbeddedCluster) -> EmbeddedValkey:
    """Its one replica."""
    async with Redis.from_url(node.url) as client:
        port = (await client.info("replication"))["slave0"]["port"]
    return next(other for other in cluster.nodes if other.port == port)


async def is_primary(node: EmbeddedValkey) -> bool:
    async with Redis.from_url(node.url) as client:
        return str((await client.info("replication"))["role"]) == "master"


async def until_promoted(node: EmbeddedValkey) -> None:
    await until(lambda: is_primary(node), what="the replica is promoted")


async def offers_slot_migration(node: EmbeddedValkey) -> bool:
    """Whether it can migrate a slot as a whole."""
    try:
        await asked(node, "CLUSTER GETSLOTMIGRATIONS")
    except ResponseError:
        return False
    return True


class Migration:
    """The way of a key's slot to another primary, step by step."""

    def __init__(self, source: EmbeddedValkey, target: EmbeddedValkey, key: str) -> None:
        self._source = source
        self._target = target
        self._key = key
        self._slot = slot_of(key)

    async def begin(self) -> None:
        """From now on the source answers ASK for keys that it has not got."""
        source_id, target_id = await _id(self._source), await _id(self._target)
        await asked(self._target, f"CLUSTER SETSLOT {self._slot} IMPORTING {source_id}")
        await asked(self._source, f"CLUSTER SETSLOT {self._slot} MIGRATING {target_id}")

    async def move_key(self) -> None:
        await asked(self._source, f"MIGRATE 127.0.0.1 {self._target.port} {self._key} 0 5000")

    async def move_some_keys(self, random: Random) -> None:
        keys = await self._keys()
        await self._move(random.sample(keys, random.randint(0, len(keys))))

    async def move_all_keys(self) -> None:
        while keys := await self._keys():
            await self._move(keys)

    async def all_at_once(self) -> None:
        """Valkey's own migration, from 9.0 on: the source hands the slot over once the target has it all."""
        slots = f"SLOTSRANGE {self._slot} {self._slot}"
        await asked(self._source, f"CLUSTER MIGRATESLOTS {slots} NODE {await _id(self._target)}")
        await until(self._is_over, what="the slot has migrated", poll_s=0.02)

    async def _is_over(self) -> bool:
        """One that was given up leaves the slot where it is."""
        told = await asked(self._source, "CLUSTER GETSLOTMIGRATIONS")
        assert isinstance(told, list)
        newest = told[0]
        if isinstance(newest, list):  # as RESP2 has it
            newest = dict(zip(newest[0::2], newest[1::2], strict=True))
        return newest[b"state"] in {b"success", b"failed", b"cancelled"}

    async def _keys(self) -> list[bytes]:
        told = await asked(self._source, f"CLUSTER GETKEYSINSLOT {self._slot} 1000")
        assert isinstance(told, list)
        return told

    async def _move(self, keys: Sequence[bytes]) -> None:
        async with Redis.from_url(self._source.url) as client:
            for key in keys:
                await client.execute_command("MIGRATE", "127.0.0.1", self._target.port, key, 0, 5000)  # type: ignore[no-untyped-call]

    async def end(self) -> None:
        """From now on the source answers MOVED."""
        target_id = await _id(self._target)
        for node in (self._target, self._source):
            await asked(node, f"CLUSTER SETSLOT {self._slot} NODE {target_id}")


async def _id(node: EmbeddedValkey) -> str:
    told = await asked(node, "CLUSTER MYID")
    assert isinstance(told, bytes)
    return told.decode()
