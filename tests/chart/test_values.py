"""Values are checked to the last word, and each of them does something."""

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import click
import pytest
import yaml
from pydantic_settings import BaseSettings

import service
from service.cli import main
from tests.chart.rendering import CASES, CHART, EVERYTHING, Case, HelmRefused, all_pods, template
from tests.chart.values_schema import schema_of_values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
OPEN_MAPS = {"podAnnotations", "podLabels", "annotations", "labels", "nodeSelector"}
KUBERNETES_OWN = {
    "nodeAffinity",
    "podAffinity",
    "podAntiAffinity",
    "podSelector",
    "namespaceSelector",
    "ipBlock",
}


def test_the_schema_is_what_the_values_and_the_settings_make() -> None:
    assert schema_of_values() == SCHEMA, (
        "run python -m tests.chart.values_schema > helm/stakehold/values.schema.json"
    )


def test_nothing_is_let_in_that_is_not_named() -> None:
    for path, schema in objects(SCHEMA):
        if path[-1:] and path[-1] in OPEN_MAPS:
            assert schema["additionalProperties"] == {"type": "string"}
        elif not path or path[-1] not in KUBERNETES_OWN | {"[]"} or "properties" in schema:
            assert schema.get("additionalProperties") is False, ".".join(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("imagee.tag=1", "imagee"),
        ("server.replica=2", "replica"),
        ("server.tls.existingSecrets=a", "existingSecrets"),
        ("settings.shutdown_grace=3", "shutdown_grace"),
        ("settings.valkey_url=redis://x", "valkey_url"),
        ("settings.insecure_development=true", "insecure_development"),
        ("settings.window_s=-1", "window_s"),
        ("settings.durability=perhaps", "durability"),
        ("server.replicas=many", "replicas"),
        ("server.resources.limits.memry=1Gi", "memry"),
        ("networkPolicy.clients[0].podSelektor.a=b", "podSelektor"),
        ("publisher.settings.password=hunter2", "password"),
        ("feed.settings.token=hunter2", "token"),
        ("edge.settings.max_body=5", "max_body"),
        ("image.digest=latest", "digest"),
        ("monitoring.serviceMonitor.interval=often", "interval"),
    ],
)
@pytest.mark.parametrize("major", ["3", "4"])
def test_what_is_misspelt_is_refused_by_its_name(major: str, wrong: str, said: str) -> None:
    with pytest.raises(HelmRefused, match=said):
        template(major, Case("region", (wrong,)))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("valkey.existingSecret=", "valkey.existingSecret"),
        ("postgres.existingSecret=", "postgres.existingSecret"),
        ("server.tls.existingSecret=", "server.tls.existingSecret"),
        ("callers.existingSecret=", "callers.existingSecret"),
    ],
)
def test_a_secret_that_is_missing_is_asked_for(missing: str, said: str) -> None:
    with pytest.raises(HelmRefused, match=said):
        template("4", Case("region", (missing,)))


@pytest.mark.parametrize("component", ["feed", "edge"])
def test_who_calls_the_service_needs_credentials(component: str) -> None:
    with pytest.raises(HelmRefused, match=r"client\.existingSecret"):
        template("4", Case("region", (f"{component}.enabled=true", "client.existingSecret=")))


@pytest.mark.parametrize("component", ["server", "drainer", "worker"])
def test_a_pod_that_would_be_cut_off_before_its_calls_end_is_refused(component: str) -> None:
    too_short = f"{component}.terminationGracePeriodSeconds=30"

    with pytest.raises(HelmRefused, match=rf"{component}\.terminationGracePeriodSeconds is 30"):
        template("4", Case("region", (too_short, "settings.shutdown_grace_s=60")))
    template("4", Case("region", (f"{component}.terminationGracePeriodSeconds=120",)))


