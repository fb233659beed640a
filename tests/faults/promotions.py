"""How a primary is replaced by its replica: by hand, as operators and their tools do it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.cast import Cast
from tests.faults.deeds import Deed, undrained
from tests.faults.replicated_store import ReplicatedStore
from tests.faults.schedule import Fault

_NOTICED_S = 0.2
"""How long a primary is gone before its replica is promoted, and one that was replaced goes on unaware."""


@asynccontextmanager
async def _after_kill(cast: Cast, _: Fault) -> AsyncIterator[str]:
    store = _store(cast)
    await store.kill()
    await store.promote()
    yield "store"
    await store.rejoin()


@asynccontextmanager
async def _while_frozen(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    """The old primary wakes up to what it was sent, and knows nothing; who is connected to it stays so."""
    store = _store(cast)
    store.freeze()
    await asyncio.sleep(_NOTICED_S)
    await store.promote()
    if fault.target % 2:
        store.address.cut()
    yield "store"
    store.thaw_replica()
    await asyncio.sleep(_NOTICED_S)
    await store.rejoin()


@asynccontextmanager
async def _planned(cast: Cast, _: Fault) -> AsyncIterator[str]:
    store = _store(cast)
    await store.hand_over()
    yield "store"
    await store.rejoin()


@asynccontextmanager
async def _behind(cast: Cast, _: Fault) -> AsyncIterator[str]:
    """The replica hears nothing for a while, and is promoted without what was answered meanwhile."""
    store = _store(cast)
    store.between.swallow(there=False)
    async with undrained(cast):
        await store.kill()
    await store.promote()
    await store.between.heal()
    yield "store"
    await store.rejoin()


@asynccontextmanager
async def _replica_killed(cast: Cast, _: Fault) -> AsyncIterator[str]:
    store = _store(cast)
    await store.replica.kill()
    yield "replica"
    await store.start()


@asynccontextmanager
async def _replica_frozen(cast: Cast, _: Fault) -> AsyncIterator[str]:
    store = _store(cast)
    store.freeze_replica()
    yield "replica"
    store.thaw_replica()
    await store.until_together()


def _store(cast: Cast) -> ReplicatedStore:
    assert isinstance(cast.store, ReplicatedStore)
    return cast.store


PROMOTION_DEEDS: dict[str, Deed] = {
    "promote-after-kill": _after_kill,
    "promote-while-frozen": _while_frozen,
    "promote-planned": _planned,
    "promote-behind": _behind,
    "kill-replica": _replica_killed,
    "freeze-replica": _replica_frozen,
}
