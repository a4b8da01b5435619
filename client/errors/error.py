"""What every failed call has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import grpc

_OUTCOME_UNKNOWN = frozenset({grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks its rule: its path in the request, and the rule in words."""

    field: str
    description: str


class InventoryError(Exception):
    """A call that failed.

    code: the status of the call, or the one a command of a batch would have had as a call of its own.
    reason: the name of the ErrorReason without its prefix; empty when the service gave none.
    message: for people.
    metadata: the figures of the refusal, as its ErrorReason lists them; all values are text.
    field_violations: every field that breaks its rule.
    retry_after: seconds after which a repeat makes sense; None when the service said nothing of it.
    request_id: the id the failed command went out with; empty for a query. Where its outcome is unknown, the
        text of the error names it too.
    call_id: the id of the call in the logs and the audit log; empty for an error that no call brought.
    """

    def __init__(  # noqa: PLR0913 - the parts of a status, each by its name
        self,
        *,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str],
        field_violations: tuple[FieldViolation, ...],
        retry_after: float | None,
        request_id: str,
        call_id: str = "",
    ) -> None:
        text = f"{reason or code.name}: {message}"
        if request_id and code in _OUTCOME_UNKNOWN:
            text = f"{text} (request_id {request_id})"
        super().__init__(text)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = metadata
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.request_id = request_id
        self.call_id = call_id


class NotFoundError(InventoryError):
    """What the call is about does not exist."""


class AlreadyExistsError(InventoryError):
    """What the call would create exists."""
