"""An event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortalProvider

__all__ = ["Loop"]

R = TypeVar("R")


class _Shared:
    """The one loop of the process: it runs while somebody has it. gRPC is at its best with a single one."""

    def __init__(self) -> None:
        self._provider = BlockingPortalProvider()
        self._process: int | None = None

    def take(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if it must; RuntimeError in a child of the process that has had it."""
        if self._process is None:
            self._process = os.getpid()
        self.check()
        # Not left here: it is given back when a client is closed.
        portal = self._provider.__enter__()
        return portal.call(asyncio.get_running_loop)

    def give_back(self) -> None:
        """Stop the loop if nobody else has it; what still runs there is cancelled."""
        self._provider.__exit__(None, None, None)

    def check(self) -> None:
        """Raise RuntimeError in a child of the process that has the loop: neither it nor gRPC is there."""
        if self._process != os.getpid():
            raise RuntimeError("a client does not outlive a fork: make it in the child, none before")


_shared = _Shared()


class Loop:
    """Runs coroutines for threads, until it is closed; one that was waited for in vain is cancelled."""

    def __init__(self) -> None:
        self._loop = _shared.take()
        self._entering = threading.Lock()
        self._closed = False

    def run(self, function: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Return what a coroutine function returns, or raise what it raises.

        Raises RuntimeError when this is closed, and concurrent.futures.CancelledError when it is closed
        meanwhile.
        """
        _shared.check()
        with self._entering:
            if self._closed:
                raise RuntimeError("the client is closed")
            future = asyncio.run_coroutine_threadsafe(function(), self._loop)
        try:
            return future.result()
        finally:
            # Where the thread was interrupted, as by KeyboardInterrupt.
            future.cancel()

    def iterate(self, messages: AsyncGenerator[R, None]) -> Generator[R, None, None]:
        """Yield what an asynchronous generator yields, and close it with this one."""
        turn = asyncio.Lock()  # a step that is being given up ends before the generator is closed

        async def following() -> R | None:
            async with turn:
                return await anext(messages, None)

        async def end() -> None:
            async with turn:
                await messages.aclose()

        try:
            while (message := self.run(following)) is not None:
                yield message
        finally:
            if not self._closed:
                self.run(end)

    def close(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a last coroutine function; a second time does nothing."""
        _shared.check()
        with self._entering:
            if self._closed:
                return
            self._closed = True
            future = asyncio.run_coroutine_threadsafe(function(), self._loop)
        try:
            future.result()
        finally:
            _shared.give_back()
