"""Every request message there is, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from command_svc.domain import territory
from command_svc.mapping import items, locations, orders, reservations, stock, transfers
from command_svc.mapping.requests import CommandMessage, Mapping, make_request, new_request_id
from serving.access import ACCESS, METHOD_OF
from serving.errors import invalid_field
from serving.identity import Caller, authorize, location_not_allowed
from serving.validation import check

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from command_svc.domain.batch import Request

MAPPINGS: dict[type[Message], Mapping] = {
    **items.MAPPINGS,
    **locations.MAPPINGS,
    **stock.MAPPINGS,
    **reservations.MAPPINGS,
    **orders.MAPPINGS,
    **transfers.MAPPINGS,
}


def request_of(message: Message, who: Caller) -> Request:
    """Return what a message asks for, on behalf of a caller that may ask it.

    Raises CallError INVALID_FIELD when it breaks a rule, LOCATION_NOT_ALLOWED when it names a location that
    is none of the caller's.
    """
    check(message)
    bounds = who.bounds(ACCESS[METHOD_OF[message.DESCRIPTOR.full_name]])
    return _request(message, cast("CommandMessage", message).request_id or new_request_id(), who, bounds)


def member_of(message: Message, derived_id: str, who: Caller) -> Request:
    """Return what a message in a batch asks for, under `derived_id` unless it has an id of its own.

    Raises CallError as if it were alone: the errors of `identity.authorize` and of `request_of`.
    """
    access = authorize(who, METHOD_OF[message.DESCRIPTOR.full_name], message)
    check(message)
    command = cast("CommandMessage", message)
    if command.validate_only:
        raise invalid_field("validate_only", "is for the whole batch to say")
    return _request(message, command.request_id or derived_id, who, who.bounds(access))


def _request(message: Message, request_id: str, who: Caller, bounds: frozenset[str] | None) -> Request:
    mapping = MAPPINGS[type(message)]
    request = make_request(cast("CommandMessage", message), request_id, who, mapping, bounds)
    if bounds is not None:
        for location_id in territory.named(request.command):
            if location_id not in bounds:
                raise location_not_allowed(location_id)
    return request
