"""Who calls: the verified caller of the call being handled, and what it may do.

Where no issuer is set (see IdentitySettings), callers name themselves in the metadata key
`x-inventory-actor`, and may do everything. Nobody verifies that name: it is a label for the ledger.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NamedTuple

from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.access_pb2 import Role
from serving.access import ACCESS, Access, role_name
from serving.errors import CallError, invalid_field

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = [
    "ACTOR_KEY",
    "ANONYMOUS",
    "Caller",
    "Metadata",
    "StepUp",
    "admit",
    "authorize",
    "caller",
    "checked",
    "handle_for",
    "known_caller",
    "location_not_allowed",
    "permission_denied",
    "self_named",
    "unauthenticated",
    "unverified",
]

ACTOR_KEY = "x-inventory-actor"
ANONYMOUS = "anonymous"
_ACTOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")
_CLERK = frozenset({Role.ROLE_CLERK})
_ALL = frozenset(role for role in Role.values() if role != Role.ROLE_UNSPECIFIED)

Metadata = Iterable[tuple[str, str | bytes]]


class StepUp(NamedTuple):
    """What counts as a step-up: its greatest age in seconds, and the `acr` or `amr` that prove it."""

    max_age: float = 0.0
    acr_values: tuple[str, ...] = ()
    amr_values: tuple[str, ...] = ()


class Caller(NamedTuple):
    """Who calls. `subject` is its name in the ledger.

    `locations` are those it acts at as a clerk. `stepped_up_until` and `expires` are seconds since 1970:
    until when its last step-up counts, as `step_up` asks for it, and until when its proof is good.
    """

    subject: str
    roles: frozenset[Role.ValueType]
    locations: frozenset[str] = frozenset()
    stepped_up_until: float = 0.0
    expires: float = math.inf
    proof: Literal["token", "certificate", "topic", "none"] = "none"
    step_up: StepUp = StepUp()

    def bounds(self, access: Access) -> frozenset[str] | None:
        """Return the locations at which alone the caller may act with a method; None for everywhere."""
        bound = access.location_scoped and self.roles & access.roles == _CLERK
        return self.locations if bound else None


_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Return who makes the call being handled; LookupError outside a call."""
    return _caller.get()


def known_caller() -> Caller | None:
    """Return who makes the call being handled, as far as that is known by now."""
    return _caller.get(None)


def handle_for(who: Caller) -> None:
    """Make `who` the caller of the call that the present task handles."""
    _caller.set(who)


def admit(who: Caller, method: str) -> Access:
    """Return the rules of a method; raises CallError PERMISSION_DENIED unless a role of `who` lets it in."""
    access = ACCESS.get(method)
    if access is None or who.roles.isdisjoint(access.roles):
        raise permission_denied(method)
    return access


def permission_denied(method: str) -> CallError:
    """Return the error for a caller that none of its roles lets into a method."""
    allowed = sorted(ACCESS[method].roles) if method in ACCESS else []
    return CallError(
        error_reason_pb2.ERROR_REASON_PERMISSION_DENIED,
        f"{method[1:]} is not for the caller's roles",
        metadata={"method": method[1:], "roles": " ".join(map(role_name, allowed))},
    )


def authorize(who: Caller, method: str, request: Message) -> Access:
    """Return the rules of a method that is called with a request.

    Raises CallError PERMISSION_DENIED unless a role of `who` lets it in, and STEP_UP_REQUIRED when the
    request asks for a step-up and the last one of `who` lies too far back.
    """
    access = admit(who, method)
    if access.needs_step_up(request) and who.stepped_up_until < time.time():
        max_age, acr_values, amr_values = who.step_up
        raise CallError(
            error_reason_pb2.ERROR_REASON_STEP_UP_REQUIRED,
            f"{method[1:]} asks for a proof of identity that is at most {max_age:.0f} s old",
            metadata={
                "method": method[1:],
                "max_age_seconds": f"{max_age:.0f}",
                "acr_values": " ".join(acr_values),
                "amr_values": " ".join(amr_values),
            },
        )
    return access


def unauthenticated(cause: str, message: str) -> CallError:
    """Return the error for a caller that does not prove who it is; `cause` as the contract lists them."""
    return CallError(error_reason_pb2.ERROR_REASON_UNAUTHENTICATED, message, metadata={"cause": cause})


def location_not_allowed(location_id: str) -> CallError:
    """Return the error for a caller that is bound to other locations."""
    return CallError(
        error_reason_pb2.ERROR_REASON_LOCATION_NOT_ALLOWED,
        f"the caller does not act at {location_id}",
        metadata={"location_id": location_id},
    )


def unverified(subject: str) -> Caller:
    """Return a caller by a name that nobody has verified, who may do everything."""
    return Caller(subject, _ALL, stepped_up_until=math.inf)


_ANYBODY = unverified(ANONYMOUS)


def self_named(metadata: Metadata) -> Caller:
    """Return the caller as it names itself, "anonymous" when it does not; raises as `checked`."""
    for key, value in metadata:
        if key == ACTOR_KEY:
            return unverified(checked(value))
    return _ANYBODY


def checked(name: str | bytes) -> str:
    """Return a name that somebody gives.

    Raises CallError INVALID_FIELD when it is not 1 to 128 letters, digits or ._:@/- that begin with a
    letter or digit.
    """
    if isinstance(name, str) and _ACTOR.fullmatch(name):
        return name
    raise invalid_field(ACTOR_KEY, f"must match {_ACTOR.pattern}")
