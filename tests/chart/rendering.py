"""The chart as real helm renders it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "stakehold"
HELM = ROOT / "scripts" / "helm.sh"
RELEASE, NAMESPACE = "wallets", "play"

MAJORS = ("3", "4")
FILES = ("single-machine", "region", "trial")

Manifest = Mapping[str, Any]
Sets = tuple[str, ...]

EVERYTHING: Sets = (
    "publisher.enabled=true",
    "publisher.existingSecret=broker",
    "publisher.passwordKey=password",
    "feed.enabled=true",
    "feed.existingSecret=feed",
    "edge.enabled=true",
    "edge.settings.max_body_bytes=1024",
    "providers.existingSecret=providers",
    "traces.existingSecret=traces",
    "client.tokenKey=token",
    "monitoring.serviceMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboards.enabled=true",
)
NOTHING_OPTIONAL: Sets = (
    "server.admin.enabled=false",
    "server.autoscaling.enabled=false",
    "server.podDisruptionBudget.enabled=false",
    "drainer.podDisruptionBudget.enabled=false",
    "worker.podDisruptionBudget.enabled=false",
    "networkPolicy.enabled=false",
    "migration.enabled=false",
    "verifier.enabled=false",
    "serviceAccount.create=false",
    "client.existingSecret=",
)
ANTI_AFFINITY = "server.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution"
PLACED: Sets = (
    f"{ANTI_AFFINITY}[0].weight=1",
    f"{ANTI_AFFINITY}[0].podAffinityTerm.topologyKey=rack",
    "server.tolerations[0].key=dedicated",
    "server.tolerations[0].operator=Exists",
    "drainer.nodeSelector.disk=fast",
    "worker.priorityClassName=low",
    "image.pullSecrets[0].name=registry",
    "image.digest=sha256:" + "0" * 64,
    "fullnameOverride=money",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A file of values, and what is set beside."""

    file: str
    sets: Sets = ()
    namespace: str = NAMESPACE

    def __str__(self) -> str:
        return f"{self.file}+{len(self.sets)}" if self.sets else self.file


CASES = (
    *(Case(file) for file in FILES),
    Case("region", EVERYTHING),
    Case("single-machine", EVERYTHING),
    Case("single-machine", NOTHING_OPTIONAL),
    Case("region", (*EVERYTHING, *PLACED)),
    Case("region", ("server.service.type=LoadBalancer", "server.service.annotations.a=b")),
    Case("trial", ("trial.storageClassName=fast", "networkPolicy.enabled=false")),
)


class HelmRefused(Exception):
    """With what helm said."""


def helm(major: str, *words: str) -> str:
    """What helm writes; raises HelmRefused."""
    done = subprocess.run([HELM, major, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HelmRefused(done.stdout + done.stderr)
    return done.stdout


def template(major: str, case: Case) -> str:
    sets = [word for one in case.sets for word in ("--set", one)]
    values = ["--values", str(CHART / f"values-{case.file}.yaml")] if case.file else []
    return helm(major, "template", RELEASE, str(CHART), "--namespace", case.namespace, *values, *sets)


@cache
def manifests(case: Case, major: str = "4") -> tuple[Manifest, ...]:
    """Every object, hooks included."""
    return tuple(found for found in yaml.safe_load_all(template(major, case)) if found is not None)


def of_kind(case: Case, *kinds: str) -> list[Manifest]:
    return [found for found in manifests(case) if found["kind"] in kinds]


@dataclass(frozen=True, slots=True)
class Pods:
    """What makes pods: its name, the labels and the spec of the pods."""

    name: str
    component: str
    labels: Mapping[str, str]
    spec: Manifest

    @property
    def containers(self) -> Sequence[Manifest]:
        return [*self.spec["containers"], *self.spec.get("initContainers", ())]


def all_pods(case: Case) -> Iterator[Pods]:
    """Of every workload, of hooks and tests too."""
    for found in manifests(case):
        if found["kind"] == "Pod":
            metadata, spec = found["metadata"], found["spec"]
        else:
            made = found.get("spec", {})
            made = made.get("jobTemplate", {}).get("spec", made)
            if "template" not in made:
                continue
            metadata, spec = made["template"]["metadata"], made["template"]["spec"]
        component = metadata["labels"]["app.kubernetes.io/component"]
        yield Pods(found["metadata"]["name"], component, metadata["labels"], spec)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Of the selectors that the chart makes: by labels alone."""
    wanted = selector.get("matchLabels", selector)
    return bool(wanted.items() <= labels.items())
