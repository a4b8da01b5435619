"""What the manifests tell the mesh is what the contracts and the edge of the local stack say."""

from __future__ import annotations

import re
from string import Template

import yaml

from audit.receiver.access_log import ATTRIBUTES
from audit.receiver.server import NAME as REFUSALS
from serving.access import ACCESS, PROBED, role_named
from tests.deploy.manifests import ROOT, Manifest, named, of_kind


def test_the_public_name_is_the_same_everywhere(manifests: list[Manifest]) -> None:
    (server,) = named(manifests, "Gateway", "inventory")["spec"]["servers"]
    (public,) = (host.removeprefix("inventory/") for host in server["hosts"])
    for found in of_kind(manifests, "VirtualService"):
        name = found["metadata"]["name"]
        assert found["spec"]["hosts"] == [f"{name}.inventory.svc.cluster.local", public]


def test_every_method_has_a_policy_at_the_workload_that_serves_it(manifests: list[Manifest]) -> None:
    granted: dict[str, set[str]] = {}
    for policy in of_kind(manifests, "AuthorizationPolicy"):
        if not policy["metadata"]["name"].endswith("-roles"):
            continue
        for rule in policy["spec"]["rules"]:
            roles = {role for when in rule.get("when", ()) for role in when["values"]}
            for path in rule["to"][0]["operation"]["paths"]:
                granted.setdefault(path, set()).update(roles)
    assert granted.keys() == ACCESS.keys()
    for path, access in ACCESS.items():
        assert {role_named(role) for role in granted[path]} == access.roles, path


def test_the_gateway_takes_the_ways_in_of_the_edge(manifests: list[Manifest]) -> None:
    template = Template((ROOT / "envoy" / "edge.yaml").read_text())
    text = template.substitute(dict.fromkeys(template.get_identifiers(), "made"))
    (listener,) = yaml.safe_load(text)["static_resources"]["listeners"]
    edge = listener["filter_chains"][0]["filters"][0]["typed_config"]
    names = [one["name"] for one in edge["http_filters"] if one != "made"]
    # Those that Istio makes of its own kinds are not taken.
    istio = {"envoy.filters.http.jwt_authn", "envoy.filters.http.rbac", "envoy.filters.http.router"}
    ours = [name for name in names if name not in istio]
    found = [
        found
        for found in of_kind(manifests, "EnvoyFilter")
        if found["metadata"]["namespace"] == "istio-ingress"
    ]
    (ways,) = (one["spec"] for one in found if one["metadata"]["name"] == "ways-in")
    inserted = [
        patch["patch"]["value"]["name"]
        for patch in ways["configPatches"]
        if patch["applyTo"] == "HTTP_FILTER" and "value" in patch["patch"]
    ]
    assert inserted == ours
    # The first of all is the one that is put first last.
    assert ways["priority"] > max(one["spec"].get("priority", 0) for one in found if one["spec"] is not ways)
    # An installation names the origins whose pages may call; nobody else does.
    (origins,) = (one["spec"]["configPatches"] for one in found if one["metadata"]["name"] == "origins")
    (policy,) = origins[0]["patch"]["value"]["typed_per_filter_config"].values()
    assert policy["allow_origin_string_match"] == []


def test_every_service_of_the_contracts_has_a_route(manifests: list[Manifest]) -> None:
    prefixes = [
        match["uri"]["prefix"]
        for found in of_kind(manifests, "VirtualService")
        for rule in found["spec"]["http"]
        for match in rule["match"]
    ]
    for path in ACCESS:
        assert any(path.startswith(prefix) for prefix in prefixes), path
    # A prefix that is no method's is a route that nobody takes.
    for prefix in prefixes:
        assert any(path.startswith(prefix) for path in ACCESS), prefix
    assert any(PROBED.startswith(prefix) for prefix in prefixes)


def test_commands_are_never_retried_and_queries_a_little(manifests: list[Manifest]) -> None:
    for found in of_kind(manifests, "VirtualService"):
        for rule in found["spec"]["http"]:
            attempts = rule["retries"]["attempts"]
            assert attempts == (2 if rule["name"] == "queries" else 0), rule["name"]
            assert rule["timeout"]


def test_proxies_send_what_they_refuse_to_its_receiver(manifests: list[Manifest]) -> None:
    mesh = yaml.safe_load((ROOT / "istio" / "mesh.yaml").read_text())["meshConfig"]
    (provider,) = mesh["extensionProviders"]
    receiver = provider["envoyOtelAls"]
    name, namespace, *_ = receiver["service"].split(".")
    service = named(manifests, "Service", name)
    assert service["metadata"]["namespace"] == namespace
    assert receiver["port"] in [port["port"] for port in service["spec"]["ports"]]
    assert set(receiver["logFormat"]["labels"]) == ATTRIBUTES | {"stream"}
    sent = of_kind(manifests, "Telemetry")
    assert {one["metadata"]["namespace"] for one in sent} == {"inventory", "istio-ingress"}
    for one in sent:
        (log,) = one["spec"]["accessLogging"]
        assert log["providers"] == [{"name": provider["name"]}]
    # What is no refusal at the edge is none at the gateway.
    at_edge = re.search(
        r"expression: \"(!\(response.code_details in .*)\"", (ROOT / "envoy/edge.yaml").read_text()
    )
    assert at_edge is not None
    (gateway,) = (one for one in sent if one["metadata"]["namespace"] == "istio-ingress")
    assert gateway["spec"]["accessLogging"][0]["filter"]["expression"] == at_edge[1]
    (rule,) = named(manifests, "AuthorizationPolicy", "audit")["spec"]["rules"]
    assert rule["to"][0]["operation"]["paths"] == [f"/{REFUSALS}/Export"]
