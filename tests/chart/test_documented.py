"""What README and docs tell whoever installs the chart fits what the chart makes."""

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tests.chart.rendering import CHART, EVERYTHING, RELEASE, ROOT, Case, Manifest, all_pods, manifests
from tests.chart.test_policies import environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
ISSUE = re.compile(r"^mkdir -p tls$.*?^}$", re.MULTILINE | re.DOTALL)
"""Makes an authority, and what issues certificates."""
FOR_THE_CHART = re.compile(r"^## On Kubernetes$.*?^```\n(.*?)^secret\(\)", re.MULTILINE | re.DOTALL)
NAMESPACE = "default"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
DAY = timedelta(days=1)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
COMMAND = re.compile(r"helm (?:install|upgrade) \S[^`\n]*")
"""In a block, or within a sentence."""
TIMEOUT = re.compile(r"--timeout (\d+)m\b")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> x509.Certificate:
    """The server's, as the README's own lines issue it."""
    folder: Path = tmp_path_factory.mktemp("readme")
    [authority], [of_the_server] = ISSUE.findall(README), FOR_THE_CHART.findall(README)
    done = subprocess.run(
        ["bash", "-euc", f"{authority}\n{of_the_server}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return x509.load_pem_x509_certificate((folder / "tls" / "stakehold.pem").read_bytes())


def names_in(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


def test_the_readmes_certificate_has_the_name_that_every_client_of_the_chart_calls(
    certificate: x509.Certificate,
) -> None:
    called = {
        address.rpartition(":")[0]
        for pods in all_pods(Case("single-machine", EVERYTHING, namespace=NAMESPACE))
        for container in pods.containers
        if (address := environment(container).get("STAKEHOLD_ADDRESS"))
    }

    assert called == {f"{RELEASE}-stakehold-headless.{NAMESPACE}.svc"}
    assert called <= names_in(certificate)


def test_the_readmes_certificate_has_the_names_of_all_services_that_lead_to_servers(
    certificate: x509.Certificate,
) -> None:
    services = {
        f"{found['metadata']['name']}.{NAMESPACE}.svc"
        for found in manifests(Case("single-machine", namespace=NAMESPACE))
        if found["kind"] == "Service"
        and found["spec"]["selector"].get("app.kubernetes.io/component") == "server"
    }

    assert len(services) == 3
    assert services | {"localhost"} == names_in(certificate)  # localhost: of kubectl port-forward


def test_a_certificate_as_the_readme_issues_it_is_not_told_to_expire_on_its_first_day(
    certificate: x509.Certificate,
) -> None:
    notice = timedelta(hours=DEFAULTS["monitoring"]["prometheusRule"]["certificateHours"])
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc

    assert ends - notice > begins + DAY


def commands() -> list[str]:
    """Each `helm install` and `helm upgrade` that is told, on one line."""
    texts = [page.read_text(encoding="utf-8").replace("\\\n", " ") for page in PAGES]
    return [command for text in texts for command in COMMAND.findall(text)]


def test_installing_and_upgrading_are_both_told() -> None:
    assert {command.split()[1] for command in commands()} == {"install", "upgrade"}


@pytest.mark.parametrize("command", commands())
def test_helm_waits_for_as_long_as_the_chart_may_take(command: str) -> None:
    [minutes] = TIMEOUT.findall(command)
    hooks_s = [
        found["spec"]["activeDeadlineSeconds"]
        for found in manifests(Case("region"))
        if "pre-upgrade" in found["metadata"].get("annotations", {}).get("helm.sh/hook", "")
        and found["kind"] == "Job"
    ]

    assert " --wait" in command
    assert hooks_s
    assert int(minutes) * 60 >= max(*hooks_s, *(progress_s(found) for found in deployments()))


def deployments() -> list[Manifest]:
    return [found for found in manifests(Case("region", EVERYTHING)) if found["kind"] == "Deployment"]


def progress_s(deployment: Manifest) -> int:
    return int(deployment["spec"]["progressDeadlineSeconds"])
