"""What a security team and whoever is on call would look for in every pod."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.chart.rendering import CASES, EVERYTHING, Case, Pods, Sets, all_pods, manifests, of_kind, selects

ALL = [(case, pods) for case in CASES for pods in all_pods(case)]
PODS = [pytest.param(case, pods, id=f"{case}-{pods.component}") for case, pods in ALL]
LONG_LIVED = [
    pytest.param(case, pods, id=f"{case}-{pods.component}")
    for case, pods in ALL
    if pods.component not in {"migration", "test", "verifier"}
]
CREDENTIALS = ("URL", "SERVERS", "PASSWORD", "TOKEN")
STOPS_WITHIN_S = 15
"""Beyond the grace of calls: pools to close, leases to give back."""
BUSY_CORES = 0.8
"""A server is one process with one event loop: near one core its calls wait."""
STARTS_WITHIN_S = 100
"""Beyond the wait for migrations."""
PLACED_WITHIN_S = 120
"""Before a pod starts: a node is found, the image is fetched."""


@pytest.mark.parametrize(("case", "pods"), PODS)
def test_nothing_runs_as_root_or_may_become_it(case: Case, pods: Pods) -> None:
    assert pods.spec["securityContext"]["runAsNonRoot"] is True
    assert pods.spec["securityContext"]["runAsUser"] > 0
    assert pods.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pods.spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    for container in pods.containers:
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["privileged"] is False
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(("case", "pods"), PODS)
def test_no_pod_has_a_token_of_the_cluster(case: Case, pods: Pods) -> None:
    assert pods.spec["automountServiceAccountToken"] is False
    assert pods.spec["enableServiceLinks"] is False  # their names are no settings of ours


@pytest.mark.parametrize(("case", "pods"), PODS)
def test_resources_are_asked_for_and_memory_is_limited_but_not_the_processor(case: Case, pods: Pods) -> None:
    for container in pods.containers:
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize(("case", "pods"), LONG_LIVED)
def test_each_process_has_a_probe_for_each_question(case: Case, pods: Pods) -> None:
    for container in pods.containers:
        asked = {name: container[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")}
        assert asked == {name: {"port": 50053, "service": name} for name in asked}
        assert environment(container)["STAKEHOLD_HEALTH_LISTEN"].endswith(":50053")


@pytest.mark.parametrize(("case", "pods"), PODS)
def test_credentials_come_from_secrets_alone(case: Case, pods: Pods) -> None:
    for container in pods.containers:
        for variable in container["env"]:
            if variable["name"].endswith(CREDENTIALS):
                assert "secretKeyRef" in variable["valueFrom"], variable["name"]
            else:
                assert "value" in variable, variable["name"]
            if variable["name"].endswith("_FILE"):
                assert variable["value"].startswith("/etc/stakehold/")


@pytest.mark.parametrize(("case", "pods"), PODS)
def test_no_variable_is_told_twice(case: Case, pods: Pods) -> None:
    for container in pods.containers:
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize(("case", "pods"), PODS)
def test_every_file_that_is_named_is_mounted(case: Case, pods: Pods) -> None:
    volumes = {volume["name"] for volume in pods.spec["volumes"]}
    claims = {"data"} if pods.component == "trial" else set()
    for container in pods.containers:
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes | claims
        for name, value in environment(container).items():
            if name.endswith("_FILE"):
                assert value.rpartition("/")[0] in mounts, name


@pytest.mark.parametrize(("case", "pods"), LONG_LIVED)
def test_a_pod_is_given_longer_to_end_than_its_calls_are(case: Case, pods: Pods) -> None:
    [container] = pods.containers
    before_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace_s = float(environment(container).get("STAKEHOLD_SHUTDOWN_GRACE_S", "20"))

    assert pods.spec["terminationGracePeriodSeconds"] >= before_s + grace_s + STOPS_WITHIN_S
    assert (pods.component in {"server", "edge"}) == (before_s > 0)


@pytest.mark.parametrize("component", ["server", "edge"])
def test_a_pod_that_shall_not_wait_before_it_stops_is_told_nothing(component: str) -> None:
    """A sleep of no seconds is refused by Kubernetes before 1.33."""
    [pods] = [
        pods
        for pods in all_pods(Case("region", (*EVERYTHING, f"{component}.preStopSeconds=0")))
        if pods.component == component
    ]

    assert "lifecycle" not in pods.containers[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_pods_are_selected_by_what_made_them_and_by_nothing_else(case: Case) -> None:
    makers = [found for found in manifests(case) if found["kind"] in {"Deployment", "StatefulSet"}]
    for maker in makers:
        assert "app.kubernetes.io/version" not in maker["spec"]["selector"]["matchLabels"]
        chosen = [pods.name for pods in all_pods(case) if selects(maker["spec"]["selector"], pods.labels)]
        assert chosen == [maker["metadata"]["name"]]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_services_budgets_and_autoscalers_find_their_pods(case: Case) -> None:
    names = {pods.name for pods in all_pods(case)}
    for budget in of_kind(case, "PodDisruptionBudget"):
        chosen = [pods.name for pods in all_pods(case) if selects(budget["spec"]["selector"], pods.labels)]
        assert chosen == [budget["metadata"]["name"]]
    for scaler in of_kind(case, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in names
    for service in of_kind(case, "Service"):
        chosen_ports = [
            {port["name"] for container in pods.containers for port in container.get("ports", ())}
            for pods in all_pods(case)
            if selects(service["spec"]["selector"], pods.labels)
        ]
        wanted = {port["targetPort"] for port in service["spec"].get("ports", ())}
        assert any(wanted <= ports for ports in chosen_ports), service["metadata"]["name"]


@pytest.mark.parametrize("case", [case for case in CASES if of_kind(case, "NetworkPolicy")], ids=str)
def test_whatever_is_not_allowed_is_denied_for_every_pod(case: Case) -> None:
    policies = of_kind(case, "NetworkPolicy")
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for rule in [*(policy["spec"].get("ingress") or ()), *(policy["spec"].get("egress") or ())]:
            assert rule["ports"], policy["metadata"]["name"]
        for rule in policy["spec"].get("ingress") or ():
            assert rule["from"], policy["metadata"]["name"]
    [deny] = [policy for policy in policies if policy["metadata"]["name"].endswith("-default-deny")]
    assert not deny["spec"].keys() & {"ingress", "egress"}
    for pods in all_pods(case):
        assert selects(deny["spec"]["podSelector"], pods.labels)
        own = [
            policy
            for policy in policies
            if policy is not deny and selects(policy["spec"]["podSelector"], pods.labels)
        ]
        assert len(own) == (pods.component != "trial"), pods.name


def test_each_process_reaches_what_it_needs() -> None:
    case = Case("region", EVERYTHING)
    stores = {6379, 5432, 4318, 53}

    assert ways_out(case) == {
        "server": stores | {443},
        "drainer": stores,
        "worker": stores,
        "verifier": stores,
        "publisher": {5432, 4222, 4318, 53},
        "feed": {50051, 443, 4318, 53},
        "edge": {50051, 4318, 53},
        "migration": {5432, 53},
        "test": {50051, 53},
    }


@pytest.mark.parametrize(
    ("sets", "port"),
    [
        (("publisher.settings.kind=nats",), 4222),
        (("publisher.settings.kind=kafka",), 9092),
        (("publisher.settings.kind=kafka", "networkPolicy.broker.ports[0]=9094"), 9094),
    ],
)
def test_a_publisher_reaches_brokers_of_its_kind(sets: Sets, port: int) -> None:
    assert ways_out(Case("region", (*EVERYTHING, *sets)))["publisher"] == {5432, port, 4318, 53}


def test_names_are_looked_up_wherever_the_cluster_does() -> None:
    """In place of the defaults, not beside them."""
    sets = (
        "networkPolicy.dns.to[0].ipBlock.cidr=169.254.20.10/32",
        "networkPolicy.dns.ports[0]=53",
        "networkPolicy.dns.ports[1]=5353",
    )
    for policy in of_kind(Case("region", (*EVERYTHING, *sets)), "NetworkPolicy"):
        for rule in policy["spec"].get("egress") or ():
            if any(port["port"] == 53 for port in rule["ports"]):
                assert {port["port"] for port in rule["ports"]} == {53, 5353}
                assert rule["to"] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}]


def test_without_callers_certificates_no_authority_is_named() -> None:
    [server] = [
        pods
        for pods in all_pods(Case("region", ("server.tls.clientCertificates=none",)))
        if pods.component == "server"
    ]
    names = environment(server.containers[0]).keys()

    assert {"STAKEHOLD_TLS_CERT_FILE", "STAKEHOLD_CALLERS_FILE"} <= names
    assert not {"STAKEHOLD_TLS_CLIENT_CA_FILE", "STAKEHOLD_TLS_CLIENT_CERTIFICATES"} & names


CLIENTS = {"test", "feed", "edge"}


@pytest.mark.parametrize("asked", ["none", "optional"])
def test_clients_of_the_chart_have_tokens_alone_where_nobody_is_asked_for_a_certificate(asked: str) -> None:
    """Their secret need not have one: a file that is named and is not there is an error."""
    case = Case("region", (*EVERYTHING, f"server.tls.clientCertificates={asked}"))
    told = {pods.component: environment(pods.containers[0]).keys() for pods in all_pods(case)}

    for client in CLIENTS:
        assert {"STAKEHOLD_CA_FILE", "STAKEHOLD_TOKEN_FILE"} <= told[client]
        assert not {"STAKEHOLD_CERT_FILE", "STAKEHOLD_KEY_FILE"} & told[client]


def test_clients_of_the_chart_show_a_certificate_where_one_is_required() -> None:
    told = {
        pods.component: environment(pods.containers[0]).keys()
        for pods in all_pods(Case("region", EVERYTHING))
    }

    for client in CLIENTS:
        assert {"STAKEHOLD_CA_FILE", "STAKEHOLD_CERT_FILE", "STAKEHOLD_KEY_FILE"} <= told[client]


def test_the_edge_and_the_feed_can_be_callers_of_their_own() -> None:
    """Who takes over the edge, which the internet reaches, has no key that may push rates."""
    own = ("edge.clientExistingSecret=edge-client", "feed.clientExistingSecret=feed-client")
    case = Case("region", (*EVERYTHING, *own))
    shown = {pods.component: secrets_of(pods) for pods in all_pods(case) if pods.component in CLIENTS}

    assert shown == {
        "edge": {"edge-client", "traces"},
        "feed": {"feed-client", "feed", "traces"},
        "test": {"stakehold-client"},
    }


@pytest.mark.parametrize("component", ["edge", "feed"])
def test_a_caller_of_its_own_needs_no_shared_one(component: str) -> None:
    sets = (
        "client.existingSecret=",
        f"{component}.enabled=true",
        f"{component}.clientExistingSecret=own",
    )
    pods = {pods.component: pods for pods in all_pods(Case("region", sets))}

    assert "own" in secrets_of(pods[component])
    assert "test" not in pods


def test_only_selected_pods_reach_the_admin_service() -> None:
    assert "admin" in ways_in(Case("region"))
    assert "admin" not in ways_in(Case("single-machine"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_migration_needs_nothing_that_is_installed_after_it(case: Case) -> None:
    jobs = of_kind(case, "Job")
    for job in jobs:
        hook = job["metadata"]["annotations"]
        assert hook["helm.sh/hook"] == "pre-install,pre-upgrade"
        before = {
            (found["kind"], found["metadata"]["name"])
            for found in manifests(case)
            if int(found["metadata"].get("annotations", {}).get("helm.sh/hook-weight", "99"))
            < int(hook["helm.sh/hook-weight"])
        }
        spec = job["spec"]["template"]["spec"]
        assert ("ServiceAccount", spec["serviceAccountName"]) in before
        [container] = spec["containers"]
        assert "envFrom" not in container
        assert "configMapKeyRef" not in str(container)
        if of_kind(case, "NetworkPolicy"):
            assert ("NetworkPolicy", job["metadata"]["name"]) in before


def test_migrations_are_made_as_the_ledgers_owner() -> None:
    [job] = of_kind(Case("region"), "Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    [owner] = [one for one in container["env"] if one["name"] == "STAKEHOLD_MIGRATION_POSTGRES_URL"]

    assert owner["valueFrom"]["secretKeyRef"] == {"name": "stakehold-postgres-owner", "key": "url"}
    for pods in all_pods(Case("region", EVERYTHING)):
        if pods.component != "migration":
            assert "stakehold-postgres-owner" not in str(pods.spec)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_pod_is_taken_away_before_another_is_there(case: Case) -> None:
    for deployment in of_kind(case, "Deployment"):
        surge = "25%" if deployment["metadata"]["name"].endswith("-server") else 1
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": surge}
        assert deployment["spec"]["minReadySeconds"] > 0
        keys = [
            one["topologyKey"] for one in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        ]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


@pytest.mark.parametrize("waits_s", [None, 0, 1, 600, 1800])
def test_a_rollout_is_not_given_up_while_its_pods_may_still_start(waits_s: int | None) -> None:
    sets = EVERYTHING if waits_s is None else (*EVERYTHING, f"settings.migration_wait_s={waits_s}")
    for deployment in of_kind(Case("region", sets), "Deployment"):
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        probe = container["startupProbe"]
        starts_s = probe["periodSeconds"] * probe["failureThreshold"]
        waited_s = float(environment(container).get("STAKEHOLD_MIGRATION_WAIT_S", "0"))

        assert starts_s >= waited_s + STARTS_WITHIN_S
        assert deployment["spec"]["progressDeadlineSeconds"] >= starts_s + PLACED_WITHIN_S


def test_servers_are_added_by_processor_and_by_calls_under_way() -> None:
    [scaler] = of_kind(Case("region"), "HorizontalPodAutoscaler")
    by_cpu, by_calls = scaler["spec"]["metrics"]

    assert by_cpu["resource"]["name"] == "cpu"
    assert by_calls["pods"]["metric"]["name"] == "stakehold_calls_in_flight"
    [server] = [pods for pods in all_pods(Case("region")) if pods.component == "server"]
    assert "replicas" not in server.spec


@pytest.mark.parametrize(
    "case", [case for case in CASES if of_kind(case, "HorizontalPodAutoscaler")], ids=str
)
def test_servers_are_added_before_the_one_core_that_a_server_can_use_is_full(case: Case) -> None:
    [server] = [pods for pods in all_pods(case) if pods.component == "server"]
    requested = parse_cores(server.containers[0]["resources"]["requests"]["cpu"])
    for scaler in of_kind(case, "HorizontalPodAutoscaler"):
        [percent] = [
            metric["resource"]["target"]["averageUtilization"]
            for metric in scaler["spec"]["metrics"]
            if metric["type"] == "Resource"
        ]

        assert requested * percent / 100 <= BUSY_CORES


def parse_cores(quantity: str) -> float:
    """As Kubernetes writes them."""
    return int(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def secrets_of(pods: Pods) -> set[str]:
    """Mounted, or read into the environment."""
    mounted = {volume["secret"]["secretName"] for volume in pods.spec["volumes"] if "secret" in volume}
    read = {
        one["valueFrom"]["secretKeyRef"]["name"]
        for container in pods.containers
        for one in container["env"]
        if "valueFrom" in one
    }
    return mounted | read


def ways_out(case: Case) -> dict[str, set[int]]:
    return {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: {
            port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]
        }
        for policy in of_kind(case, "NetworkPolicy")
        if "egress" in policy["spec"]
    }


def ways_in(case: Case) -> set[str]:
    return {
        port["port"]
        for policy in of_kind(case, "NetworkPolicy")
        for rule in policy["spec"].get("ingress") or ()
        for port in rule["ports"]
    }
