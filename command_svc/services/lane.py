"""What every RPC of the command side does: put its requests on the lane, turn refusals into errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from command_svc.batcher import Batcher, ClosedError, QueueFullError
from command_svc.domain.batch import AtomicRefusalError, Request, Submission, Verdict
from command_svc.domain.refusals import Refusal
from command_svc.store.errors import ConflictError
from inventory.type.v1 import error_reason_pb2
from inventory.type.v1.error_reason_pb2 import ErrorReason
from serving import tokens
from serving.errors import CallError, unavailable

RETRY_AFTER = 0.5
"""Seconds after which a refused or failed command may be tried again."""


def call_error(refusal: Refusal, **more: str) -> CallError:
    """Return the error for a refused command, with `more` figures."""
    reason = ErrorReason.Value(f"ERROR_REASON_{refusal.reason}")
    return CallError(reason, str(refusal), metadata={**refusal.figures, **more})


async def carry_out(batcher: Batcher, submission: Submission) -> list[Verdict]:
    """Return the submission's verdicts; raises CallError when none of it was carried out."""
    try:
        return await batcher.submit(submission)
    except AtomicRefusalError as error:
        raise call_error(error.refusal, command_index=str(error.index)) from error
    except QueueFullError as error:
        raise CallError(
            error_reason_pb2.ERROR_REASON_QUEUE_FULL,
            "too many commands wait: try again, with the same request id",
            retry_after=RETRY_AFTER,
        ) from error
    except ClosedError as error:
        raise unavailable("command service", RETRY_AFTER) from error
    except ConflictError as error:
        # Every try met another transaction; the next may not.
        raise unavailable("database", RETRY_AFTER) from error


async def carry_out_one(batcher: Batcher, request: Request, *, validate_only: bool) -> bytes:
    """Return the encoded answer of a single request; raises CallError when it is refused."""
    (verdict,) = await carry_out(batcher, Submission((request,), validate_only=validate_only))
    if isinstance(verdict, Refusal):
        raise call_error(verdict)
    return verdict


async def carry_out_batch(
    batcher: Batcher, makers: Iterable[Callable[[], Request]], *, atomic: bool, validate_only: bool
) -> list[bytes | CallError]:
    """Return, for each request of a batch, its encoded answer or why it was refused.

    `makers` make the requests; one that raises CallError refuses that request alone, or, if the batch is
    atomic, the whole batch. Raises CallError, naming the command_index, when an atomic batch is refused.
    """
    answers: dict[int, bytes | CallError] = {}
    requests: dict[int, Request] = {}
    for index, make in enumerate(makers):
        try:
            requests[index] = make()
        except CallError as error:
            if atomic:
                error.metadata["command_index"] = str(index)
                raise
            answers[index] = error
    if requests:
        submission = Submission(tuple(requests.values()), atomic, validate_only)
        verdicts = await carry_out(batcher, submission)
        for index, verdict in zip(requests, verdicts, strict=True):
            answers[index] = call_error(verdict) if isinstance(verdict, Refusal) else verdict
    return [answers[index] for index in range(len(answers))]


def newest(consistency_tokens: Iterable[str]) -> str:
    """Return the token of the newest transaction, "" if there is none."""
    given = [token for token in consistency_tokens if token]
    return max(given, key=lambda token: tokens.decode(token).record_time, default="")
