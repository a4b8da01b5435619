"""What can be wrong with a record of the journal, for good: trying again would not help."""

from enum import StrEnum


class FaultKind(StrEnum):
    """Why a record cannot be taken."""

    UNDECODABLE = "UNDECODABLE"
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    UNKNOWN_SCHEMA = "UNKNOWN_SCHEMA"
    OVERSIZED = "OVERSIZED"
    REFUSED = "REFUSED"


class Fault(Exception):  # noqa: N818 - not every fault is an error of ours
    """A record cannot be taken; the message says why."""

    def __init__(self, message: str, kind: FaultKind = FaultKind.UNDECODABLE) -> None:
        super().__init__(message)
        self.kind = kind
