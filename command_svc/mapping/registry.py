"""Every request message there is, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from command_svc.mapping import items, locations, orders, reservations, stock, transfers
from command_svc.mapping.requests import CommandMessage, Mapping, make_request, new_request_id
from serving.errors import invalid_field
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


def request_of(message: Message, actor: str) -> Request:
    """Return what a message asks for; raises CallError INVALID_FIELD when it breaks a rule."""
    check(message)
    command = cast("CommandMessage", message)
    return make_request(command, command.request_id or new_request_id(), actor, MAPPINGS[type(message)])


def member_of(message: Message, derived_id: str, actor: str) -> Request:
    """Return what a message in a batch asks for, under `derived_id` unless it has an id of its own.

    Raises CallError INVALID_FIELD when it breaks a rule, as if it were alone.
    """
    check(message)
    command = cast("CommandMessage", message)
    if command.validate_only:
        raise invalid_field("validate_only", "is for the whole batch to say")
    return make_request(command, command.request_id or derived_id, actor, MAPPINGS[type(message)])
