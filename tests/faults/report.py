"""What a run, or many, came to: printed, and as JSON."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.faults.checks.case import Breach, Violation
from tests.faults.history import Answered, Attempt
from tests.faults.run import Run
from tests.faults.striking import Strike

_LOST = frozenset({Breach.LOST, Breach.REFUSAL_LOST})
_DOUBLED = frozenset({Breach.DOUBLED})


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds until a new call was answered OK: anybody's, and then one for every player.

    Counted from the beginning of the fault, and from its end: what was killed runs again then, what was
    replaced is a replica again.
    """

    count: int
    median_first_s: float
    longest_first_s: float
    longest_first_after_mending_s: float
    longest_everybody_s: float
    longest_everybody_after_mending_s: float


class Silence(NamedTuple):
    """After one fault: as in Recovery. Where it struck one player's primary, the first success is theirs."""

    first_s: float
    first_after_mending_s: float
    everybody_s: float
    everybody_after_mending_s: float


@dataclass(slots=True)
class Totals:
    """Of all runs so far. ``faults`` and ``silences`` are by store and kind; ``reported_lost`` are losses
    that were made on purpose and that the service reported.
    """

    runs: int = 0
    seeds: list[str] = field(default_factory=list)
    stores: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    attempts: int = 0
    acknowledged: int = 0
    replayed: int = 0
    refused: int = 0
    unknown_attempts: int = 0
    unknown_at_end: int = 0
    entries: int = 0
    lost: int = 0
    doubled: int = 0
    reported_lost: int = 0
    violations: list[str] = field(default_factory=list)
    restarts: Counter[str] = field(default_factory=Counter)
    silences: defaultdict[str, list[Silence]] = field(default_factory=lambda: defaultdict(list))

    def add(self, run: Run) -> None:
        self.runs += 1
        self.seeds.append(run.seed)
        self.stores[run.variety.name] += 1
        self.faults.update(_name(run, done) for done in run.strikes)
        self.entries += run.entry_count
        self.reported_lost += run.reported_lost_count
        self.restarts.update(run.restarts)
        self._add_history(run)
        self._add_violations(run)
        for done in run.strikes:
            if silence := silence_after(done, run.history.attempts):
                self.silences[_name(run, done)].append(silence)

    def _add_history(self, run: Run) -> None:
        self.calls += sum(1 for _ in run.history.calls())
        self.unknown_at_end += len(run.history.unknown_calls())
        for attempt in run.history.attempts:
            self.attempts += 1
            if isinstance(attempt.answer, Answered):
                self.acknowledged += 1
                self.replayed += all(done.replayed for done in attempt.answer.results)
            elif attempt.certain:
                self.refused += 1
            else:
                self.unknown_attempts += 1

    def _add_violations(self, run: Run) -> None:
        self.lost += _count(run.violations, _LOST)
        self.doubled += _count(run.violations, _DOUBLED)
        self.violations += [f"seed {run.seed}: {violation}" for violation in run.violations]

    def recoveries(self) -> Mapping[str, Recovery]:
        """By store and kind of fault."""
        return {
            kind: Recovery(
                len(silences),
                round(median(silence.first_s for silence in silences), 3),
                round(max(silence.first_s for silence in silences), 3),
                round(max(silence.first_after_mending_s for silence in silences), 3),
                round(max(silence.everybody_s for silence in silences), 3),
                round(max(silence.everybody_after_mending_s for silence in silences), 3),
            )
            for kind, silences in sorted(self.silences.items())
        }


def silence_after(done: Strike, attempts: Sequence[Attempt]) -> Silence | None:
    """How long calls that were made after the fault had begun went without an OK.

    With a server or its lines broken only that server counts, and where a player's primary was, only that
    player for the first of them. None where nobody was answered.
    """
    name = done.target.removeprefix("client ").partition(" ")[0]
    server = int(name.rpartition("-")[2]) if name.startswith("serve-") else None
    first_s: dict[str, float] = {}
    for attempt in attempts:
        answered = attempt.called_s > done.struck_s and isinstance(attempt.answer, Answered)
        if answered and server in {None, attempt.server}:
            first_s.setdefault(attempt.call.player, attempt.returned_s)
    if not first_s:
        return None
    last_s = max(first_s.values())
    soonest_s = first_s.get(name, last_s) if name.startswith("player-") else min(first_s.values())
    return Silence(
        soonest_s - done.struck_s,
        max(0.0, soonest_s - done.mended_s),
        last_s - done.struck_s,
        max(0.0, last_s - done.mended_s),
    )


def _name(run: Run, done: Strike) -> str:
    return f"{run.variety.name} {done.fault.kind}"


def _count(violations: Sequence[Violation], breaches: frozenset[Breach]) -> int:
    return sum(violation.breach in breaches for violation in violations)


def write_report(totals: Totals, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {told.name: getattr(totals, told.name) for told in fields(totals) if told.name != "silences"}
    told["recoveries"] = {kind: asdict(recovery) for kind, recovery in totals.recoveries().items()}
    path.write_text(json.dumps(told, indent=2) + "\n")


def summary(totals: Totals) -> str:
    """For people."""
    stores = ", ".join(f"{count} {name}" for name, count in totals.stores.items())
    done = (
        f"{totals.runs} runs ({stores}), {sum(totals.faults.values())} faults, {totals.calls:,} calls in "
        f"{totals.attempts:,} attempts: {totals.acknowledged:,} acknowledged ({totals.replayed:,} of them "
        f"replays), {totals.refused:,} refused, {totals.unknown_attempts:,} unknown and asked again"
    )
    kept = (
        f"{totals.entries:,} entries in the ledger; lost {totals.lost}, doubled {totals.doubled}, unknown in "
        f"the end {totals.unknown_at_end}, lost on purpose and reported {totals.reported_lost}"
    )
    titles = f"{'':42}{'first success after':>39}{'every player, after':>26}"
    columns = ("median", "longest", "from its end", "longest", "from its end")
    lines = [done, kept, "", titles, f"{'store and fault':35}{'count':>7}" + _row(columns)]
    recoveries = totals.recoveries()
    for name, count in sorted(totals.faults.items()):
        found = recoveries.get(name)
        seconds = astuple(found)[1:] if found else ()
        lines.append(f"{name:35}{count:>7}" + _row([f"{taken_s:.2f} s" for taken_s in seconds]))
    if totals.restarts:
        restarts = ", ".join(f"{name} {count}×" for name, count in sorted(totals.restarts.items()))
        lines += ["", f"ended by themselves and were started again: {restarts}"]
    return "\n".join(lines)


def _row(columns: Sequence[str]) -> str:
    return "".join(f"{column:>13}" for column in columns)
