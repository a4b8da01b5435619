"""The limits of callers and services, as Istio's EnvoyFilters."""

from __future__ import annotations

from mesh_filters import GATEWAY, SIDECAR, envoy_filter, http_filter

from stack import limits

SOURCE = "envoy/limits.yaml"
ROUTER = "envoy.filters.http.router"


def gateway() -> str:
    """Return istio/gateway/limits.yaml."""
    table = limits.read()
    first = limits.by_address(table.gateway, table.buckets)
    last = limits.by_caller(table.gateway, table.buckets, limits.ISTIO_CLAIMS)
    patches = [
        http_filter(GATEWAY, "INSERT_FIRST", first),
        http_filter(GATEWAY, "INSERT_BEFORE", last, beside=ROUTER),
    ]
    return envoy_filter("limits", GATEWAY, patches, source=SOURCE)


def services() -> str:
    """Return istio/services/limits.yaml."""
    table = limits.read()
    counting = limits.by_caller(table.service, table.buckets, limits.ISTIO_CLAIMS)
    patches = [
        http_filter(SIDECAR, "INSERT_BEFORE", value, beside=ROUTER)
        for value in (counting, limits.shedding(table.shedding))
    ]
    return envoy_filter("limits", SIDECAR, patches, source=SOURCE)
