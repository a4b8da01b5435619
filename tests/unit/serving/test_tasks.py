"""Ending tasks that do not listen."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from serving import tasks


async def test_a_task_that_drops_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    dropped = 0

    async def deaf() -> None:
        nonlocal dropped
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if dropped:
                    raise
                dropped += 1

    ending = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await tasks.end(ending)
    assert ending.cancelled()
    assert dropped == 1


async def test_what_has_ended_already_and_what_ends_with_an_error_are_left_as_they_are() -> None:
    async def fails() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise LookupError

    done, failing = asyncio.create_task(asyncio.sleep(0, "done")), asyncio.create_task(fails())
    await done
    await tasks.end(done, failing)
    assert done.result() == "done"
    assert isinstance(failing.exception(), LookupError)
