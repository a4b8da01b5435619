"""Refusals about the request itself."""

from __future__ import annotations

from command_svc.domain.refusals.refusal import Refusal


class RequestIdReusedError(Refusal):
    """The request id belongs to an earlier, different command."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request id {request_id} was used for another command: give each command its own",
            request_id=request_id,
        )


class VersionMismatchError(Refusal):
    """What is to be changed has changed since the caller read it; `names` say what it is."""

    reason = "VERSION_MISMATCH"

    def __init__(self, what: str, expected: int, actual: int, **names: str) -> None:
        super().__init__(
            f"{what} is at version {actual}, not {expected}: read it again, then decide",
            **names,
            expected_version=expected,
            version=actual,
        )


class LocationNotAllowedError(Refusal):
    """The command has touched units at a location that is none of its caller's."""

    reason = "LOCATION_NOT_ALLOWED"

    def __init__(self, location_id: str) -> None:
        super().__init__(f"the caller does not act at {location_id}", location_id=location_id)
