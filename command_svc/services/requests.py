"""From a message of the contract to a request of the domain."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from command_svc.domain.batch import Command, Outcome, Request, Stamp
from serving import tokens
from serving.errors import invalid_field

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of our clock a caller's may be."""


class CommandMessage(Protocol):
    """What every command's request message has."""

    request_id: str
    validate_only: bool

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:
        """Return the body."""


class Encoder(Protocol):
    """Makes the response message of an accepted command."""

    def __call__(self, outcome: Outcome, request_id: str, token: str, /) -> Message:
        """Return it; `token` is empty when nothing was committed."""


def new_request_id() -> str:
    """Return an id for a request whose caller gave none."""
    return str(uuid.uuid4())


def make_request(
    message: CommandMessage, request_id: str, actor: str, command: Command, encoder: Encoder
) -> Request:
    """Return the request that `message` asks for, under `request_id`."""

    def encode(outcome: Outcome, stamp: Stamp | None) -> bytes:
        token = tokens.encode(stamp.transaction_id, stamp.record_time) if stamp else ""
        return encoder(outcome, request_id, token).SerializeToString()

    return Request(request_id, fingerprint(message, actor), actor, command, encode)


def fingerprint(message: CommandMessage, actor: str) -> bytes:
    """Return 16 bytes that stand for who asked what: another caller or body has another fingerprint."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (type(message).__name__, actor):
        digest.update(part.encode() + b"\0")
    digest.update(message.SerializeToString(deterministic=True))
    return digest.digest()


def occur_time(given: Timestamp | None) -> datetime | None:
    """Return when the thing happened, None if the caller said nothing.

    Raises CallError INVALID_FIELD when it is no valid time or lies ahead of the clock.
    """
    if given is None:
        return None
    try:
        instant = given.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_field("occur_time", "must be a time from year 1 to 9999") from error
    if instant > datetime.now(UTC) + MAX_CLOCK_SKEW:
        raise invalid_field("occur_time", "must not lie in the future")
    return instant
