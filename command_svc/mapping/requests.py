"""A request of the domain from a message of the contract: who asked what, under which id."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from google.protobuf.message import Message

from command_svc.domain.batch import Request, Stamp
from command_svc.domain.commands import Command, Outcome
from command_svc.domain.trail import Trail
from serving import tokens
from serving.access import METHOD_OF
from serving.audit import names_in
from serving.identity import Caller
from serving.origin import origin


class CommandMessage(Protocol):
    """What every command's request message has."""

    request_id: str
    validate_only: bool

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - as protobuf has it
        """Return the body."""


class Encoder(Protocol):
    """Makes the response message of an accepted command."""

    def __call__(self, outcome: Any, request_id: str, token: str, /) -> Message:  # noqa: ANN401 - see below
        """Return it; `token` is empty when nothing was committed.

        `outcome` is what the domain returns for the command that the encoder is registered with.
        """


class Mapping(NamedTuple):
    """How a request message becomes a command, and the command's outcome a response message.

    `command` raises CallError when the message breaks a rule that its contract cannot say.
    """

    command: Callable[[Any], Command]
    response: Encoder


def new_request_id() -> str:
    """Return an id for a request whose caller gave none."""
    return str(uuid.uuid4())


def make_request(
    message: CommandMessage,
    request_id: str,
    who: Caller,
    mapping: Mapping,
    locations: frozenset[str] | None = None,
) -> Request:
    """Return the request of `who` that `message` asks for, under `request_id`, held to `locations`."""
    body = cast("Message", message)
    source, trace_id = origin()
    trail = Trail(METHOD_OF[body.DESCRIPTOR.full_name][1:], who.proof, source, trace_id, *names_in(body))
    actor = who.subject

    def encode(outcome: Outcome, stamp: Stamp | None) -> bytes:
        token = tokens.encode(*stamp) if stamp else ""
        return mapping.response(outcome, request_id, token).SerializeToString()

    return Request(
        request_id, fingerprint(message, actor), actor, mapping.command(message), encode, locations, trail
    )


def fingerprint(message: CommandMessage, actor: str) -> bytes:
    """Return 16 bytes that stand for who asked what: another caller or body has another fingerprint."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (type(message).__name__, actor):
        digest.update(part.encode() + b"\0")
    digest.update(message.SerializeToString(deterministic=True))
    return digest.digest()


def encoder(response: type[Any], **fields: Callable[[Any], object]) -> Encoder:
    """Return an encoder of `response`: each of `fields` is made from the outcome."""

    def encode(outcome: object, request_id: str, token: str, /) -> Message:
        made = {name: make(outcome) for name, make in fields.items()}
        return cast("Message", response(request_id=request_id, consistency_token=token, **made))

    return encode
