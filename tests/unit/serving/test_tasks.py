"""Tasks that do not listen are ended; one that breaks ends the process, and is told of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from serving import tasks
from tests.signals import terminations

NAME = "sweeper"


async def breaks() -> None:
    raise LookupError("nobody expects this")


async def is_dropped() -> None:
    """End as a task whose library cancels what it waits for."""
    raise asyncio.CancelledError


async def goes_on() -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def terminated() -> AsyncIterator[asyncio.Event]:
    """Return what is set when this process is told to end."""
    with terminations() as event:
        yield event


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


async def test_what_breaks_is_told_with_its_cause_and_ends_the_process(terminated: asyncio.Event) -> None:
    with capture_logs() as logged:
        task = tasks.start(breaks(), NAME)
        await asyncio.wait_for(terminated.wait(), 5)
    (entry,) = logged
    assert (entry["log_level"], entry["task"]) == ("critical", NAME)
    assert isinstance(entry["exc_info"], LookupError)
    with pytest.raises(LookupError):
        await tasks.stop(task)


async def test_what_is_cancelled_though_nobody_has_asked_has_broken(terminated: asyncio.Event) -> None:
    task = tasks.start(is_dropped(), NAME)
    await asyncio.wait_for(terminated.wait(), 5)
    with pytest.raises(tasks.DroppedError, match=NAME):
        await tasks.stop(task)


async def test_what_ends_because_it_is_told_to_ends_nothing(terminated: asyncio.Event) -> None:
    async with tasks.running(goes_on(), NAME):
        await asyncio.sleep(0)
    finished = tasks.start(asyncio.sleep(0), NAME)
    await finished
    await tasks.stop(finished)
    assert not terminated.is_set()


async def test_what_has_broken_meanwhile_is_raised_at_the_end(terminated: asyncio.Event) -> None:
    with pytest.raises(LookupError):
        async with tasks.running(breaks(), NAME):
            await asyncio.wait_for(terminated.wait(), 5)
