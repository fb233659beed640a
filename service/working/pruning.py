"""The job that takes away what the ledger has too, once it is old enough."""

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import Counter

from persistence.pruning import Pruning
from service.opening import open_pruner_pool
from service.working.jobs import Job, pause
from service.working.workplace import APPLICATION, Workplace

_EVERY_S = 60.0
_S_PER_DAY = 86_400.0


def pruning_job(workplace: Workplace) -> Job:
    """Any number may run: each takes what no other one holds."""
    commands = Counter(
        "stakehold_pruned_commands",
        "Submitted commands, decided long ago, whose contents were taken away; what became of them stays.",
        registry=workplace.metrics,
    )
    records = Counter(
        "stakehold_pruned_records",
        "Salvaged and quarantined records whose contents were taken away, as the ledger has them.",
        registry=workplace.metrics,
    )
    older_than_s = workplace.settings.submission_retention_days * _S_PER_DAY

    async def run(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            pool = await open_pruner_pool(workplace.settings, stack, application=APPLICATION)
            pruning = Pruning(pool, older_than_s=older_than_s)
            while not stop.is_set():
                before = (pruning.counts.commands, pruning.counts.records)
                more = await pruning.run_once()
                commands.inc(pruning.counts.commands - before[0])
                records.inc(pruning.counts.records - before[1])
                if not more:
                    await pause(stop, _EVERY_S)

    return Job("pruning", run)
