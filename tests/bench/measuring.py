"""One run, from empty stores to all figures."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import redis.asyncio as redis

from tests.bench import bulk, ceilings, observability, unary
from tests.bench.bench_stack import BenchStack, bench_stack
from tests.bench.drains import Ledger, drain_rate
from tests.bench.environment import environment
from tests.bench.events import subscribed_to_events
from tests.bench.load import Job
from tests.bench.loader import Loader, running_loader
from tests.bench.memory import bytes_used
from tests.bench.neighbours import Neighbours
from tests.bench.plan import CONCURRENCIES, MAIN_CONCURRENCY, Plan
from tests.bench.setting_up import put_rates, put_source
from tests.bench.settlements import settlements

HOT = 0
"""As a number of players: the hot one alone."""

Tell = Callable[[str], None]


@dataclass(slots=True)
class Results:
    """What goes into build/bench.json."""

    environment: dict[str, Any] = field(default_factory=dict)
    ceilings: dict[str, Any] = field(default_factory=dict)
    product: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)


class Bench:
    """The steps of a run; each adds its figures to the results."""

    def __init__(self, plan: Plan, stack: BenchStack, loader: Loader, ledger: Ledger) -> None:
        self.results = Results()
        self._plan, self._stack, self._loader, self._ledger = plan, stack, loader, ledger
        self._partition_count = 0

    async def prepare(self) -> None:
        """Opens and fills the wallets, and weighs them."""
        self._partition_count = await self._ledger.partition_count()
        await put_source(self._stack.address)
        await put_rates(self._stack.address)
        players = self._plan.players
        before = await self._bytes_used()
        async with self._stack.draining():
            await self._send_all("open", players, count=players)
            await self._ledger.until_drained()
            per_wallet = (await self._bytes_used() - before) / players
            await self._send_all("deposit", players, count=players)
            for method in ("open", "deposit"):
                await self._send_all(method, HOT, count=1)
            await self._send_all("open_bought", self._half, count=self._half)
            await self._ledger.until_drained()
        self.results.product["redis_bytes_per_wallet"] = round(per_wallet)
        self.results.environment = await environment(self._stack, self._ledger, self._plan)

    async def remembered_ids(self) -> None:
        """Weighs transaction ids, and bets with their rounds."""
        count = self._plan.remembered_ids
        for name, method in (("redis_bytes_per_id", "tip"), ("redis_bytes_per_bet_in_its_round", "debit")):
            before = await self._bytes_used()
            async with self._stack.draining():
                await self._send_all(method, self._plan.players, count=count)
                await self._ledger.until_drained()
            self.results.product[name] = round((await self._bytes_used() - before) / count)

    async def unary(self) -> None:
        """Echo and debit in turns at every concurrency, the drainer standing still."""
        for concurrency in CONCURRENCIES:
            contestants = [
                unary.Contestant("echo", "echo", self._plan.players),
                unary.Contestant("debit", "debit", self._plan.players),
            ]
            if concurrency == MAIN_CONCURRENCY:
                contestants.append(unary.Contestant("debit_hot", "debit", HOT))
            rounds = await unary.in_turns(self._loader, self._plan, contestants, concurrency=concurrency)
            for name, figures in unary.summaries(rounds).items():
                chapter = self.results.ceilings if name == "echo" else self.results.product
                chapter[f"{name}_c{concurrency}"] = asdict(figures)
            if concurrency == 1:
                self.results.ratios["unary_c1_p50"] = unary.p50_ratio(rounds, "debit", "echo")
            else:
                self.results.ratios[f"unary_c{concurrency}"] = unary.rate_ratio(rounds, "debit", "echo")
            if concurrency == MAIN_CONCURRENCY:
                self.results.ratios["hot_wallet"] = unary.rate_ratio(rounds, "debit_hot", "debit")

    async def conversions(self) -> None:
        """Plain debits, debits in another currency, and exchanges, in turns; of players who have a second
        wallet only exchanges.
        """
        half = self._half
        contestants = [
            unary.Contestant("plain_debit", "debit", half, first=half),
            unary.Contestant("foreign_debit", "foreign_debit", half, first=half),
            unary.Contestant("exchange", "exchange", half),
        ]
        rounds = await unary.in_turns(self._loader, self._plan, contestants, concurrency=MAIN_CONCURRENCY)
        for name, figures in unary.summaries(rounds).items():
            self.results.product[f"{name}_c{MAIN_CONCURRENCY}"] = asdict(figures)
        for name in ("foreign_debit", "exchange"):
            self.results.ratios[name] = unary.rate_ratio(rounds, name, "plain_debit")

    async def bulk(self) -> None:
        """Batches, streams and the bare script in turns, the drainer standing still."""
        figures, script_per_s, ratios = await bulk.in_turns(self._loader, self._plan, self._scripts_per_s)
        self.results.product |= {name: asdict(theirs) for name, theirs in figures.items()}
        self.results.ceilings["script_beside_bulk"] = {"per_s": script_per_s}
        self.results.ratios |= ratios

    async def _scripts_per_s(self, run: str, calls: int) -> float:
        return await ceilings.scripts_per_s(
            self._ledger.valkey,
            self._stack.valkey.port,
            partition_count=self._partition_count,
            players=self._plan.players,
            calls=calls,
            run=run,
        )

    async def drain(self) -> None:
        """Drains what the unary rounds left, then measures debits while the drainer works."""
        per_s, drained = await drain_rate(self._stack, self._ledger)
        self.results.product["drain"] = {"per_s": per_s, "backlog": drained}
        self.results.ratios["drain_vs_unary"] = per_s / self._debit_per_s()
        async with self._stack.draining():
            job = Job("debit", self._loader.new_run(), self._plan.players, seconds=self._plan.draining_s)
            figures = await self._loader.run(job)
            self.results.product["debit_c64_while_draining"] = asdict(figures)
            await self._ledger.until_drained()

    async def half_load(self) -> None:
        """The ledger's lag behind the wallets while half of the possible debits come in."""
        per_s, run = self._debit_per_s() / 2, self._loader.new_run()
        async with self._stack.draining():
            await self._send_all("debit", self._plan.players, count=100)
            await self._ledger.until_drained()
            job = Job("debit", run, self._plan.players, seconds=self._plan.half_load_s, per_s=per_s)
            figures, failed = await self._loader.run_counting(job)
            await self._ledger.until_drained()
        lag = await self._ledger.lag_ms(run)
        self.results.product["lag_at_half_load"] = {"debits_per_s": figures.per_s, **lag, "failed": failed}
        self.results.product["debit_at_half_load"] = asdict(figures)

    async def observability(self) -> None:
        """What metrics, traces and logs cost, the drainer standing still; then all of it is drained."""
        figures, ratio, spans = await observability.in_turns(self._stack, self._loader, self._plan)
        self.results.product |= {name: asdict(theirs) for name, theirs in figures.items()}
        self.results.product["collected_spans"] = spans
        self.results.ratios["observability"] = ratio
        async with self._stack.draining():
            await self._ledger.until_drained()

    async def settlements(self) -> None:
        """Settlements that are submitted while players play on."""
        product, ratios = await settlements(
            self._plan, self._stack, self._loader, self._ledger, debits_per_s=self._debit_per_s()
        )
        self.results.product |= product
        self.results.ratios |= ratios

    async def events(self) -> None:
        """How long after the drainer a subscriber has what was debited, at half of the possible debits."""
        per_s, run = self._debit_per_s() / 2, self._loader.new_run()
        async with self._stack.draining(), subscribed_to_events(self._stack.address) as lags:
            job = Job("debit", run, self._plan.players, seconds=self._plan.half_load_s, per_s=per_s)
            figures = await self._loader.run(job)
            await self._ledger.until_drained()
            await lags.until_quiet()
        self.results.product["events"] = {"debits_per_s": figures.per_s, **lags.figures()}

    async def bare_ceilings(self) -> None:
        scripts = await self._scripts_per_s("script", self._plan.script_calls)
        copied = await ceilings.copied_rows_per_s(self._ledger.connection, rows=self._plan.copy_rows)
        self.results.ceilings |= {"script_pipelined": {"per_s": scripts}, "postgres_copy": {"per_s": copied}}
        self.results.ratios["unary_vs_script"] = self._debit_per_s() / scripts
        self.results.ratios["drain_vs_copy"] = float(self.results.product["drain"]["per_s"]) / copied

    @property
    def _half(self) -> int:
        """How many players have a second wallet."""
        return self._plan.players // 2

    def _debit_per_s(self) -> float:
        return float(self.results.product[f"debit_c{MAIN_CONCURRENCY}"]["per_s"])

    async def _send_all(self, method: str, players: int, *, count: int) -> None:
        await self._loader.run(Job(method, self._loader.new_run(), players, count=count))

    async def _bytes_used(self) -> int:
        return await bytes_used(self._ledger.valkey, partition_count=self._partition_count)


