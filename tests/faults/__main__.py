"""``python -m tests.faults``: the long tier. Breaks things for minutes or hours, and checks run by run."""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.checker import violations
from tests.faults.clocks import LIBRARY_SETTING, faketime_library
from tests.faults.disks import small_disk
from tests.faults.kept_case import read_case
from tests.faults.report import Totals, summary, write_report
from tests.faults.run import Run, play_and_check
from tests.faults.schedule import ALL, kinds_named, schedule
from tests.faults.varieties import VARIETIES, Variety, variety_of

REPORT = Path("build/faults.json")
LONGEST_RUN_S = 60.0
SHOWN_VIOLATIONS = 20


def main() -> int:
    """The exit status: 1 with violations."""
    arguments = _arguments()
    if arguments.check:
        return _check_again(arguments.check)
    kinds = _possible(kinds_named(arguments.only.split(",")) if arguments.only else list(ALL))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    varieties = [VARIETIES[arguments.store]] if arguments.store else list(VARIETIES.values())
    possible = [variety for variety in varieties if set(kinds) & set(variety.kinds)]
    if not possible:
        print(f"none of these faults can be done to the store: {', '.join(kinds)}")
        return 2
    totals = asyncio.run(
        _break_things(arguments.minutes * 60, arguments.seed, possible, kinds, keep=arguments.keep)
    )
    write_report(totals, REPORT)
    print(f"\n{summary(totals)}\n\nwritten to {REPORT}")
    for violation in totals.violations[:SHOWN_VIOLATIONS]:
        print(violation)
    return 1 if totals.violations or totals.unknown_at_end else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long to play in all (default 1)")
    parser.add_argument("--seed", type=int, default=None, help="of the first run; the next ones count on")
    parser.add_argument("--only", default="", help="beginnings of the faults' names, separated by commas")
    parser.add_argument("--store", choices=VARIETIES, help="only this one (default: the seed decides)")
    parser.add_argument("--keep", action="store_true", help="keep the folders of runs without violations")
    parser.add_argument("--check", type=Path, help="check the run in this folder again, and break nothing")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = time.time_ns() % 1_000_000
    return arguments


def _possible(kinds: Sequence[str]) -> list[str]:
    """Without those that cannot be done on this machine; says why."""
    impossible: dict[str, str] = {}
    if "clock-step" in kinds and faketime_library() is None:
        impossible["clock-step"] = f"libfaketime is not installed, and {LIBRARY_SETTING} does not name it"
    if "disk-full" in kinds and not _can_mount():
        impossible["disk-full"] = "a small disk cannot be mounted here"
    for kind, why in impossible.items():
        print(f"without {kind}: {why}")
    return [kind for kind in kinds if kind not in impossible]


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder)) as mounted:
        return mounted


async def _break_things(
    seconds: float, first_seed: int, possible: Sequence[Variety], kinds: Sequence[str], *, keep: bool
) -> Totals:
    totals, end_s = Totals(), time.monotonic() + seconds
    seed = first_seed
    while not totals.runs or time.monotonic() < end_s:
        variety = variety_of(seed, possible)
        own_kinds = [kind for kind in kinds if kind in variety.kinds]
        play_s = min(LONGEST_RUN_S, max(5.0, end_s - time.monotonic()))
        folder = Path(tempfile.mkdtemp(prefix=f"faults-{seed}-"))
        run = await play_and_check(
            folder,
            schedule(str(seed), own_kinds),
            seed=str(seed),
            variety=variety,
            play_s=play_s,
            steppable_clocks="clock-step" in own_kinds,
            small_store_disk="disk-full" in own_kinds,
        )
        totals.add(run)
        _tell(run, folder, play_s, kept=keep or bool(run.violations))
        seed += 1
    return totals


def _tell(run: Run, folder: Path, play_s: float, *, kept: bool) -> None:
    attempts, broken = len(run.history.attempts), len(run.violations)
    verdict = f"{broken} VIOLATIONS" if broken else "nothing is wrong"
    what = f"{len(run.strikes)} faults, {attempts:,} attempts, {verdict}"
    print(f"seed {run.seed}, {run.variety.name}, {play_s:.0f} s: {what}", flush=True)
    for violation in run.violations[:SHOWN_VIOLATIONS]:
        print(f"  {violation}")
    if kept:
        again = f'make faults MINUTES=1 SEED={run.seed} ARGS="--store {run.variety.name}"'
        print(f"  kept in {folder}; the same faults again: {again}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _check_again(folder: Path) -> int:
    found = list(violations(read_case(folder)))
    for violation in found:
        print(violation)
    print(f"{len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
