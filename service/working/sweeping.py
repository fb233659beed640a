"""The job that follows open rounds, and gives back bets that nothing settles."""

import asyncio

from prometheus_client import Counter

from persistence.drainer import wall_clock_ms
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.open_rounds import OpenRoundTable
from persistence.sweeping import Sweeping
from service.working.jobs import Job, pause
from service.working.workplace import APPLICATION, Workplace

_POOL_SIZE = 2
_STATEMENT_TIMEOUT_S = 30.0
_EVERY_S = 2.0


def sweeping_job(workplace: Workplace) -> Job:
    """Any number may run: each takes what no other one holds."""
    swept = Counter(
        "stakehold_swept_bets",
        "Bets that were given back because nothing settled them; each has a review.",
        registry=workplace.metrics,
    )

    async def run(stop: asyncio.Event) -> None:
        async with ledger_pool(
            workplace.settings.postgres_url.get_secret_value(),
            role=LedgerRole.WRITER,
            size=_POOL_SIZE,
            statement_timeout_s=_STATEMENT_TIMEOUT_S,
            application=APPLICATION,
        ) as pool:
            sweeping = Sweeping(
                workplace.hot_path.engine,
                OpenRoundTable(pool),
                sources=workplace.registry.sources,
                now_ms=wall_clock_ms,
            )
            while not stop.is_set():
                before = sweeping.counts.swept
                more = await sweeping.run_once()
                swept.inc(sweeping.counts.swept - before)
                if not more:
                    await pause(stop, _EVERY_S)

    return Job("sweeping", run)
