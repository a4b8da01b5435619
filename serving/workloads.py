"""Workloads: services that prove who they are by their certificate, told by the proxy in front of us.

The proxy that ends mutual TLS names the identities of those before it in `x-forwarded-client-cert`. That is
believed because nobody but that proxy reaches us.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from serving.identity import Caller

__all__ = ["FORWARDED_KEY", "Workloads", "identities"]

FORWARDED_KEY = "x-forwarded-client-cert"
MOST_BYTES = 16_384
MOST_KNOWN = 1000
# A value in quotes may hold commas and semicolons, and quotes behind a backslash.
_VALUE = r'"(?:[^"\\]|\\.)*"|[^",;]*'
_ELEMENT = re.compile(rf"(?:[A-Za-z]+=(?:{_VALUE});?)*")
_PAIR = re.compile(rf"([A-Za-z]+)=({_VALUE})")


class Workloads:
    """What workloads are, by their SPIFFE identities.

    `proxies` are those that pass calls on and are not their callers.
    """

    def __init__(self, callers: Mapping[str, Caller], proxies: Collection[str]) -> None:
        self._callers = callers
        self._proxies = frozenset(proxies)
        self._known: dict[str, Caller | None] = {}

    def caller(self, forwarded: str) -> Caller | None:
        """Return the workload that has called by what the proxy says; None if it is none we know."""
        if forwarded in self._known:
            return self._known[forwarded]
        found = next((uri for uri in reversed(list(identities(forwarded))) if uri not in self._proxies), "")
        caller = self._callers.get(found)
        if len(self._known) < MOST_KNOWN:
            self._known[forwarded] = caller
        return caller


def identities(forwarded: str) -> Iterator[str]:
    """Yield the identity of each hop, the first caller first; "" for one that has none, or several.

    Of what is malformed, nothing is believed.
    """
    if len(forwarded) > MOST_BYTES:
        return
    position = 0
    hops = []
    while True:
        element = _ELEMENT.match(forwarded, position)
        if element is None or not element.group():
            return
        names = [value.strip('"') for name, value in _PAIR.findall(element.group()) if name.upper() == "URI"]
        hops.append(names[0] if len(names) == 1 else "")
        position = element.end()
        if position == len(forwarded):
            break
        if forwarded[position] != ",":
            return
        position += 1
    yield from hops
