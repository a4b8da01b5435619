"""Whose the addresses of JSON are: the methods of the contracts, by their google.api.http."""

from __future__ import annotations

import re

from serving.contracts import ROUTES, Route

__all__ = ["method_at"]


def method_at(verb: str, address: str) -> str:
    """Return the full path of the method that a verb and an address, without its query, call; "" if none."""
    return next((method for pattern, method in _METHODS if pattern.fullmatch(f"{verb} {address}")), "")


_ID = re.compile(r"\{[^}]*\}")


def _pattern(route: Route) -> re.Pattern[str]:
    """Return what fits the addresses of a route, in which each id in braces is one segment."""
    return re.compile("[^/]+".join(map(re.escape, _ID.split(f"{route.verb.upper()} {route.address}"))))


# What has more text of its own comes first: an id may have a colon in it, a name after one is of the route.
_METHODS = [
    (_pattern(route), route.method)
    for route in sorted(ROUTES, key=lambda route: len(_ID.sub("", route.address)), reverse=True)
]
