"""Whose the addresses of JSON are: the methods of the contracts, by their google.api.http."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.api import annotations_pb2

from serving.contracts import SERVICES

__all__ = ["method_at"]


def method_at(verb: str, address: str) -> str:
    """Return the full path of the method that a verb and an address, without its query, call; "" if none."""
    return next((path for pattern, path in _ROUTES if pattern.fullmatch(f"{verb} {address}")), "")


def _routes() -> Iterator[tuple[str, str]]:
    for service in SERVICES:
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb:
                yield f"{verb.upper()} {getattr(rule, verb)}", f"/{service.full_name}/{method.name}"


def _pattern(route: str) -> re.Pattern[str]:
    """Return what fits the addresses of a route, in which each id in braces is one segment."""
    return re.compile("[^/]+".join(map(re.escape, re.split(r"\{[^}]*\}", route))))


# What has more text of its own comes first: an id may have a colon in it, a name after one is of the route.
_ROUTES = [
    (_pattern(route), path)
    for route, path in sorted(_routes(), key=lambda one: len(re.sub(r"\{[^}]*\}", "", one[0])), reverse=True)
]
