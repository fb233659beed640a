"""The registry that a process begins with: what Prometheus expects of any process, and which release runs."""

from enum import StrEnum
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)


class Process(StrEnum):
    """The commands that run for ever."""

    SERVE = "serve"
    DRAIN = "drain"
    WORK = "work"
    PUBLISH = "publish"
    FEED = "feed"
    EDGE = "edge"


def process_registry(process: Process) -> CollectorRegistry:
    """One for each process: its processor time, memory and files, its garbage collections, its release.

    Without a ``_created`` series beside each counter, which would be as many again and which nobody reads.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    Gauge(
        "stakehold_build_info",
        "1; the labels say which process this is, and of which release.",
        ("process", "version"),
        registry=registry,
    ).labels(process, version("stakehold")).set(1)
    return registry
