"""How far behind the drainer is, with a clock of the test's own."""

from collections.abc import Sequence
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from persistence.drain_batch import PartitionBatch, RawRecord, build_batch
from persistence.drain_metrics import DrainMetrics
from persistence.drain_progress import DrainProgress
from tests.outbox_feed import FIRST_BOOKED_MS, FedWallet, record_fields
from tests.unit.test_drain_batch import PARTITION, PLAYER, START


class Following:
    """A drainer's progress at a time that the test sets, in milliseconds after the first record."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.at_ms = 0
        self.progress = DrainProgress(DrainMetrics(self.registry), lambda: FIRST_BOOKED_MS + self.at_ms)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    @property
    def lag_ms(self) -> float | None:
        return self.value("stakehold_drain_lag_ms")


@pytest.fixture
def following() -> Following:
    return Following()


def batch(*booked_ms: int) -> PartitionBatch:
    """Records that were booked so many milliseconds after the first moment."""
    wallet = FedWallet(PLAYER)
    entries = [wallet.opened(), *(wallet.applied(f"bet-{n}", "bet", cash=-1) for n in range(len(booked_ms)))]
    records = [
        RawRecord(
            f"1-{number}",
            [
                field.encode()
                for field in record_fields(PLAYER, [entries[number]], booked_ms=FIRST_BOOKED_MS + moment)
            ],
        )
        for number, moment in enumerate(booked_ms)
    ]
    return build_batch(START, records, partition_count=16)


def test_the_lag_grows_until_what_was_read_is_written(following: Following) -> None:
    made = batch(100, 200)
    following.at_ms = 1000
    following.progress.read([made])
    assert following.lag_ms == 900

    following.at_ms = 3_600_000
    assert following.lag_ms == 3_599_900

    following.progress.wrote([made], full_at=100)
    assert following.lag_ms == 0
    assert following.value("stakehold_drained_records_total") == 2


def test_behind_a_full_batch_more_is_waiting(following: Following) -> None:
    following.at_ms = 1000
    following.progress.wrote([batch(100, 200)], full_at=2)
    assert following.lag_ms == 800

    following.progress.found_nothing({PARTITION})
    assert following.lag_ms == 0


def test_what_another_drainer_has_is_not_this_ones_lag(following: Following) -> None:
    following.progress.read([batch(100)])
    following.progress.waits({PARTITION: 5})
    assert following.value("stakehold_outbox_records", partition=str(PARTITION)) == 5

    following.progress.waits({})

    assert following.lag_ms == 0
    assert following.value("stakehold_outbox_records", partition=str(PARTITION)) is None


def told(following: Following, *looks: tuple[int, int]) -> Sequence[dict[str, object]]:
    """What is logged when so many records wait at such times, and two are written between the looks."""
    with capture_logs() as logs:
        for at_ms, backlog in looks:
            following.at_ms = at_ms
            following.progress.waits({PARTITION: backlog})
            following.progress.wrote([batch(0, 0)] * 10_000, full_at=100)
    return [cast("dict[str, object]", dict(log)) for log in logs]


def test_a_backlog_is_told_every_ten_seconds_with_its_rate_and_what_is_left(following: Following) -> None:
    logs = told(following, (0, 100_000), (5_000, 90_000), (10_000, 60_000), (19_000, 50_000))

    assert logs == [
        {
            "event": "drain_backlog",
            "log_level": "info",
            "records": 60_000,
            "records_per_s": 4_000,
            "seconds_left": 15,
        }
    ]


def test_a_small_backlog_is_not_told(following: Following) -> None:
    assert told(following, (0, 10_000), (20_000, 10_000), (40_000, 9_000)) == []