def test_large_numbers_reach_the_process_as_they_were_written() -> None:
    case = Case("region", ("settings.outbox_hard_records=2000000", "settings.work_rate=1500000"))
    told = yaml.safe_load_all(template("4", case))
    text = json.dumps(list(told))

    assert '"2000000"' in text
    assert '"1500000"' in text


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_variable_is_a_setting_of_the_process_that_gets_it(case: Case) -> None:
    known = known_variables()
    for pods in all_pods(case):
        for container in pods.containers:
            told = {variable["name"] for variable in container["env"]}
            assert told <= known, f"{pods.component}: {sorted(told - known)}"


def test_every_value_makes_a_difference() -> None:
    """Changes one after the other, where everything is on."""
    base = {True: rendered(DEFAULT_SETS), False: rendered(TRIAL_SETS)}
    same = []
    for path, value in leaves(DEFAULTS):
        if path[-1] in {"enabled", "create"} or "settings" in path or path == ("server", "replicas"):
            continue  # told by a test of their own
        of_trial = path[0] == "trial"
        sets = TRIAL_SETS if of_trial else DEFAULT_SETS
        if rendered((*sets, changed(path, value))) == base[not of_trial]:
            same.append(".".join(path))
    assert same == []


def test_the_number_of_servers_is_the_autoscalers_unless_there_is_none() -> None:
    without = (*DEFAULT_SETS, "server.autoscaling.enabled=false", "server.replicas=7")

    assert "replicas: 7" in rendered(without)
    assert "kind: HorizontalPodAutoscaler" not in rendered(without)


DEFAULT_SETS = (
    *EVERYTHING,
    "valkey.existingSecret=valkey",
    "postgres.existingSecret=postgres",
    "postgres.ownerExistingSecret=owner",
    "callers.existingSecret=callers",
    "client.existingSecret=client",
    "server.tls.existingSecret=tls",
    "settings.traces_endpoint=http://collector:4318/v1/traces",
)
TRIAL_SETS = ("trial.enabled=true",)
CHANGES = {
    "pullPolicy": "=Always",
    "clientCertificates": "=optional",
    "type": "=NodePort",
    "digest": f"=sha256:{'1' * 64}",
    "interval": "=7s",
    "terminationGracePeriodSeconds": "=999",
    "pullSecrets": "[0].name=other",
    "tolerations": "[0].key=other",
    "affinity": ".nodeAffinity.other=other",
    "ports": "[0]=777",
    **dict.fromkeys(
        ("to", "clients", "adminClients", "edgeClients", "prometheus"),
        "[0].podSelector.matchLabels.other=other",
    ),
}
"""How a value is changed that cannot be just anything."""


def rendered(sets: tuple[str, ...]) -> str:
    return template("4", Case("", sets))


def changed(path: tuple[str, ...], value: Any) -> str:
    name = ".".join(path)
    if path[-1] in CHANGES:
        return name + CHANGES[path[-1]]
    if isinstance(value, dict) and path[-1] in OPEN_MAPS:
        return f"{name}.other=other"
    if isinstance(value, str):
        return f"{name}=other"
    assert isinstance(value, int), f"how is {name} changed?"
    return f"{name}={value + 1}"


def leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that can be set by itself."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in OPEN_MAPS:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def objects(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if schema.get("type") == "object":
        yield path, schema
        for name, inner in schema.get("properties", {}).items():
            yield from objects(inner, (*path, name))
    if schema.get("type") == "array":
        yield from objects(schema["items"], (*path, "[]"))


def known_variables() -> set[str]:
    """Of all classes of settings, and of all options of commands."""
    for module in pkgutil.walk_packages(service.__path__, "service."):
        importlib.import_module(module.name)
    known: set[str] = set()
    for settings in _subclasses(BaseSettings):
        prefix = settings.model_config.get("env_prefix", "")
        for name, field in settings.model_fields.items():
            alias = field.validation_alias
            known.add(alias if isinstance(alias, str) else f"{prefix}{name}".upper())
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        known |= {option.envvar for option in command.params if isinstance(option.envvar, str)}
    return known


def _subclasses(of: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for found in of.__subclasses__():
        yield found
        yield from _subclasses(found)
