"""``python -m tests.bench.storm``: goodput, memory and doubles in a storm of retries.

First the peak: callers that wait for their answers, as many as give the most answers a second. Then the
storm: calls come at ten times the normal load, whether or not earlier ones were answered. Every answer is
lost, so that each id is asked for six times. The normal load is taken to be three tenths of the peak: three
times as many calls come as can be answered. Goodput is what is answered, at first or again, before its caller
has given up; it is compared with the mean of the peaks before and after, as the store grows meanwhile.

One process sends both, with a client that costs a fraction of what the server does. It shares the processors
with the servers, and takes more of them in the storm than at the peak: the ratio is rather too low.
"""

import asyncio
import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import asyncpg
import click
import grpc
import psutil
import redis.asyncio as redis

from stakehold.v1 import wallet_service_pb2, wallet_service_pb2_grpc
from tests.bench.bench_stack import BenchStack, bench_stack, load_process, verify
from tests.bench.drains import Ledger
from tests.bench.load import Job
from tests.bench.loader import JOB_TIMEOUT_S, LoadFailed, running_loader
from tests.bench.neighbours import QUIET, Neighbours
from tests.bench.report import Goal
from tests.bench.setting_up import put_source
from tests.bench.storm_load import CALLS_OF_AN_ID, StormJob, StormOutcome
from tests.bench.workload import player_name

OUTPUT = Path("build") / "bench-storm.json"
PLAYERS = 2_000
CALLERS = (64, 128, 256, 512)
"""The closed loops of which the best one is the peak."""

PEAK_S = 4.0
STORM_S = 12.0
SETTLING_S = 2.0
CONNECTIONS = 8
NORMAL_SHARE = 0.3
"""The normal load, as a share of the peak."""

LOOK_EVERY_S = 0.05
GOALS = {
    "goodput_vs_peak": Goal(0.7),
    "memory_vs_before": Goal(2.0, at_least=False),
    "doubled": Goal(0, at_least=False),
}
_BOOKED = "SELECT count(*) FROM ledger.entries WHERE transaction_id LIKE 'storm-%' AND entry_type = 'applied'"
Figures = dict[str, Any]


class Bench:
    """The servers, the process that sends the load, and what was measured so far."""

    def __init__(self, stack: BenchStack, load: asyncio.subprocess.Process) -> None:
        assert load.stdin is not None
        assert load.stdout is not None
        self._jobs, self._outcomes = load.stdin, load.stdout
        self._load = psutil.Process(load.pid)
        self._server = psutil.Process(stack.server.process.pid)
        self._stack = stack
        self._runs = itertools.count(1)

    async def run(self, *, seconds: float, callers: int = 0, per_s: float = 0.0) -> Figures:
        """One job's figures; ``rss_mib`` is the most that the server had meanwhile."""
        job = StormJob(
            run=f"storm-{next(self._runs):03}",
            players=PLAYERS,
            seconds=seconds,
            callers=callers,
            per_s=per_s,
            connections=CONNECTIONS,
        )
        before = self._cpu_s()
        self._jobs.write(json.dumps(asdict(job)).encode() + b"\n")
        outcome, most_rss = await self._watch()
        used = [round((b - a) / outcome.elapsed_s, 2) for a, b in zip(before, self._cpu_s(), strict=True)]
        return {
            "callers": callers,
            "goodput_per_s": outcome.endings.get("answered", 0) / outcome.elapsed_s,
            "answered_share_of_ids": outcome.answered_ids / outcome.ids,
            "calls_per_s": outcome.calls / outcome.elapsed_s,
            "endings": outcome.endings,
            "answered_ids": outcome.answered_ids,
            "rss_mib": most_rss >> 20,
            "processors": dict(zip(("server", "store", "load"), used, strict=True)),
        }

    def rss_mib(self) -> int:
        return int(self._server.memory_info().rss) >> 20

    async def _watch(self) -> tuple[StormOutcome, int]:
        most_rss = 0
        reading = asyncio.create_task(self._outcomes.readline())
        async with asyncio.timeout(JOB_TIMEOUT_S):
            while not reading.done():
                most_rss = max(most_rss, int(self._server.memory_info().rss))
                await asyncio.wait([reading], timeout=LOOK_EVERY_S)
        if not (line := await reading):
            raise LoadFailed("the load process ended")
        return StormOutcome(**json.loads(line)), most_rss

    def _cpu_s(self) -> tuple[float, float, float]:
        load = self._load.cpu_times()
        return (*self._stack.cpu_s(), float(load.user + load.system))


async def measure(folder: Path) -> Figures:
    """A whole run."""
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(bench_stack(folder))
        await _open_wallets(stack)
        cash_before = await _cash_minor(stack.address)
        load = await running.enter_async_context(load_process(stack.address, module="tests.bench.storm_load"))
        neighbours = Neighbours()
        figures = await _blow(Bench(stack, load))
        figures["neighbours_share"] = round(neighbours.share(), 3)
        spent = cash_before - await _cash_minor(stack.address)
        return figures | await _audit(stack, spent=spent)


