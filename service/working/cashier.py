"""The job that goes on with the cashier's cases where whoever began has not, and expires deposits."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge

from persistence.cashier.working_off import WorkingOff
from service.opening import cash_desk
from service.working.jobs import Job, pause
from service.working.workplace import Workplace

_EVERY_S = 1.0


class CashierMetrics:
    """What is under way, and what was done about it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._finished = Counter(
            "stakehold_cashier_finished",
            "Cases under way that a worker has finished.",
            registry=registry,
        )
        self._expired = Counter(
            "stakehold_cashier_expired_deposits", "Deposits that nothing came for in time.", registry=registry
        )
        self._waiting = Gauge(
            "stakehold_cashier_cases_under_way",
            "Deposits, withdrawals and corrections whose money is about to move.",
            registry=registry,
        )
        self._oldest = Gauge(
            "stakehold_cashier_oldest_seconds",
            "Since when the oldest of them has not moved on.",
            registry=registry,
        )

    def note(self, *, finished: int, expired: int, waiting: int, oldest_s: float) -> None:
        self._finished.inc(finished)
        self._expired.inc(expired)
        self._waiting.set(waiting)
        self._oldest.set(oldest_s)


def cashier_job(workplace: Workplace) -> Job:
    """Any number may run: each takes what no other one holds."""
    _, table, finisher = cash_desk(workplace.cashier_pool, workplace.hot_path.engine, workplace.registry)
    working = WorkingOff(table, finisher)
    metrics = CashierMetrics(workplace.metrics)

    async def run(stop: asyncio.Event) -> None:
        while not stop.is_set():
            done = await working.run_once()
            metrics.note(
                finished=done.finished, expired=done.expired, waiting=done.waiting, oldest_s=done.oldest_s
            )
            if not done.more:
                await pause(stop, _EVERY_S)

    return Job("cashier", run)