async def measure(plan: Plan, folder: Path, tell: Tell) -> Results:
    """A whole run. ``tell`` hears what is measured next."""
    neighbours = Neighbours()
    tell("starting Valkey, Postgres and the service")
    async with bench_stack(folder) as stack, running_loader(stack) as loader, _ledger(stack) as ledger:
        bench = Bench(plan, stack, loader, ledger)
        tell(f"opening {plan.players:,} wallets")
        await bench.prepare()
        for what, step in _steps(bench):
            tell(what)
            await step()
        bench.results.environment["neighbours_share"] = round(neighbours.share(), 3)
        return bench.results


def _steps(bench: Bench) -> Sequence[tuple[str, Callable[[], Any]]]:
    return (
        ("weighing remembered ids", bench.remembered_ids),
        ("echo and debit in turns", bench.unary),
        ("conversions and plain debits in turns", bench.conversions),
        ("batches, streams and the bare script in turns", bench.bulk),
        ("draining the backlog", bench.drain),
        ("lag at half load", bench.half_load),
        ("lag of events at half load", bench.events),
        ("debits that are observed and debits that are not, in turns", bench.observability),
        ("a burst of settlements while players play on", bench.settlements),
        ("the bare script and the bare COPY", bench.bare_ceilings),
    )


@asynccontextmanager
async def _ledger(stack: BenchStack) -> AsyncIterator[Ledger]:
    connection = await asyncpg.connect(stack.postgres.dsn)
    try:
        async with redis.Redis(host="127.0.0.1", port=stack.valkey.port) as valkey:
            yield Ledger(connection, valkey)
    finally:
        await connection.close()
