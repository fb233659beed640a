"""The chart is rendered by both helms of today, alike, into objects that Kubernetes knows."""

import json
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.chart.rendering import CASES, CHART, FILES, MAJORS, Case, HelmRefused, helm, manifests

KUBERNETES = ("1.30", "1.33", "1.37")
"""The oldest that the chart asks for, the newest that can be checked against, and one in between."""

_NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA = {
    "type": "object",
    "required": ["name", "labels"],
    "properties": {"name": {"type": "string"}, "labels": _NAMES, "annotations": _NAMES},
    "additionalProperties": False,
}
# The operator's definitions are not Kubernetes' own: what of them the chart uses, and no more.
OPERATORS_KINDS: dict[str, dict[str, Any]] = {
    "ServiceMonitor": {
        "type": "object",
        "required": ["selector", "endpoints"],
        "properties": {
            "selector": {
                "type": "object",
                "properties": {"matchLabels": _NAMES},
                "additionalProperties": False,
            },
            "namespaceSelector": {
                "type": "object",
                "properties": {"matchNames": {"type": "array", "items": {"type": "string"}}},
                "additionalProperties": False,
            },
            "podTargetLabels": {"type": "array", "items": {"type": "string"}},
            "endpoints": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["port"],
                    "properties": {name: {"type": "string"} for name in ("port", "path", "interval")},
                    "additionalProperties": False,
                },
            },
        },
        "additionalProperties": False,
    },
    "PrometheusRule": {
        "type": "object",
        "required": ["groups"],
        "properties": {
            "groups": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "rules"],
                    "properties": {
                        "name": {"type": "string"},
                        "interval": {"type": "string"},
                        "rules": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["expr"],
                                "oneOf": [{"required": ["alert"]}, {"required": ["record"]}],
                                "properties": {
                                    "alert": {"type": "string"},
                                    "record": {"type": "string"},
                                    "expr": {"type": ["string", "integer"]},
                                    "for": {"type": "string"},
                                    "keep_firing_for": {"type": "string"},
                                    "labels": _NAMES,
                                    "annotations": _NAMES,
                                },
                                "additionalProperties": False,
                            },
                        },
                    },
                    "additionalProperties": False,
                },
            }
        },
        "additionalProperties": False,
    },
}


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("file", FILES)
def test_helm_finds_nothing_to_complain_of(major: str, file: str) -> None:
    helm(major, "lint", "--strict", str(CHART), "--values", str(CHART / f"values-{file}.yaml"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_helms_render_the_same(case: Case) -> None:
    assert by_name(case, "3") == by_name(case, "4")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kubernetes_knows_every_object_and_every_field(case: Case, version: str) -> None:
    for found in manifests(case):
        if found["kind"] in OPERATORS_KINDS:
            assert found["apiVersion"] == "monitoring.coreos.com/v1"
            jsonschema.validate(found["metadata"], _METADATA)
            jsonschema.validate(found["spec"], OPERATORS_KINDS[found["kind"]])
        else:
            kubernetes_validate.validate(dict(found), version, strict=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_object_is_there_twice_and_none_is_a_secret(case: Case) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in manifests(case)]

    assert len(names) == len(set(names))
    assert "Secret" not in {kind for kind, _ in names}


def test_every_kind_of_object_is_rendered_by_some_case() -> None:
    kinds = {found["kind"] for case in CASES for found in manifests(case)}

    assert kinds >= {
        "ConfigMap",
        "CronJob",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Job",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
        "StatefulSet",
    }


def test_dashboards_and_rules_are_the_files_beside_the_chart() -> None:
    case = next(case for case in CASES if "monitoring.dashboards.enabled=true" in case.sets)
    [dashboards] = [found for found in manifests(case) if found["kind"] == "ConfigMap"]
    [rules] = [found for found in manifests(case) if found["kind"] == "PrometheusRule"]

    files = {file.name: json.loads(file.read_text()) for file in CHART.glob("dashboards/*.json")}
    assert {name: json.loads(text) for name, text in (dashboards.get("data") or {}).items()} == files
    groups = [
        group
        for file in sorted(CHART.glob("rules/*.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
    ]
    assert rules["spec"]["groups"] == groups


def test_how_long_before_a_certificate_ends_it_is_told_is_a_value() -> None:
    rules = ("monitoring.prometheusRule.enabled=true", "monitoring.prometheusRule.certificateHours=6")
    [made] = [found for found in manifests(Case("region", rules)) if found["kind"] == "PrometheusRule"]
    [expression] = [
        rule["expr"]
        for group in made["spec"]["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "StakeholdCertificateExpires"
    ]

    assert expression.endswith(" < 6 * 3600")


def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(HelmRefused, match=r"1\.30"):
        helm(
            "4",
            "template",
            "old",
            str(CHART),
            "--kube-version",
            "1.29.0",
            "--values",
            str(CHART / "values-region.yaml"),
        )


def by_name(case: Case, major: str) -> dict[tuple[str, str], Any]:
    return {(found["kind"], found["metadata"]["name"]): found for found in manifests(case, major)}
