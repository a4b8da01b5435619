"""The API server takes every manifest, istiod makes configuration of it, and every proxy takes that."""

from __future__ import annotations

import re
from copy import deepcopy

import httpx
import pytest
import yaml

from tests.deploy.manifests import OVERLAYS, Manifest, named, of_kind, overlay, render
from tests.mesh.network import CONTROL_ADDRESS
from tests.mesh.world import World, for_the_test

APPLY = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")


def _complaints(world: World, manifests: list[Manifest]) -> tuple[int, str]:
    taken = for_the_test(manifests, world.issuer.file.read_text())
    return world.control.kubectl_complaints(*APPLY, given=yaml.safe_dump_all(taken))


@pytest.mark.parametrize("name", [*OVERLAYS, "production-canary"])
def test_every_manifest_is_taken_without_a_warning(world: World, name: str) -> None:
    manifests = render(f"deploy/overlays/{name}") if name == "production-canary" else overlay(name)
    manifests = deepcopy(manifests)
    for manifest in of_kind(manifests, "StatefulSet", "Job"):
        # Those that are there already, of production, cannot be changed into others.
        manifest["metadata"]["name"] += "-tried"
    code, said = _complaints(world, manifests)
    assert code == 0, said
    # Such as that a pod is not what the restricted standard asks for.
    assert "Warning" not in said, said


def test_what_is_not_defined_is_refused(world: World) -> None:
    manifests = overlay("production")
    for kind, name, path in (
        ("Deployment", "command", ("template", "spec", "containers", 0)),
        ("VirtualService", "command", ("http", 0)),
        ("DestinationRule", "command", ("trafficPolicy",)),
        ("AuthorizationPolicy", "command-roles", ()),
        ("Cluster", "postgres", ("storage",)),
    ):
        wrong = deepcopy(named(manifests, kind, name))
        place = wrong["spec"]
        for step in path:
            place = place[step]
        place["retriez"] = {"attempts": 1}
        code, said = _complaints(world, [wrong])
        assert code != 0, kind
        assert "retriez" in said


def test_a_pod_that_may_more_is_refused(world: World) -> None:
    deployment = named(overlay("production"), "Deployment", "command")
    pod = deepcopy(deployment["spec"]["template"])
    pod["metadata"] = {**pod["metadata"], "name": "mighty", "namespace": "inventory"}
    pod["spec"]["hostNetwork"] = True
    code, said = _complaints(world, [{"apiVersion": "v1", "kind": "Pod", **pod}])
    assert code != 0
    assert "violates PodSecurity" in said


def test_every_proxy_takes_what_istiod_makes_of_it(world: World) -> None:
    metrics = httpx.get(f"http://{CONTROL_ADDRESS}:15014/metrics", trust_env=False).text
    # Every proxy has told istiod what it took: nothing was refused, nothing could not be made.
    assert re.search(r"^pilot_xds\{[^}]*\} [1-9]", metrics, re.MULTILINE), metrics[:2000]
    refused = re.findall(r"^pilot_total_xds_rejects\{[^}]*\} [1-9].*$", metrics, re.MULTILINE)
    assert refused == []
    errors = re.findall(r"^pilot_xds_push_context_errors[^\n]* [1-9].*$", metrics, re.MULTILINE)
    assert errors == []
    assert of_kind(world.manifests, "EnvoyFilter")
