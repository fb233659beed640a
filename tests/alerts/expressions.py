"""What a PromQL expression asks for, as promql-parser reads it."""

from dataclasses import dataclass

import promql_parser

from tests.alerts.promtool import recordings
from tests.metric_catalog import all_metrics

_HISTOGRAM_LABEL = "le"
_FROM_OUTSIDE = {
    "up": set[str](),
    "ALERTS": {"alertname", "alertstate", "severity"},
    "process_cpu_seconds_total": set[str](),
    "process_resident_memory_bytes": set[str](),
}
"""What Prometheus and its client make."""
_TARGET = {"job", "instance"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The metrics of an expression with the labels that they are selected by, and what is grouped by."""

    selected: tuple[tuple[str, frozenset[str]], ...]
    grouped: frozenset[str]


def read(expression: str) -> Asked:
    """Raises ValueError for what is no PromQL."""
    selected: list[tuple[str, frozenset[str]]] = []
    grouped: set[str] = set()

    def visit(node: object) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            matchers = frozenset(matcher.name for matcher in node.matchers.matchers)
            found = (node.name or "", matchers)
            if found not in selected:
                selected.append(found)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return Asked(tuple(selected), frozenset(grouped))


def known_labels() -> dict[str, set[str]]:
    """Of each sample that there is, by name."""
    known = {name: labels | _TARGET for name, labels in _FROM_OUTSIDE.items()}
    for metric in all_metrics():
        for sample in metric.samples():
            known[sample] = {*metric.labels, *_TARGET}
            if sample.endswith("_bucket"):
                known[sample].add(_HISTOGRAM_LABEL)
    return known | {recording.name: set() for recording in recordings()}


def problems_of(expression: str) -> list[str]:
    """What is asked for and is not there."""
    known, asked = known_labels(), read(expression)
    problems = [f"there is no metric {name}" for name, _ in asked.selected if name not in known]
    problems += [
        f"{name} has no label {label}"
        for name, labels in asked.selected
        for label in labels - known.get(name, labels)
    ]
    there = set().union(*(known.get(name, set()) for name, _ in asked.selected))
    return problems + [f"no metric of it has a label {label}" for label in asked.grouped - there]
