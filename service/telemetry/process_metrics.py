"""The registry that a process begins with: what Prometheus expects of any process, and which release it is."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, Gauge, ProcessCollector


def process_registry() -> CollectorRegistry:
    """One for each process: its processor time, memory and files, its garbage collections, its version."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    Gauge(
        "stakehold_build_info", "1; the label says which release runs.", ("version",), registry=registry
    ).labels(version("stakehold")).set(1)
    return registry
