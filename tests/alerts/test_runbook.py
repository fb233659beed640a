"""The runbook's table has every alert, where it leads, and a test in which it was seen firing."""

import ast
import re
from functools import cache

import pytest

from tests.alerts.promtool import Alert, alerts
from tests.deployment import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
TESTS = ROOT / "tests" / "alerts"
ROW = re.compile(
    r"^\| `(Stakehold\w+)` \| (\w+) \| .+ \| \[.+\]\(#([\w-]+)\) \| `(\w+)::(\w+)` \|$", re.MULTILINE
)


@cache
def rows() -> dict[str, tuple[str, str, str, str]]:
    """Severity, anchor, module and test, by alert."""
    return {name: (severity, *where) for name, severity, *where in ROW.findall(RUNBOOK.read_text())}


def texts_of(module: str, test: str) -> set[str]:
    """The texts in a test's code."""
    tree = ast.parse((TESTS / f"test_{module}.py").read_text())
    [found] = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == test]
    return {str(node.value) for node in ast.walk(found) if isinstance(node, ast.Constant)}


def test_the_table_has_all_alerts_and_no_others() -> None:
    assert rows().keys() == {alert.name for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_each_alert_was_seen_firing(alert: Alert) -> None:
    severity, anchor, module, test = rows()[alert.name]

    assert severity == alert.severity
    assert alert.annotations["runbook_url"] == f"docs/runbook.md#{anchor}"
    assert alert.name in texts_of(module, test)
