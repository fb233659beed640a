"""A Cluster of three primaries with a replica each, which callers reach node by node."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from persistence.transactions import OutboxPosition, PlayerId, partition_of
from persistence.valkey.keys import outbox_key
from service.embedded import EmbeddedCluster, EmbeddedValkey
from tests.cluster_calls import primaries_of, primary_of, topology_of
from tests.faults.ports import lasting_port
from tests.faults.stores import client_at, positions

PARTITION_COUNT = 16


@dataclass(slots=True)
class ClusterStore:
    """No line leads there: its nodes tell callers where the others are."""

    folder: Path
    port: None = None
    cluster: EmbeddedCluster = field(init=False)
    _is_started: bool = False

    def __post_init__(self) -> None:
        self.cluster = EmbeddedCluster(self.folder, port_of=lasting_port)

    def url(self, _: int | None) -> str:
        return self.cluster.url

    async def start(self) -> None:
        """Starts whatever does not run, and waits until every primary has its replica."""
        if self._is_started:
            await self.cluster.heal()
        else:
            self._is_started = True
            await self.cluster.start()

    async def stop(self) -> None:
        await self.cluster.stop()

    async def primary_of_player(self, player: str) -> EmbeddedValkey:
        return await primary_of(self.cluster, outbox_key(partition_of(PlayerId(player), PARTITION_COUNT)))

    async def other_primary(self, than: EmbeddedValkey, choice: int) -> EmbeddedValkey:
        others = [node for node in await primaries_of(self.cluster) if node != than]
        return others[choice % len(others)]

    async def last_positions(self, partition_count: int) -> dict[int, OutboxPosition]:
        topology = await topology_of(self.cluster)
        by_port: defaultdict[int, list[int]] = defaultdict(list)
        for partition in range(partition_count):
            by_port[topology.primary_of(outbox_key(partition)).port].append(partition)
        found = dict[int, OutboxPosition]()
        for port, partitions in by_port.items():
            async with client_at(port) as client:
                found |= await positions(client, partitions)
        return found
