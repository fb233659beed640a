"""The job that gives back what is held past its expire time."""

import asyncio
import time

from persistence.expiring import Expiring
from persistence.postgres.reading.slips import SlipReader
from service.working.jobs import Job, pause
from service.working.workplace import Workplace

_EVERY_S = 1.0


def expiring_job(workplace: Workplace) -> Job:
    """Any number may run: what one has given back is a replay for the others."""

    async def run(stop: asyncio.Event) -> None:
        expiring = Expiring(
            workplace.hot_path.engine, SlipReader(workplace.reading_pool), now_s=time.monotonic
        )
        while not stop.is_set():
            if not await expiring.run_once():
                await pause(stop, _EVERY_S)

    return Job("expiring", run)
