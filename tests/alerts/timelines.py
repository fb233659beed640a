"""What real processes have told, laid out as Prometheus would have scraped it, and asked about by promtool.

A phase is a scrape of each process that is repeated every minute for as long as the phase lasts: what
happened stays so. Times (``…_timestamp_seconds``) move along, so that they are as old as they were when they
were scraped, unless they are told to stand still.
"""

import math
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.alerts.promtool import require_promtool, rule_files

JOB = "stakehold"
QUIET_MIN = 10
FAULT_MIN = 30

Series = tuple[tuple[str, str], ...]
"""Labels and their values, the name among them."""


def scraped(address: str) -> str:
    """What a process tells at its metrics' address."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10.0) as answer:
        text: str = answer.read().decode()
    return text


def told(registry: CollectorRegistry) -> str:
    """What a process with this registry would tell."""
    return generate_latest(registry).decode()


@dataclass(frozen=True, slots=True)
class _Phase:
    samples: Mapping[Series, float]
    minutes: int
    scraped_s: float
    ageing: bool


@dataclass(slots=True)
class Timeline:
    """Phases, one after the other."""

    _phases: list[_Phase] = field(default_factory=list)

    def go_on(self, minutes: int, **processes: str | None) -> None:
        """A phase in which each process tells that text; None: it does not answer."""
        self._phases.append(_Phase(_all_samples(processes), minutes, time.time(), ageing=False))

    def grow_old(self, minutes: int, **processes: str | None) -> None:
        """The same, and what was done last stays the last."""
        self._phases.append(_Phase(_all_samples(processes), minutes, time.time(), ageing=True))

    def minutes(self) -> int:
        return sum(phase.minutes for phase in self._phases)

    def input_series(self) -> list[dict[str, str]]:
        """As promtool reads them."""
        values: defaultdict[Series, list[str]] = defaultdict(list)
        begin = 0
        for phase in self._phases:
            for series, value in phase.samples.items():
                values[series] += ["_"] * (begin - len(values[series]))
                values[series] += _told(series, value, phase, begin)
            begin += phase.minutes
        return [{"series": _selector(series), "values": " ".join(texts)} for series, texts in values.items()]


def require_fires(timeline: Timeline, folder: Path, *alerts: str, quiet_min: int = QUIET_MIN) -> None:
    """Each is quiet for the first ``quiet_min``, and fires at some time in what follows."""
    quiet, loud = f"{quiet_min - 1}m", f"{timeline.minutes() - quiet_min - 1}m"
    end = f"{timeline.minutes() - 1}m"
    questions = [
        question
        for alert in alerts
        for question in (
            _asked(alert, quiet, at=quiet, expected=0),
            _asked(alert, loud, at=end, expected=1),
        )
    ]
    test = {"interval": "1m", "input_series": timeline.input_series(), "promql_expr_test": questions}
    require_test(test, folder / "timeline.yaml")


def require_test(test: dict[str, Any], file: Path) -> None:
    """Promtool agrees."""
    rules = [str(path) for path in rule_files()]
    tests = {"rule_files": rules, "evaluation_interval": "30s", "tests": [test]}
    file.write_text(yaml.safe_dump(tests))
    require_promtool("test", "rules", file)


def _asked(alert: str, window: str, *, at: str, expected: int) -> dict[str, Any]:
    fired = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    return {
        "expr": f"(count(count_over_time({fired}[{window}])) > bool 0) or vector(0)",
        "eval_time": at,
        "exp_samples": [{"labels": "{}", "value": expected}],
    }


def _all_samples(processes: Mapping[str, str | None]) -> dict[Series, float]:
    return {series: value for found in processes.items() for series, value in _samples(*found)}


def _samples(instance: str, text: str | None) -> Iterator[tuple[Series, float]]:
    target = {"job": JOB, "instance": instance}
    yield _series("up", target), 0.0 if text is None else 1.0
    for family in text_string_to_metric_families(text or ""):
        for sample in family.samples:
            own = {_as_scraped(name, target): value for name, value in sample.labels.items()}
            yield _series(sample.name, {**own, **target}), sample.value


def _told(series: Series, value: float, phase: _Phase, begin: int) -> list[str]:
    """A sample's value in each minute of a phase, whose first one is ``begin``."""
    if not _is_time(series):
        return [_written(value)] * phase.minutes
    age_s = phase.scraped_s - value
    minutes = range(begin, begin + phase.minutes)
    return [_written((begin if phase.ageing else minute) * 60 - age_s) for minute in minutes]


def _as_scraped(label: str, target: Mapping[str, str]) -> str:
    """A target's own label that is Prometheus's, too, is put aside."""
    return f"exported_{label}" if label in target else label


def _is_time(series: Series) -> bool:
    return dict(series)["__name__"].endswith("_timestamp_seconds")


def _series(name: str, labels: Mapping[str, str]) -> Series:
    return tuple(sorted({"__name__": name, **labels}.items()))


def _selector(series: Series) -> str:
    labels = dict(series)
    name = labels.pop("__name__")
    return name + "{" + ", ".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def _written(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
