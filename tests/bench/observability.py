"""What it costs to be seen: the same debits at a server that tells all, and at one that tells nothing."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from service.embedded.ports import LOOPBACK, free_port
from tests.bench.bench_stack import BenchStack
from tests.bench.figures import Figures, medians, paired_ratio
from tests.bench.load import Job
from tests.bench.loader import Loader, running_loader
from tests.bench.plan import MAIN_CONCURRENCY, Plan
from tests.trace_collector import TraceCollector, trace_collector

OBSERVED, UNOBSERVED = "debit_observed", "debit_unobserved"
_SCRAPED_EVERY_S = 1.0


async def in_turns(stack: BenchStack, loader: Loader, plan: Plan) -> tuple[dict[str, Figures], float, int]:
    """The figures of both, the ratio of their rates, with over without, and how many spans were collected.

    Both servers are new and on the same store and ledger. Who comes first changes from pair to pair, and two
    pairs are compared together: with, without, without, with. So neither has an advantage by its place.
    """
    async with _loaders(stack) as (loaders, collector):
        rounds: dict[str, list[Figures]] = {name: [] for name in loaders}
        for number in range(2 * plan.rounds + 1):
            for name in sorted(loaders, reverse=bool(number % 2)):
                job = Job(
                    "debit",
                    loader.new_run(),  # one counter for both, so that no id comes twice
                    plan.players,
                    concurrency=MAIN_CONCURRENCY,
                    seconds=plan.round_s if number else plan.round_s / 4,
                )
                figures = await loaders[name].run(job)
                if number:
                    rounds[name].append(figures)
        collected = len(collector.spans)
    ratio = paired_ratio(*(_by_twos(rounds[name]) for name in (OBSERVED, UNOBSERVED)))
    return {name: medians(theirs) for name, theirs in rounds.items()}, ratio, collected


def _by_twos(rounds: Sequence[Figures]) -> list[float]:
    """The rates of the first and second round together, of the third and fourth, and so on."""
    return [first.per_s + second.per_s for first, second in zip(rounds[::2], rounds[1::2], strict=True)]


@asynccontextmanager
async def _loaders(stack: BenchStack) -> AsyncIterator[tuple[Mapping[str, Loader], TraceCollector]]:
    metrics_address = f"{LOOPBACK}:{free_port()}"
    async with AsyncExitStack() as running:
        collector = await running.enter_async_context(trace_collector())
        told = {
            "STAKEHOLD_METRICS_LISTEN": metrics_address,
            "STAKEHOLD_TRACES_ENDPOINT": collector.endpoint,
            "STAKEHOLD_LOG_LEVEL": "info",
            "STAKEHOLD_LOG_FORMAT": "json",
        }
        loaders: dict[str, Loader] = {}
        for name, settings in ((OBSERVED, told), (UNOBSERVED, {})):
            server = await running.enter_async_context(stack.another_server(name, settings))
            loaders[name] = await running.enter_async_context(running_loader(server))
        scraping = asyncio.create_task(_scrape(f"http://{metrics_address}/metrics"), name="scraping")
        try:
            yield loaders, collector
        finally:
            scraping.cancel()
            with suppress(asyncio.CancelledError):
                await scraping


async def _scrape(url: str) -> None:
    while True:
        await asyncio.to_thread(_read, url)
        await asyncio.sleep(_SCRAPED_EVERY_S)


def _read(url: str) -> None:
    with urllib.request.urlopen(url) as response:
        response.read()
