"""Tests that reckon by the days of the database's clock: none of them runs over midnight."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

LONGEST_TEST = timedelta(minutes=2)


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def pass_midnight(clock: Callable[[], datetime] = now, sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when the day goes on for as long as a test may take: if need be, when the next one has begun."""
    began = clock()
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if midnight - began < LONGEST_TEST:
        while clock() < midnight:
            sleep((midnight - clock()).total_seconds())
