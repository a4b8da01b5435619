"""A circuit breaker: who does not answer is left alone for a while, then tried by one at a time. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
PROBE_SECONDS = 5.0


class Breaker:
    """Closed, it lets every caller through. `threshold` failures in a row open it.

    Open, it lets nobody through for a pause; then one caller, the probe. A probe that fails opens it for
    twice as long, up to LONGEST_PAUSE_SECONDS, with jitter, so that processes do not probe in step; one that
    succeeds closes it. A probe of which nothing is heard for PROBE_SECONDS is followed by another.

    Who was let through says with the permit what came of it, if that is known. What comes of a permit from
    before the breaker opened or closed changes nothing.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        threshold: int = 3,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._threshold = threshold
        self._jitter = jitter
        self._era = 0
        self._failures = 0
        self._pause = 0.0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether callers are sent away, but for the probes."""
        return self._pause > 0

    def enter(self) -> int | None:
        """Return a permit to go through, None for a caller that is sent away."""
        if self.is_open:
            now = self._clock()
            if now < self._probe_at:
                return None
            self._probe_at = now + PROBE_SECONDS
        return self._era

    def succeeded(self, permit: int) -> None:
        """Take it that there was an answer."""
        if permit != self._era:
            return
        self._failures = 0
        if self.is_open:
            self._era += 1
            self._pause = 0.0

    def failed(self, permit: int) -> None:
        """Take it that there was none."""
        if permit != self._era:
            return
        self._failures += 1
        if self.is_open or self._failures >= self._threshold:
            self._era += 1
            self._pause = min(LONGEST_PAUSE_SECONDS, 2 * self._pause or FIRST_PAUSE_SECONDS)
            self._probe_at = self._clock() + self._pause * self._jitter(0.5, 1.0)
