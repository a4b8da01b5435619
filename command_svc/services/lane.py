"""What every RPC of the command side does: put its requests on the lane, turn refusals into errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, cast

from google.protobuf.message import Message
from grpc.aio import ServicerContext

from command_svc.batcher import Batcher, ClosedError, QueueFullError
from command_svc.domain.batch import AtomicRefusalError, Request, Submission, Verdict
from command_svc.domain.refusals import Refusal
from command_svc.mapping.registry import member_of, request_of
from command_svc.mapping.requests import CommandMessage, new_request_id
from command_svc.store.errors import ConflictError
from command_svc.waiting import ExpiredError
from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.error_reason_pb2 import ErrorReason
from serving import tokens
from serving.access import METHOD_OF
from serving.audit import Entry, entry_of, note
from serving.errors import CallError, unavailable
from serving.identity import Caller, caller
from serving.interceptor import remaining
from serving.validation import check

Context = ServicerContext[Any, Any]
Member_co = TypeVar("Member_co", covariant=True)

RETRY_AFTER = 0.5
"""Seconds after which a refused or failed command may be tried again."""


def call_error(refusal: Refusal, **more: str) -> CallError:
    """Return the error for a refused command, with `more` figures."""
    reason = ErrorReason.Value(f"ERROR_REASON_{refusal.reason}")
    return CallError(reason, str(refusal), metadata={**refusal.figures, **more})


async def carry_out(batcher: Batcher, submission: Submission) -> list[Verdict]:
    """Return the submission's verdicts; raises CallError when none of it was carried out."""
    try:
        return await batcher.submit(submission, _working_time())
    except AtomicRefusalError as error:
        raise call_error(error.refusal, command_index=str(error.index)) from error
    except QueueFullError as error:
        raise CallError(
            error_reason_pb2.ERROR_REASON_QUEUE_FULL,
            "too many commands wait: try again, with the same request id",
            retry_after=RETRY_AFTER,
        ) from error
    except ExpiredError as error:
        raise CallError(
            error_reason_pb2.ERROR_REASON_DEADLINE_EXCEEDED, "the call's time passed before its turn came"
        ) from error
    except ClosedError as error:
        raise unavailable("command service", RETRY_AFTER) from error
    except ConflictError as error:
        # Every try met other transactions; the next may not.
        raise unavailable("database", RETRY_AFTER) from error


def _working_time() -> float:
    try:
        return remaining()
    except LookupError:  # on behalf of no call: as long as the lane allows
        return math.inf


async def answer(batcher: Batcher, message: Message) -> bytes:
    """Return the encoded answer to a single command; raises CallError when it is refused."""
    request = request_of(message, caller())
    validate_only = cast("CommandMessage", message).validate_only
    (verdict,) = await carry_out(batcher, Submission((request,), validate_only=validate_only))
    if isinstance(verdict, Refusal):
        raise call_error(verdict)
    return verdict


class MemberMessages(Protocol[Member_co]):
    """What a request message with many commands has."""

    request_id: str
    validate_only: bool

    @property
    def commands(self) -> Sequence[Member_co]:
        """The commands, in their order."""


class BatchMessage(MemberMessages[Member_co], Protocol[Member_co]):
    """What the request message of every batch has."""

    atomic: bool


@dataclass(slots=True)
class Members:
    """The commands of one message, by their index: those to carry out, and what is answered to the others."""

    request_id: str
    requests: dict[int, Request] = field(default_factory=dict)
    answers: dict[int, bytes | CallError] = field(default_factory=dict)
    refused: list[Entry] = field(default_factory=list)

    def settle(self, verdicts: Iterable[Verdict]) -> list[bytes | CallError]:
        """Return the answer to every command in order, from the verdicts on `requests` in theirs.

        Each that is refused leaves an entry in the audit log.
        """
        for (index, request), verdict in zip(self.requests.items(), verdicts, strict=True):
            if isinstance(verdict, Refusal):
                self.answers[index] = call_error(verdict)
                self.refused.append(refused(request, verdict.reason))
            else:
                self.answers[index] = verdict
        for entry in self.refused:
            note(entry)
        return [self.answers[index] for index in range(len(self.answers))]


def members_of(
    message: MemberMessages[Member_co], who: Caller, unwrap: Callable[[Member_co], Message]
) -> Members:
    """Return the commands of a message: `unwrap` returns the message of each.

    One without an id of its own has the message's with its index. One that breaks a rule, or that its
    caller may not ask, is answered with its error. Raises CallError INVALID_FIELD when the message itself
    breaks one.
    """
    check(cast("Message", message))
    members = Members(message.request_id or new_request_id())
    for index, command in enumerate(message.commands):
        derived_id = f"{members.request_id}.{index}"
        whole = asked = cast("Message", message)  # until it is known what the command is
        try:
            asked = unwrap(command)
            members.requests[index] = member_of(asked, derived_id, who)
        except CallError as error:
            members.answers[index] = error
            own_id = cast("CommandMessage", asked).request_id if asked is not whole else ""
            method = METHOD_OF[asked.DESCRIPTOR.full_name]
            members.refused.append(entry_of(method, error, asked, own_id or derived_id))
    return members


def refused(request: Request, reason: str) -> Entry:
    """Return the entry of a request that was refused for a reason."""
    trail = request.trail
    return Entry(
        datetime.now(UTC),
        trail.method,
        reason,
        request.actor,
        trail.proof,
        trail.source,
        request.request_id,
        trail.trace_id,
        trail.skus,
        trail.location_ids,
    )


async def answer_batch(
    batcher: Batcher, batch: BatchMessage[Member_co], unwrap: Callable[[Member_co], Message]
) -> tuple[str, list[bytes | CallError]]:
    """Return the request id of a batch and, for each command, its encoded answer or why it was refused.

    As in `members_of`; but if the batch is atomic, a command that breaks a rule fails all of it. Raises
    CallError, naming the command_index, when an atomic batch is refused.
    """
    members = members_of(batch, caller(), unwrap)
    if batch.atomic:
        for index, invalid in members.answers.items():
            if isinstance(invalid, CallError):
                invalid.metadata["command_index"] = str(index)
                raise invalid
    verdicts: list[Verdict] = []
    if members.requests:
        submission = Submission(tuple(members.requests.values()), batch.atomic, batch.validate_only)
        verdicts = await carry_out(batcher, submission)
    return members.request_id, members.settle(verdicts)


def newest(consistency_tokens: Iterable[str]) -> str:
    """Return the token of the newest transaction, "" if there is none."""
    # Those of one transaction are alike: each is decoded once.
    given = {token for token in consistency_tokens if token}
    return max(given, key=lambda token: tokens.decode(token).record_time, default="")
