"""The ways in of the stack's edge (envoy/edge.yaml), for the gateway of the mesh: Istio's EnvoyFilters."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import transcoding
import yaml
from mesh_filters import GATEWAY, MANAGER, Patch, envoy_filter, http_filter, manager

from stack.limits import ISTIO_CLAIMS, TOKEN_FILTER

EDGE = Path(__file__).resolve().parent.parent / "envoy" / "edge.yaml"
SOURCE = "envoy/edge.yaml"
SERVED = {"gateway": "istio-ingress/inventory"}
CORS = "envoy.filters.http.cors"
WEB = "envoy.filters.http.grpc_web"
# What a body is held for depends on the token.
BUFFER = "envoy.filters.http.buffer"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
# What stands right before the router: the deadline of a caller, said again as it was.
LAST = "envoy.filters.http.header_mutation"
ROUTER = "envoy.filters.http.router"
# Of the connection manager, what Istio decides by its own kinds, or other files of ours say.
ELSEWHERE = {
    "@type",
    "access_log",
    "codec_type",
    "drain_timeout",
    "forward_client_cert_details",
    "http_filters",
    "local_reply_config",
    "route_config",
    "set_current_client_cert_details",
    "stat_prefix",
    "use_remote_address",
}
# Istio's own, for what goes nowhere.
NOWHERE = "BlackHoleCluster"
JSON_PREFIX = "/v1/"


def ways_in() -> str:
    """Return istio/gateway/ways-in.yaml."""
    edge = _edge()
    filters = {one["name"]: one for one in edge["http_filters"] if isinstance(one, dict)}
    (hosts,) = edge["route_config"]["virtual_hosts"]
    (json_route,) = (one for one in hosts["routes"] if one["match"] == {"prefix": JSON_PREFIX})
    patches = [
        manager(GATEWAY, {name: value for name, value in edge.items() if name not in ELSEWHERE}),
        # Istio's own asks for a token first; browsers bring none when they ask whether they may call.
        http_filter(GATEWAY, "REMOVE", beside=CORS),
        http_filter(GATEWAY, "INSERT_FIRST", filters[CORS]),
        http_filter(GATEWAY, "INSERT_BEFORE", filters[WEB], beside=TOKEN_FILTER),
        http_filter(GATEWAY, "INSERT_AFTER", filters[BUFFER], beside=TOKEN_FILTER),
        http_filter(GATEWAY, "INSERT_AFTER", filters[TRANSCODER], beside=BUFFER),
        http_filter(GATEWAY, "INSERT_BEFORE", filters[LAST], beside=ROUTER),
        _routes("HTTP_ROUTE", "INSERT_FIRST", _nowhere(json_route)),
    ]
    # After the limits: whether a page may call is asked before anything is counted, as at the edge.
    return envoy_filter("ways-in", GATEWAY, patches, source=SOURCE, priority=10)


def origins() -> str:
    """Return istio/gateway/origins.yaml, to which an overlay adds the origins whose pages may call."""
    (hosts,) = _edge()["route_config"]["virtual_hosts"]
    policy = {"typed_per_filter_config": {CORS: hosts["typed_per_filter_config"][CORS]}}
    patches = [_routes("VIRTUAL_HOST", "MERGE", policy)]
    return envoy_filter("origins", GATEWAY, patches, source=SOURCE)


def _edge() -> dict[str, Any]:
    """Return the edge's connection manager; what the stack alone would put in is a name in its place."""
    template = Template(EDGE.read_text())
    names = {name: name for name in template.get_identifiers()}
    made = {"claims": ISTIO_CLAIMS, "origins": "[]", "transcoder": json.dumps(transcoding.transcoder())}
    (listener,) = yaml.safe_load(template.substitute(names | made))["static_resources"]["listeners"]
    (chain,) = listener["filter_chains"]
    (found,) = (one["typed_config"] for one in chain["filters"] if one["name"] == MANAGER)
    settings: dict[str, Any] = found
    return settings


def _nowhere(route: dict[str, Any]) -> dict[str, Any]:
    """Return a route that holds until the transcoder has made a call; nothing goes its way.

    It must seem to lead somewhere: the filter of CORS passes over routes that answer.
    """
    return {"name": "json", **route, "route": {**route["route"], "cluster": NOWHERE}}


def _routes(kind: str, operation: str, value: dict[str, Any]) -> Patch:
    return {
        "applyTo": kind,
        "match": {"context": GATEWAY, "routeConfiguration": SERVED},
        "patch": {"operation": operation, "value": value},
    }
