"""How the proxies of the mesh answer where they refuse, as Istio's EnvoyFilters."""

from __future__ import annotations

import door
from answers import Mapper
from mesh_filters import GATEWAY, SIDECAR, envoy_filter, manager

SOURCE = "the table of roles"


def gateway() -> str:
    """Return istio/gateway/refusals.yaml."""
    return _answering(GATEWAY, door.gateway_answers())


def services() -> str:
    """Return istio/services/refusals.yaml."""
    return _answering(SIDECAR, door.mesh_answers())


def _answering(context: str, mappers: list[Mapper]) -> str:
    replies = {"local_reply_config": {"mappers": mappers}}
    return envoy_filter("refusals", context, [manager(context, replies)], source=SOURCE)
