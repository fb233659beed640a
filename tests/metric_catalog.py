"""All metrics that the code makes: found in its syntax, so that none is forgotten.

``python -m tests.metric_catalog`` prints the table of docs/observability.md.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.deployment import ROOT

PREFIX = "stakehold_"

_TYPES = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram", "_watch": "gauge"}
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}

_ALL = ("serve", "drain", "work", "publish", "feed", "edge")
_PROCESSES = {
    "persistence/drain_metrics.py": ("drain",),
    "service/callers/": ("serve",),
    "service/edge/": ("edge",),
    "service/eventing/": ("serve",),
    "service/feeding/": ("feed",),
    "service/metrics.py": ("serve", "work"),
    "service/providers/": ("serve",),
    "service/publishing/": ("publish",),
    "service/telemetry/ledger_watch.py": ("drain",),
    "service/telemetry/process_metrics.py": _ALL,
    "service/telemetry/rate_metrics.py": ("serve",),
    "service/telemetry/trace_metrics.py": _ALL,
    "service/telemetry/transaction_metrics.py": ("serve", "work"),
    "service/working/": ("work",),
}
"""Who tells what is made where."""

ONLY_SOMETIMES = {
    "stakehold_callers_reload_failures": "with TLS",
    "stakehold_issuer_keys_failures": "with TLS",
    "stakehold_tls_certificate_expiry_timestamp_seconds": "with TLS",
    "stakehold_tls_reload_failures": "with TLS",
    "stakehold_unauthenticated_calls": "with TLS",
    "stakehold_trace_spans_exported": "with traces",
    "stakehold_trace_spans_dropped": "with traces",
    "stakehold_traces_capped": "with traces",
}
"""What a process with the settings that the tests use does not tell."""

_SERVE_ONLY = {"stakehold_calls_in_flight"}
"""Of what `serve` and `work` have in common otherwise."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A family. ``name`` is without the suffix of its samples."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str
    processes: tuple[str, ...]

    def samples(self) -> tuple[str, ...]:
        """The names that are asked for."""
        return tuple(self.name + suffix for suffix in _SUFFIXES[self.type])

    def line(self) -> str:
        """Of the table."""
        labels = ", ".join(f"`{label}`" for label in self.labels)
        processes = "all" if self.processes == _ALL else ", ".join(self.processes)
        when = f" ({ONLY_SOMETIMES[self.name]})" if self.name in ONLY_SOMETIMES else ""
        name = self.samples()[0] if self.type == "counter" else self.name
        return f"| `{name}` | {self.type} | {labels} | {processes}{when} | {self.help} |"


@cache
def all_metrics() -> tuple[Metric, ...]:
    """By name."""
    files = [file for folder in ("persistence", "service") for file in (ROOT / folder).rglob("*.py")]
    found = [metric for file in sorted(files) for metric in _metrics_of(file)]
    return tuple(sorted(found, key=lambda metric: metric.name))


def _metrics_of(file: Path) -> Iterator[Metric]:
    where = str(file.relative_to(ROOT))
    for name, type_, labels, help_ in _found_in(ast.parse(file.read_text())):
        yield Metric(name, type_, labels, help_, ("serve",) if name in _SERVE_ONLY else _tellers(where))


def _tellers(where: str) -> tuple[str, ...]:
    for place, processes in _PROCESSES.items():
        if where.startswith(place):
            return processes
    raise AssertionError(f"{where} makes metrics: say here which processes tell them")


def _found_in(tree: ast.Module) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Name, type, labels and help."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[ast.Constant(str(name)), ast.Constant(str(help_)), *rest]) if (
                type_ := _TYPES.get(_called(node.func), "")
            ) and name.startswith(PREFIX):
                yield name, type_, _labels(rest, node), help_
            case ast.Tuple(elts=[ast.Constant(str(name)), ast.Constant(str(help_)), ast.Lambda()]) if (
                name.startswith(PREFIX)
            ):
                yield name, "gauge", ("pair",), help_


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _labels(rest: list[ast.expr], call: ast.Call) -> tuple[str, ...]:
    given = [*rest[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "labelnames")]
    for labels in given:
        if isinstance(labels, ast.Tuple | ast.List):
            return tuple(str(label.value) for label in labels.elts if isinstance(label, ast.Constant))
    return ()


if __name__ == "__main__":
    print("\n".join(metric.line() for metric in all_metrics()))
