"""The real promtool, and the rules that it is asked about."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deployment import ROOT

RULES = ROOT / "helm" / "stakehold" / "rules"
CASES = ROOT / "tests" / "alerts" / "cases"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule as it stands in its file."""

    name: str
    expression: str
    severity: str
    annotations: Mapping[str, str]
    for_s: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    name: str
    expression: str


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        [ROOT / "scripts" / "promtool.sh", *words], capture_output=True, text=True, check=False, timeout=100
    )


def require_promtool(*words: str | Path) -> None:
    done = promtool(*words)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def rule_files() -> tuple[Path, ...]:
    return tuple(sorted(RULES.glob("*.yaml")))


def alerts() -> list[Alert]:
    """All alerts of all files."""
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            rule["labels"].get("severity", ""),
            rule["annotations"],
            _seconds(rule.get("for", "0s")),
        )
        for rule in _rules()
        if "alert" in rule
    ]


def recordings() -> list[Recording]:
    return [Recording(rule["record"], rule["expr"]) for rule in _rules() if "record" in rule]


def _rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in rule_files()
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def _seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)([smhd])", duration)
    assert match, duration
    return int(match[1]) * SECONDS[match[2]]
