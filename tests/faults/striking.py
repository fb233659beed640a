"""How each fault is done, and undone."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.faults.cast import Cast, Part
from tests.faults.deeds import Deed, undrained
from tests.faults.disks import fill_disk, free_disk
from tests.faults.failovers import FAILOVER_DEEDS
from tests.faults.line import Line
from tests.faults.programs import Program
from tests.faults.promotions import PROMOTION_DEEDS
from tests.faults.replicated_store import ReplicatedStore
from tests.faults.schedule import BREAKS, PAIRS, Fault
from tests.faults.stores import PrimaryStore, SingleStore

_DELAY_S = 0.15
_CLOCK_STEPS_S = (-86_400, -3_600, -30, -1, 1, 30, 3_600, 86_400)


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that was done: when it was begun, when it had struck, and when it was mended.

    Times are of this machine's monotonic clock.
    """

    fault: Fault
    target: str
    began_s: float
    struck_s: float
    mended_s: float


async def strike(cast: Cast, fault: Fault) -> Strike:
    began_s = time.monotonic()
    async with DEEDS[fault.kind](cast, fault) as target:
        struck_s = time.monotonic()
        await asyncio.sleep(fault.hold_s)
    return Strike(fault, target, began_s, struck_s, time.monotonic())


def _program(parts: Sequence[Part], fault: Fault) -> Program:
    return parts[fault.target % len(parts)].program


def _program_killed(parts_of: Callable[[Cast], Sequence[Part]]) -> Deed:
    @asynccontextmanager
    async def killed(cast: Cast, fault: Fault) -> AsyncIterator[str]:
        program = _program(parts_of(cast), fault)
        await program.kill()
        yield program.name
        program.start()

    return killed


def _program_frozen(parts_of: Callable[[Cast], Sequence[Part]]) -> Deed:
    @asynccontextmanager
    async def frozen(cast: Cast, fault: Fault) -> AsyncIterator[str]:
        program = _program(parts_of(cast), fault)
        program.freeze()
        yield program.name
        program.thaw()

    return frozen


@asynccontextmanager
async def _valkey_killed(cast: Cast, _: Fault) -> AsyncIterator[str]:
    await _primary(cast).kill()
    yield "store"
    await cast.store.start()


@asynccontextmanager
async def _valkey_frozen(cast: Cast, _: Fault) -> AsyncIterator[str]:
    _primary(cast).freeze()
    yield "store"
    _primary(cast).thaw()


@asynccontextmanager
async def _postgres_killed(cast: Cast, _: Fault) -> AsyncIterator[str]:
    await cast.ledger.kill()
    yield "ledger"
    await cast.ledger.start()


@asynccontextmanager
async def _backend_killed(cast: Cast, _: Fault) -> AsyncIterator[str]:
    cast.ledger.kill_one_backend()
    yield "ledger"


@asynccontextmanager
async def _postgres_frozen(cast: Cast, _: Fault) -> AsyncIterator[str]:
    cast.ledger.freeze()
    yield "ledger"
    cast.ledger.thaw()


def _line_broken(what: str, pair: str) -> Deed:
    @asynccontextmanager
    async def broken(cast: Cast, fault: Fault) -> AsyncIterator[str]:
        lines = cast.lines(pair)
        line = lines[fault.target % len(lines)]
        _break(line, what, fault)
        yield line.name
        await line.heal()

    return broken


def _break(line: Line, what: str, fault: Fault) -> None:
    match what:
        case "cut":
            line.cut()
            line.refuse()
        case "half-open":
            # Which ways: there, back, both.
            ways = 1 + fault.target % 3
            line.swallow(there=bool(ways & 1), back=bool(ways & 2))
        case "delay":
            line.delay(_DELAY_S)
        case _:
            line.refuse()


@asynccontextmanager
async def _clock_stepped(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    """The store's, a drainer's or a server's; it steps back when the fault is over."""
    name, clock = cast.clocks[fault.target % len(cast.clocks)]
    seconds = _CLOCK_STEPS_S[int(fault.share * len(_CLOCK_STEPS_S)) % len(_CLOCK_STEPS_S)]
    clock.step(seconds)
    yield f"{name} {seconds:+d} s"
    clock.step(0)


@asynccontextmanager
async def _disk_full(cast: Cast, _: Fault) -> AsyncIterator[str]:
    fill_disk(cast.store.folder)
    yield "store"
    free_disk(cast.store.folder)
    await _single(cast).start_again_if_ended()


@asynccontextmanager
async def _emptied(cast: Cast, _: Fault) -> AsyncIterator[str]:
    async with undrained(cast):
        await _single(cast).empty()
    yield "store"


@asynccontextmanager
async def _tail_lost(cast: Cast, fault: Fault) -> AsyncIterator[str]:
    store = _single(cast)
    async with undrained(cast):
        await store.kill()
    gone = store.lose_tail(fault.share)
    yield f"store ({gone} bytes)"
    await cast.store.start()


@asynccontextmanager
async def _disk_lost(cast: Cast, _: Fault) -> AsyncIterator[str]:
    store = _single(cast)
    async with undrained(cast):
        await store.kill()
    store.lose_disk()
    yield "store"
    await cast.store.start()


def _primary(cast: Cast) -> PrimaryStore:
    assert isinstance(cast.store, SingleStore | ReplicatedStore)
    return cast.store


def _single(cast: Cast) -> SingleStore:
    assert isinstance(cast.store, SingleStore)
    return cast.store


def _servers(cast: Cast) -> Sequence[Part]:
    return cast.servers


def _drainers(cast: Cast) -> Sequence[Part]:
    return cast.drainers


def _workers(cast: Cast) -> Sequence[Part]:
    return cast.workers


DEEDS: dict[str, Deed] = {
    "kill-server": _program_killed(_servers),
    "kill-drainer": _program_killed(_drainers),
    "kill-worker": _program_killed(_workers),
    "kill-valkey": _valkey_killed,
    "kill-postgres": _postgres_killed,
    "kill-backend": _backend_killed,
    "freeze-server": _program_frozen(_servers),
    "freeze-drainer": _program_frozen(_drainers),
    "freeze-worker": _program_frozen(_workers),
    "freeze-valkey": _valkey_frozen,
    "freeze-postgres": _postgres_frozen,
    **{f"{what}-{pair}": _line_broken(what, pair) for what in BREAKS for pair in PAIRS},
    "clock-step": _clock_stepped,
    "disk-full": _disk_full,
    "flushall": _emptied,
    "truncate-aof": _tail_lost,
    "wipe-valkey": _disk_lost,
    **PROMOTION_DEEDS,
    **FAILOVER_DEEDS,
}
