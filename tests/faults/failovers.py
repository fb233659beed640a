"""How a Cluster's primary is replaced by its replica, and a slot changes its place.

It is always the primary of one of those who play, so that somebody notices.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from persistence.transactions import PlayerId, partition_of
from persistence.valkey.keys import outbox_key
from service.embedded import EmbeddedValkey
from tests.cluster_calls import Migration, asked, is_primary, offers_slot_migration, replica_of
from tests.faults.cast import Cast
from tests.faults.cluster_store import PARTITION_COUNT, ClusterStore
from tests.faults.deeds import Deed
from tests.faults.schedule import Fault
from tests.waiting import until

PLAYERS = tuple(f"player-{number}" for number in range(4))
_PROMOTED_WITHIN_S = 30.0


@asynccontextmanager
async def _killed(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    store, player = _store(cast), _player(fault)
    primary = await store.primary_of_player(player)
    replica = await replica_of(primary, store.cluster)
    primary.process.kill()
    await primary.child.exited()
    yield f"{player} primary"
    await _until_promoted(replica)
    await store.start()


@asynccontextmanager
async def _frozen(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    store, player = _store(cast), _player(fault)
    primary = await store.primary_of_player(player)
    replica = await replica_of(primary, store.cluster)
    primary.process.send_signal(signal.SIGSTOP)
    yield f"{player} primary"
    await _until_promoted(replica)
    primary.process.send_signal(signal.SIGCONT)
    await store.cluster.until_whole()


@asynccontextmanager
async def _planned(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    store, player = _store(cast), _player(fault)
    replica = await replica_of(await store.primary_of_player(player), store.cluster)
    await asked(replica, "CLUSTER FAILOVER")
    yield f"{player} primary"
    await _until_promoted(replica, ask_again="CLUSTER FAILOVER")
    await store.cluster.until_whole()


@asynccontextmanager
async def _slot_migrated(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    """All at once where the store can do that, every other time; else key by key, with a rest in between."""
    store, player = _store(cast), _player(fault)
    source = await store.primary_of_player(player)
    target = await store.other_primary(source, fault.target)
    partition = partition_of(PlayerId(player), PARTITION_COUNT)
    migration = Migration(source, target, outbox_key(partition))
    if fault.target // 4 % 2 and await offers_slot_migration(source):
        await migration.all_at_once()
        yield f"{player} slot"
    else:
        await migration.begin()
        await migration.move_some_keys(Random(fault.target))
        yield f"{player} slot, key by key"
        await migration.move_all_keys()
        await migration.end()
    await store.cluster.until_whole()


@asynccontextmanager
async def _scripts_flushed(cast: Cast, _: Fault) -> AsyncIterator[str]:
    for node in _store(cast).cluster.nodes:
        await asked(node, "SCRIPT FLUSH")
    yield "store"


async def _until_promoted(replica: EmbeddedValkey, ask_again: str = "") -> None:
    """A failover may be given up by itself: it takes a majority in time."""

    async def promoted() -> bool:
        if await is_primary(replica):
            return True
        if ask_again:
            await asked(replica, ask_again)
        return False

    poll_s = 1.0 if ask_again else 0.02
    await until(promoted, what="the replica is promoted", deadline_s=_PROMOTED_WITHIN_S, poll_s=poll_s)


def _player(fault: Fault) -> str:
    return PLAYERS[fault.target % len(PLAYERS)]


def _store(cast: Cast) -> ClusterStore:
    assert isinstance(cast.store, ClusterStore)
    return cast.store


FAILOVER_DEEDS: dict[str, Deed] = {
    "failover-kill": _killed,
    "failover-freeze": _frozen,
    "failover-planned": _planned,
    "migrate-slot": _slot_migrated,
    "flush-scripts": _scripts_flushed,
}
