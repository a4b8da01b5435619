"""What can go wrong in the store. No driver's text leaves it.

StoreError
├── ConflictError          other transactions were in the way, for too long perhaps: nothing was done, and
│                          the same work may be tried again
├── UnavailableError       the database did not answer, or not in time; whether the work was committed
│                          is unknown, and trying it again finds out by its request ids
└── RejectedError          the database refused the work itself: trying it again would not help
"""

from __future__ import annotations

import psycopg
from psycopg_pool import PoolTimeout


class StoreError(Exception):
    """The work was not seen to be committed."""


class ConflictError(StoreError):
    """Another transaction was in the way."""


class UnavailableError(StoreError):
    """The database did not answer, or not in time."""


class RejectedError(StoreError):
    """The database refused the work."""


# Most specific first: the first match decides.
_TABLE: tuple[tuple[type[Exception], type[StoreError]], ...] = (
    # A level, item, location or request that another transaction has just created: seen on the next try.
    (psycopg.errors.UniqueViolation, ConflictError),
    (psycopg.errors.SerializationFailure, ConflictError),
    (psycopg.errors.DeadlockDetected, ConflictError),
    (psycopg.errors.LockNotAvailable, ConflictError),
    # Out of time: what was running is undone, and it was most likely waiting for others.
    (psycopg.errors.QueryCanceled, ConflictError),
    (psycopg.errors.TooManyConnections, UnavailableError),
    (psycopg.OperationalError, UnavailableError),
    (psycopg.InterfaceError, UnavailableError),
    (PoolTimeout, UnavailableError),
    (psycopg.Error, RejectedError),
)


def translate(error: Exception) -> StoreError:
    """Return the store's error for one of psycopg or its pool; any other exception is a RejectedError."""
    for theirs, ours in _TABLE:
        if isinstance(error, theirs):
            return ours(ours.__doc__)
    return RejectedError(RejectedError.__doc__)
