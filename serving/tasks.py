"""Tasks beside the calls, and their end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

AGAIN_SECONDS = 5.0
"""How long after a cancellation a task that goes on is cancelled again: longer than tidying up takes."""

_log = structlog.get_logger()


class DroppedError(Exception):
    """A task was cancelled, though nobody has asked for that."""


def start(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Begin what the process cannot do without: if it breaks, that is logged, and the process ends.

    It ends as by SIGTERM. Whoever ends the task with `stop`, or awaits it, raises what it has broken by, so
    that the process exits with an error, and whoever keeps it starts another.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_end_process)
    return task


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """End tasks as `end` does; raise what one of them has broken by."""
    await end(*tasks)
    for task in tasks:
        if (fault := _fault_of(task)) is not None:
            raise fault


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Have work done meanwhile that ends when it is told to alone: `start` and `stop` in one."""
    task = start(work, name)
    try:
        yield
    finally:
        await stop(task)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and return when they have ended; what they ended with is theirs.

    Once may not be enough: `asyncio.wait_for` of Python 3.11, by which libraries wait, drops a cancellation
    that comes in the same turn as what it waits for.
    """
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=AGAIN_SECONDS)


def _end_process(task: asyncio.Task[None]) -> None:
    if (fault := _fault_of(task)) is not None:
        _log.critical("a task has broken: the process ends", task=task.get_name(), exc_info=fault)
        signal.raise_signal(signal.SIGTERM)


def _fault_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task that has ended has broken by, None if it has not."""
    if not task.cancelled():
        return task.exception()
    return None if task.cancelling() else DroppedError(f"{task.get_name()} was cancelled by nobody")