async def _blow(bench: Bench) -> Figures:
    await bench.run(seconds=PEAK_S / 2, callers=CALLERS[0])
    loops = [await bench.run(seconds=PEAK_S, callers=callers) for callers in CALLERS]
    peak = max(loops, key=lambda figures: float(figures["goodput_per_s"]))
    calls_per_s = 10 * NORMAL_SHARE * peak["goodput_per_s"]
    rss_before = bench.rss_mib()
    storm = await bench.run(seconds=STORM_S, per_s=calls_per_s / CALLS_OF_AN_ID)
    await asyncio.sleep(SETTLING_S)
    after = await bench.run(seconds=PEAK_S, callers=peak["callers"])
    answered_ids = sum(one["answered_ids"] for one in (*loops, storm, after))
    return {
        "peak": peak,
        "storm": storm,
        "after": after,
        "answered_ids": answered_ids,
        "rss_mib": {"before": rss_before, "storm": storm["rss_mib"], "after": bench.rss_mib()},
        "goodput_vs_peak": storm["goodput_per_s"] / fmean((peak["goodput_per_s"], after["goodput_per_s"])),
        "after_vs_peak": after["goodput_per_s"] / peak["goodput_per_s"],
        "memory_vs_before": storm["rss_mib"] / rss_before,
    }


async def _open_wallets(stack: BenchStack) -> None:
    await put_source(stack.address)
    async with running_loader(stack) as loader:
        for method in ("open", "deposit"):
            await loader.run(Job(method, loader.new_run(), PLAYERS, count=PLAYERS))


async def _cash_minor(address: str) -> int:
    """All players' money, in cents, as the service answers it."""
    total = 0
    async with grpc.aio.insecure_channel(address) as channel:
        look = wallet_service_pb2_grpc.WalletServiceStub(channel).GetWallet
        for number in range(PLAYERS):
            request = wallet_service_pb2.GetWalletRequest(player_id=player_name(number))
            (balance,) = (await look(request, timeout=10.0)).balances
            total += int(balance.cash.replace(".", ""))
    return total


async def _audit(stack: BenchStack, *, spent: int) -> Figures:
    """Bets are of a cent: the cents that were spent are how many were taken, entries how many ids were."""
    connection = await asyncpg.connect(stack.postgres.dsn)
    try:
        async with redis.Redis(host="127.0.0.1", port=stack.valkey.port) as valkey, stack.draining():
            await Ledger(connection, valkey).until_drained()
        booked = int(await connection.fetchval(_BOOKED))
    finally:
        await connection.close()
    return {"booked_ids": booked, "doubled": spent - booked, "audit_is_clean": await verify(stack)}


def judged(figures: Figures) -> dict[str, dict[str, Any]]:
    goals = {
        name: {"value": figures[name], "goal": str(goal), "met": goal.met_by(figures[name])}
        for name, goal in GOALS.items()
    }
    nothing_lost = figures["answered_ids"] <= figures["booked_ids"]
    goals["nothing_lost"] = {"value": nothing_lost, "goal": "true", "met": nothing_lost}
    goals["audit_is_clean"] = {
        "value": figures["audit_is_clean"],
        "goal": "true",
        "met": figures["audit_is_clean"],
    }
    return goals


def table(figures: Figures) -> Iterator[str]:
    yield f"{'':8} {'calls/s':>10} {'goodput/s':>10} {'ids answered':>13} {'rss MiB':>8}  processors"
    for name in ("peak", "storm", "after"):
        f = figures[name]
        used = " ".join(f"{who} {share:.2f}" for who, share in f["processors"].items())
        rates = f"{f['calls_per_s']:10,.0f} {f['goodput_per_s']:10,.0f} {f['answered_share_of_ids']:13.0%}"
        yield f"{name:8} {rates} {f['rss_mib']:8}  {used}"
    yield ""
    for name, goal in judged(figures).items():
        shown = f"{goal['value']:.2f}" if isinstance(goal["value"], float) else str(goal["value"])
        yield f"{name:20} {shown:>8}  {goal['goal']}: {'met' if goal['met'] else 'NOT MET'}"


@click.command()
def main() -> None:
    """Measure what is left of the service in a storm of retries, with real fsync."""
    with tempfile.TemporaryDirectory(prefix="stakehold-storm-") as name:
        figures = asyncio.run(measure(Path(name)))
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({**figures, "goals": judged(figures)}, indent=2) + "\n", encoding="utf-8")
    if figures["neighbours_share"] > QUIET:
        share = f"{figures['neighbours_share']:.0%}"
        click.secho(
            f"Other programs took {share} of the processors: measure again on a quiet machine.",
            fg="yellow",
            err=True,
        )
    click.echo("\n".join(table(figures)))
    click.echo(f"\nWritten to {OUTPUT}.")


if __name__ == "__main__":
    main()
