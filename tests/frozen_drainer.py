"""A drainer in a process of its own that freezes itself between two steps: run as a module.

Arguments: the ledger's address, the store's, its own id, and the step, as the drainer names it. SIGCONT thaws
it; SIGTERM stops it.
"""

import asyncio
import os
import signal
import sys

from prometheus_client import CollectorRegistry

from persistence.drain_metrics import DrainMetrics
from persistence.drain_settings import DrainSettings
from persistence.drainer import Drainer

LEASE_S = 0.5


async def main(postgres_url: str, valkey_url: str, drainer_id: str, frozen_step: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    frozen = False

    async def freeze_once(step: str) -> None:
        nonlocal frozen
        if step == frozen_step and not frozen:
            frozen = True
            os.kill(os.getpid(), signal.SIGSTOP)

    settings = DrainSettings(
        postgres_url,
        valkey_url,
        batch_records=3,
        block_ms=20,
        claim_interval_s=0.05,
        lease_s=LEASE_S,
    )
    metrics = DrainMetrics(CollectorRegistry())
    await Drainer(settings, metrics=metrics, between_steps=freeze_once, drainer_id=drainer_id).run(stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
