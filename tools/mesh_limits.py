"""The limits of callers and services, as Istio's EnvoyFilters."""

from __future__ import annotations

from typing import Any

import door
import yaml
from answers import by_grpc

from stack import limits

MANAGER = "envoy.filters.network.http_connection_manager"


def gateway() -> str:
    """Return istio/gateway/limits.yaml."""
    table = limits.read()
    first = limits.by_address(table.gateway, table.buckets)
    last = limits.by_caller(table.gateway, table.buckets, limits.ISTIO_CLAIMS)
    return _envoy_filter(
        {"istio": "gateway"},
        [
            _filter("GATEWAY", first, "INSERT_FIRST", {}),
            _filter("GATEWAY", last, "INSERT_BEFORE", {"subFilter": {"name": "envoy.filters.http.router"}}),
            _answers("GATEWAY"),
        ],
    )


def services() -> str:
    """Return istio/services/limits.yaml."""
    table = limits.read()
    counting = limits.by_caller(table.service, table.buckets, limits.ISTIO_CLAIMS)
    patches = [
        _filter(
            "SIDECAR_INBOUND", value, "INSERT_BEFORE", {"subFilter": {"name": "envoy.filters.http.router"}}
        )
        for value in (counting, limits.shedding(table.shedding))
    ]
    return _envoy_filter({"inventory/serves": "grpc"}, [*patches, _answers("SIDECAR_INBOUND")])


def _envoy_filter(labels: dict[str, str], patches: list[dict[str, Any]]) -> str:
    found = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "limits"},
        "spec": {"workloadSelector": {"labels": labels}, "configPatches": patches},
    }
    made = yaml.safe_dump(found, sort_keys=False, width=110)
    return f"# Generated from envoy/limits.yaml: `make gen`.\n{made}"


def _filter(context: str, value: limits.Filter, operation: str, place: dict[str, Any]) -> dict[str, Any]:
    return {
        "applyTo": "HTTP_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": MANAGER, **place}}}},
        "patch": {"operation": operation, "value": value},
    }


def _answers(context: str) -> dict[str, Any]:
    """Return the patch that has a proxy tell callers why they are refused."""
    manager = f"{limits.EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    mappers = by_grpc(door.LIMITED)
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": MANAGER}}}},
        "patch": {
            "operation": "MERGE",
            "value": {
                "name": MANAGER,
                "typed_config": {"@type": manager, "local_reply_config": {"mappers": mappers}},
            },
        },
    }
