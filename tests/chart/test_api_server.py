"""Against a real API server, where there is one: it takes the chart, an upgrade of it, and the way back.

STAKEHOLD_TEST_KUBECONFIG names a kubeconfig whose user may make a namespace. Pods need not run there: without
STAKEHOLD_TEST_TRIAL_IMAGE (repository:tag of the image's target `trial`) only what the server accepts is
looked at.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import CHART, HELM, MAJORS, ROOT

KUBECONFIG = os.environ.get("STAKEHOLD_TEST_KUBECONFIG", "")
IMAGE = os.environ.get("STAKEHOLD_TEST_TRIAL_IMAGE", "")
WITHOUT_OPERATOR = (
    "monitoring.serviceMonitor.enabled=false",
    "monitoring.prometheusRule.enabled=false",
)

pytestmark = [
    pytest.mark.skipif(not KUBECONFIG, reason="STAKEHOLD_TEST_KUBECONFIG names no API server"),
    pytest.mark.timeout(600),
]


def tool(name: str, *words: str) -> str:
    """Helm (3 or 4) or kubectl, with the cluster's credentials."""
    environment = {**os.environ, "KUBECONFIG": KUBECONFIG}
    done = subprocess.run(
        [HELM, name, *words], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"stakehold-test-{uuid.uuid4().hex[:8]}"
    tool("kubectl", "create", "namespace", name)
    yield name
    tool("kubectl", "delete", "namespace", name, "--wait=false")


def grace_of(namespace: str) -> Any:
    deployment = tool("kubectl", "-n", namespace, "get", "deployment", "w-stakehold-server", "-o", "json")
    return json.loads(deployment)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("major", MAJORS)
def test_it_is_installed_upgraded_and_taken_back(major: str, namespace: str) -> None:
    sets = [word for one in WITHOUT_OPERATOR for word in ("--set", one)]
    values = ["--namespace", namespace, "--values", str(CHART / "values-region.yaml"), *sets]

    # Without hooks: the migration would wait for a Postgres that is not there.
    tool(major, "install", "w", str(CHART), "--no-hooks", *values)
    installed = grace_of(namespace)
    tool(major, "upgrade", "w", str(CHART), "--no-hooks", *values, "--set", "settings.shutdown_grace_s=50")
    upgraded = grace_of(namespace)
    tool(major, "rollback", "w", "1", "--no-hooks", "--namespace", namespace)
    back = grace_of(namespace)
    tool(major, "uninstall", "w", "--no-hooks", "--namespace", namespace)

    assert (installed, upgraded, back) == (45, 75, 45)


@pytest.mark.skipif(not IMAGE, reason="STAKEHOLD_TEST_TRIAL_IMAGE names no image that the cluster can pull")
@pytest.mark.parametrize("major", MAJORS)
def test_the_trial_starts_there(major: str, namespace: str) -> None:
    repository, _, tag = IMAGE.rpartition(":")
    image = ["--set", f"image.repository={repository}", "--set", f"image.tag={tag}"]
    values = ["--namespace", namespace, "--values", str(CHART / "values-trial.yaml")]

    tool(major, "install", "w", str(CHART), *values, *image, "--wait", "--timeout", "5m")

    ready = tool("kubectl", "-n", namespace, "get", "pod", "w-stakehold-trial-0", "-o", "json")
    conditions = {one["type"]: one["status"] for one in json.loads(ready)["status"]["conditions"]}
    assert conditions["Ready"] == "True"
