"""The job that erases what callbacks contained, once they are old enough."""

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import Counter

from persistence.postgres.callbacks import CallbackTable
from service.opening import open_callbacks_pool
from service.working.jobs import Job, pause
from service.working.workplace import APPLICATION, Workplace

_MOST_AT_ONCE = 500
_EVERY_S = 60.0
_S_PER_DAY = 86_400.0


def callbacks_job(workplace: Workplace) -> Job:
    """Any number may run: each takes what no other one holds."""
    erased = Counter(
        "stakehold_erased_callbacks",
        "Callbacks whose contents were erased because they were old; ids and digests stay.",
        registry=workplace.metrics,
    )
    older_than_s = workplace.settings.callback_retention_days * _S_PER_DAY

    async def run(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            pool = await open_callbacks_pool(workplace.settings, stack, application=APPLICATION)
            table = CallbackTable(pool)
            while not stop.is_set():
                count = await table.erase_old(older_than_s=older_than_s, most=_MOST_AT_ONCE)
                erased.inc(count)
                if count < _MOST_AT_ONCE:
                    await pause(stop, _EVERY_S)

    return Job("callbacks", run)
