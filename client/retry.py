"""When a failed call is tried again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

import grpc

from .errors import InventoryError


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Bounds on the attempts of one call, which share its one deadline, and of all calls of a client.

    attempts: how many at most, the first included.
    first_pause: the upper bound of the pause after the first attempt, in seconds; it doubles each time.
    longest_pause: the upper bound of every pause, in seconds.
    budget: how many more attempts, beyond the first, every call adds to those that the client may make.
    reserve: how many more it may make at the beginning, and at most: a client of few calls lives through a
        restart by it, one of many does not make an outage worse. Without a bound where it is infinite.
    """

    attempts: int = 10
    first_pause: float = 0.05
    longest_pause: float = 2.0
    budget: float = 0.1
    reserve: float = 100.0

    def pause(self, error: InventoryError, attempt: int, remaining: float) -> float | None:
        """Return the seconds to wait before another attempt, or None when there must be none.

        `attempt` counts the attempts made, `remaining` the seconds until the call's deadline. Only what
        repeating can cure and cannot harm is tried again: UNAVAILABLE, RESOURCE_EXHAUSTED when the service
        says after how long, and what came with a token that had just expired. Never sooner than the service
        asks; jitter keeps callers that failed together from coming back together.
        """
        retryable = error.code is grpc.StatusCode.UNAVAILABLE or told_when(error) or token_expired(error)
        return self.backoff(attempt, remaining, error.retry_after) if retryable else None

    def backoff(self, attempt: int, remaining: float, at_least: float | None) -> float | None:
        """Return the seconds to wait, `at_least` so many, before another attempt at what may be repeated.

        None when there were attempts enough or there is no time for another.
        """
        if attempt >= self.attempts:
            return None
        ceiling = min(self.longest_pause, self.first_pause * 2 ** (attempt - 1))
        pause = (at_least or 0.0) + random.uniform(0, ceiling)  # noqa: S311 - jitter, no secret
        return pause if pause < remaining else None


class RetryBudget:
    """How many more attempts a client may make, by its policy; streams and watches do not count.

    Nor does an attempt at the time that a service has told: it sheds what it has no room for at little cost,
    and spreads by those times who comes again.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._left = policy.reserve

    def add(self) -> None:
        """Count a call that begins."""
        self._left = min(self._policy.reserve, self._left + self._policy.budget)

    def take(self, error: InventoryError) -> bool:
        """Take one attempt more after an error; return False when there is none left."""
        if told_when(error):
            return True
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def told_when(error: InventoryError) -> bool:
    """Tell whether a call was refused for want of room, with the time to come again."""
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None


def token_expired(error: InventoryError) -> bool:
    """Tell whether a call was refused, or a stream ended, because its token was too old."""
    return error.reason == "UNAUTHENTICATED" and error.metadata.get("cause") == "expired"
