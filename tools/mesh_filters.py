"""EnvoyFilters: what Istio's own kinds have no words for, said in Envoy's."""

from __future__ import annotations

import json
from typing import Any

import yaml

from stack.limits import EXTENSIONS

Patch = dict[str, Any]
MANAGER = "envoy.filters.network.http_connection_manager"
GATEWAY = "GATEWAY"
SIDECAR = "SIDECAR_INBOUND"
# Whose proxies a filter is for, by context.
LABELS = {GATEWAY: {"istio": "gateway"}, SIDECAR: {"inventory/serves": "grpc"}}


def envoy_filter(name: str, context: str, patches: list[Patch], *, source: str, priority: int = 0) -> str:
    """Return a resource with patches of one context; those of a lower priority come first."""
    spec: dict[str, Any] = {"workloadSelector": {"labels": LABELS[context]}, "configPatches": patches}
    found = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name},
        "spec": spec | ({"priority": priority} if priority else {}),
    }
    # Of plain values, each in its own place: YAML would refer from one to another that is the same.
    made = yaml.safe_dump(json.loads(json.dumps(found)), sort_keys=False, width=110)
    return f"# Generated from {source}: `make gen`.\n{made}"


def http_filter(
    context: str, operation: str, value: dict[str, Any] | None = None, *, beside: str = ""
) -> Patch:
    """Return the patch that puts a filter among those of the proxies, or takes one away."""
    place = {"subFilter": {"name": beside}} if beside else {}
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": MANAGER, **place}}}},
        "patch": {"operation": operation} | ({} if value is None else {"value": value}),
    }


def manager(context: str, settings: dict[str, Any]) -> Patch:
    """Return the patch that sets something of the proxies' connection manager."""
    kind = f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": MANAGER}}}},
        "patch": {
            "operation": "MERGE",
            "value": {"name": MANAGER, "typed_config": {"@type": kind, **settings}},
        },
    }
