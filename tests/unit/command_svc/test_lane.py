"""What callers are told when their command was not carried out."""

from __future__ import annotations

from typing import cast

import grpc
import pytest

from command_svc.batcher import Batcher, ClosedError, QueueFullError
from command_svc.domain.batch import AtomicRefusalError, Submission, Verdict
from command_svc.domain.levels import LevelKey
from command_svc.domain.refusals import InsufficientStockError
from command_svc.services.lane import RETRY_AFTER, carry_out
from command_svc.store.errors import ConflictError
from command_svc.waiting import ExpiredError
from serving.errors import CallError

SHORT = InsufficientStockError(LevelKey("MUG", "WH"), 5, 3)


class FailingLane:
    """A lane that fails as told."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def submit(self, _submission: Submission, _within: float) -> list[Verdict]:
        """Fail."""
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "reason", "retry_after"),
    [
        (QueueFullError(), grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", RETRY_AFTER),
        (ExpiredError(), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", None),
        (ClosedError(), grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", RETRY_AFTER),
        (ConflictError(), grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", RETRY_AFTER),
        (AtomicRefusalError(2, SHORT), grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_STOCK", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_each_failure_has_its_code_and_tells_whether_to_try_again(
    error: Exception, code: grpc.StatusCode, reason: str, retry_after: float | None
) -> None:
    with pytest.raises(CallError) as told:
        await carry_out(cast("Batcher", FailingLane(error)), Submission(()))
    assert (told.value.code, told.value.reason_name) == (code, reason)
    assert told.value.retry_after == retry_after
