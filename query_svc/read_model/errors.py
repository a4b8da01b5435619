"""What can go wrong with the read model.

ReadModelError
├── ReadModelUnavailableError  Redis does not answer, or not in time; try again later
├── ReadModelRewoundError      Redis holds another position than the writer left there
└── ReadModelRefusedError      Redis does not take the change, and would not the next time
"""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

# Answers of a Redis that is there but cannot serve now: a replica after a failover, memory full, a
# disk that does not take the log, a cluster without a quorum. All of them pass.
_NOT_NOW = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)
_NOT_NOW_CODES = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY ", "UNBLOCKED")


class ReadModelError(Exception):
    """Anything that the read model raises on purpose."""


class ReadModelUnavailableError(ReadModelError):
    """Redis does not answer, or not in time. Nothing is known about what was being done."""


class ReadModelRewoundError(ReadModelError):
    """Redis holds another position than the writer left there: it lost data, or somebody else wrote.

    The batch was refused where that was seen; its other buckets may have taken it. Read the positions
    again and go on from there.
    """


class ReadModelRefusedError(ReadModelError):
    """Redis does not take the change: what it holds under the names is something else.

    Other buckets may have taken theirs.
    """


@contextmanager
def translated() -> Iterator[None]:
    """Raise what Redis raises for want of itself as ReadModelUnavailableError; let the rest through."""
    try:
        yield
    except exceptions.MovedError as error:
        raise ReadModelError("Redis is a cluster: its address must be redis+cluster://HOST:PORT") from error
    except _NOT_NOW as error:
        raise ReadModelUnavailableError(str(error)) from error
    except exceptions.ResponseError as error:
        if str(error).startswith(_NOT_NOW_CODES):
            raise ReadModelUnavailableError(str(error)) from error
        raise
