"""Waiting for what was committed to be shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from client import NotFoundError

PATIENCE = 20.0
T = TypeVar("T")


async def soon(read: Callable[[], Awaitable[T]], shown: Callable[[T], bool]) -> T:
    """Read until what was committed is shown; return that."""
    last: object = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await read()
                except NotFoundError as error:
                    last = error
                else:
                    if shown(answer):
                        return answer
                    last = answer
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not shown within {PATIENCE} s, but: {last}") from None
