"""Where a call comes from, as audit log and logs may tell it: the network of its caller, and its trace.

Addresses of people are personal data: of an address no more than its network is kept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from serving.identity import Metadata

__all__ = ["NOWHERE", "TRACE_KEY", "Origin", "come_from", "network_of", "origin", "origin_of"]

FORWARDED_KEY = "x-forwarded-for"
TRACE_KEY = "traceparent"
REQUEST_KEY = "x-request-id"
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


class Origin(NamedTuple):
    """`source` is the network of the caller, or a topic; `trace_id` is empty for a call without a trace."""

    source: str = ""
    trace_id: str = ""


NOWHERE = Origin()
_origin: ContextVar[Callable[[], Origin]] = ContextVar("origin")


def come_from(tell: Callable[[], Origin]) -> None:
    """Let `tell` say where what the present task handles comes from; it is asked only when that matters."""
    _origin.set(tell)


def origin() -> Origin:
    """Return where what is being handled comes from."""
    tell = _origin.get(None)
    return NOWHERE if tell is None else tell()


def origin_of(metadata: Metadata, peer: str) -> Origin:
    """Return the origin of a call.

    The last address in x-forwarded-for is the one that our own door has seen; before it stands what callers
    say. Without the header, `peer` as gRPC names it is the caller.
    """
    forwarded = traceparent = request = ""
    for key, value in metadata:
        if not isinstance(value, str):
            continue
        if key == FORWARDED_KEY:
            forwarded = value
        elif key == TRACE_KEY:
            traceparent = value
        elif key == REQUEST_KEY:
            request = value
    trace = _TRACE.fullmatch(traceparent)
    trace_id = trace[1] if trace else request if _NAME.fullmatch(request) else ""
    return Origin(network_of(forwarded.rpartition(",")[2].strip() if forwarded else _host(peer)), trace_id)


@lru_cache(4096)
def network_of(address: str) -> str:
    """Return the network of an address, /24 or /48; the address itself on this machine; "" of none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if ip.is_loopback:
        return str(ip)
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))  # noqa: PLR2004


def _host(peer: str) -> str:
    """Return the address in what gRPC says of a peer: ipv4:127.0.0.1:80, ipv6:%5B::1%5D:80."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
