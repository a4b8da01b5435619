"""Tasks beside the calls, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_SECONDS = 0.1
"""How long after a cancellation a task that goes on is cancelled again."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and return when they have ended; what they ended with is theirs.

    Once is not enough: `asyncio.wait_for` of Python 3.11, by which the Redis client sends, drops a
    cancellation that comes in the same turn as what it waits for.
    """
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=AGAIN_SECONDS)
