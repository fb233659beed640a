"""One run: a cast, a crowd, faults, and the reckoning."""

import asyncio
import time
import traceback
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.faults.cast import Cast, cast
from tests.faults.checker import violations
from tests.faults.checks.case import REPORTED_WITHIN_S, Breach, Case, Death, Loss, Violation
from tests.faults.disks import small_disk
from tests.faults.endings import audit, final_books, until_drained, until_expired
from tests.faults.history import History
from tests.faults.kept_case import HISTORY, keep_books
from tests.faults.players import Crowd, crowd
from tests.faults.schedule import Fault
from tests.faults.striking import Strike, strike
from tests.faults.varieties import SINGLE, Variety

_CERTAIN_WITHIN_S = 30.0
_WARM_UP_S = 0.5
_WIND_DOWN_S = 0.3


@dataclass(slots=True)
class Run:
    """What happened. ``restarts`` are processes that ended by themselves, and how often."""

    seed: str
    history: History
    variety: Variety = SINGLE
    strikes: list[Strike] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)
    entry_count: int = 0
    reported_lost_count: int = 0

    @property
    def losses(self) -> list[Loss]:
        made = [done for done in self.strikes if done.fault.kind in self.variety.losses]
        return [Loss(done.began_s, done.mended_s) for done in made]

    @property
    def deaths(self) -> list[Death]:
        kills = [done for done in self.strikes if done.fault.kind == "kill-server"]
        return [Death(int(done.target.rpartition("-")[2]), done.began_s) for done in kills]


async def play_and_check(
    folder: Path,
    faults: Iterable[Fault],
    *,
    seed: str,
    variety: Variety = SINGLE,
    play_s: float = 0.0,
    client_count: int = 8,
    steppable_clocks: bool = False,
    small_store_disk: bool = False,
) -> Run:
    """Plays until the faults are over, or for ``play_s`` if that is given, and checks everything."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if small_store_disk:
            stack.enter_context(small_disk(folder / "store"))
        file = stack.enter_context((folder / HISTORY).open("w"))
        run = Run(seed, History(file=file), variety)
        async with (
            cast(folder, variety, drainer_count=2, worker_count=1, steppable_clocks=steppable_clocks) as made,
            crowd(made.addresses(), run.history, seed=seed, client_count=client_count) as clients,
        ):
            await clients.start()
            try:
                await _strike_all(made, run, faults, play_s)
            except Exception:
                run.violations.append(Violation(Breach.UNCHECKED, traceback.format_exc()))
                await made.store.start()
            await made.heal()
            await clients.finish(patience_s=_CERTAIN_WITHIN_S)
            await _reckon(made, clients, run)
    return run


async def _strike_all(made: Cast, run: Run, faults: Iterable[Fault], play_s: float) -> None:
    end_s = time.monotonic() + play_s if play_s else float("inf")
    await asyncio.sleep(_WARM_UP_S)
    for fault in faults:
        if time.monotonic() + fault.after_s > end_s:
            break
        await asyncio.sleep(fault.after_s)
        run.strikes.append(await strike(made, fault))
    await asyncio.sleep(_WIND_DOWN_S)


async def _reckon(made: Cast, clients: Crowd, run: Run) -> None:
    """Everything into the ledger, and all of it checked."""
    programs = [part.program for part in made.parts]
    run.restarts = {program.name: program.ended_count for program in programs if program.ended_count}
    steps = (
        made.until_serving,
        partial(until_drained, made),
        partial(until_expired, made),
        partial(until_drained, made),
        partial(_check, made, clients, run),
    )
    for step in steps:
        try:
            await step()
        except AssertionError as error:
            run.violations.append(Violation(Breach.STUCK, str(error)))
        except Exception:
            run.violations.append(Violation(Breach.UNCHECKED, traceback.format_exc()))
    run.violations += await audit(made)


async def _check(made: Cast, clients: Crowd, run: Run) -> None:
    """Adds what is wrong, and stays so: losses may be reported a few seconds after they are noticed, and what
    a store went on to answer after another one was taken over is booked again as late.
    """
    players = [table.player for table in clients.tables]
    patient = run.losses or run.variety is not SINGLE
    end_s = time.monotonic() + (REPORTED_WITHIN_S if patient else 0.0)
    while True:
        books = await final_books(made, players)
        run.entry_count, run.reported_lost_count = len(books.entries), len(books.named_lost)
        case = Case(run.history, books, run.losses, run.deaths)
        keep_books(made.folder, case)
        found = list(violations(case))
        if not found or time.monotonic() >= end_s:
            run.violations += found
            return
        await asyncio.sleep(0.5)
