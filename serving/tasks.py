"""Tasks beside the calls, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_SECONDS = 5.0
"""How long after a cancellation a task that goes on is cancelled again: longer than tidying up takes."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and return when they have ended; what they ended with is theirs.

    Once may not be enough: `asyncio.wait_for` of Python 3.11, by which libraries wait, drops a cancellation
    that comes in the same turn as what it waits for.
    """
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=AGAIN_SECONDS)
