"""Rules are what promtool takes, each alert has a case in which it fires and one in which it does not, and
leads whoever is woken by it to the runbook.
"""

import re
from collections import defaultdict
from functools import cache
from typing import Any

import pytest
import yaml

from tests.alerts.promtool import CASES, Alert, alerts, recordings, require_promtool, rule_files
from tests.deployment import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
CASE_FILES = sorted(CASES.glob("*.yaml"))
all_alerts = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)


@cache
def expected_by_alert() -> dict[str, list[int]]:
    """How many alerts each test of an alert expects."""
    expected: defaultdict[str, list[int]] = defaultdict(list)
    for file in CASE_FILES:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for question in test["alert_rule_test"]:
                expected[question["alertname"]].append(len(question["exp_alerts"]))
    return dict(expected)


def anchors() -> set[str]:
    """Of the runbook's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_promtool_takes_all_rules() -> None:
    assert rule_files()
    require_promtool("check", "rules", *rule_files())


@pytest.mark.parametrize("file", CASE_FILES, ids=lambda file: file.stem)
def test_alerts_fire_and_stay_quiet_when_they_should(file: Any) -> None:
    require_promtool("test", "rules", file)


@all_alerts
def test_each_alert_has_a_case_that_fires_it_and_one_that_does_not(alert: Alert) -> None:
    expected = expected_by_alert().get(alert.name, [])

    assert 0 in expected, f"nothing shows when {alert.name} stays quiet"
    assert any(expected), f"nothing shows that {alert.name} fires"


@all_alerts
def test_each_alert_says_how_bad_it_is_and_what_to_do(alert: Alert) -> None:
    assert alert.severity in {"critical", "warning"}
    assert alert.annotations.keys() == {"summary", "description", "runbook_url"}
    page, _, anchor = alert.annotations["runbook_url"].partition("#")
    assert page == "docs/runbook.md"
    assert anchor in anchors(), f"the runbook has no section #{anchor}"


def test_names_of_rules_are_ours_and_unique() -> None:
    names = [alert.name for alert in alerts()] + [recording.name for recording in recordings()]

    assert len(names) == len(set(names))
    assert all(alert.name.startswith("Stakehold") for alert in alerts())
    assert all(rule.name.startswith("stakehold:") for rule in recordings())


def test_cases_are_about_alerts_that_there_are() -> None:
    assert expected_by_alert().keys() == {alert.name for alert in alerts()}
