"""Who calls.

Until mTLS and JSON web tokens arrive, callers name themselves in the metadata key `x-inventory-actor`.
Nobody verifies it: it is a label for the ledger, not a permission. The verified identity will be
returned from `actor`, and the key will then be ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from serving.errors import invalid_field

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

__all__ = ["ACTOR_KEY", "ANONYMOUS", "actor", "checked"]

ACTOR_KEY = "x-inventory-actor"
ANONYMOUS = "anonymous"
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")


def actor(context: ServicerContext[Any, Any]) -> str:
    """Return who calls, unverified; "anonymous" when the caller does not say.

    Raises CallError INVALID_FIELD when the name given is malformed; see `checked`.
    """
    for key, value in context.invocation_metadata() or ():
        if key == ACTOR_KEY:
            return checked(value)
    return ANONYMOUS


def checked(name: str | bytes) -> str:
    """Return a name that somebody gives.

    Raises CallError INVALID_FIELD when it is not 1 to 128 letters, digits or ._:@/- that begin with a
    letter or digit.
    """
    if isinstance(name, str) and _ACTOR.fullmatch(name):
        return name
    raise invalid_field(ACTOR_KEY, f"must match {_ACTOR.pattern}")
